import numpy as np
import pytest
import scipy.sparse as sp

from components.recsys.errors import InputError
from components.recsys.frames import Catalogue, Histories, Interactions
from components.recsys.models.base import Training
from components.recsys.models.ease import EASE, _by_items, _by_users, _inverse

PUBLISHED = {"frequency_power": 0, "activity_power": 0, "debias": 0, "half_life": None}


def training(rows, n_items):
    histories = Histories.from_rows(rows, n_items)
    users = np.array([f"u{row:03}" for row in range(len(rows))], dtype=object)
    items = np.array([f"i{item:03}" for item in range(n_items)], dtype=object)
    return Training(
        Interactions(users, items, histories, np.zeros(len(histories.indices), np.int64)), Catalogue.empty(items)
    )


@pytest.fixture
def rows():
    rng = np.random.default_rng(2)
    return [np.sort(rng.choice(12, rng.integers(1, 9), replace=False)).tolist() for _ in range(30)]


def test_with_its_powers_at_zero_it_is_the_published_closed_form(rows):
    model = EASE(EASE.Config(l2=3.0, **PUBLISHED)).fit(training(rows, 12))
    x = np.zeros((30, 12))
    for user, row in enumerate(rows):
        x[user, row] = 1
    precision = np.linalg.inv(x.T @ x + 3.0 * np.eye(12))
    expected = np.eye(12) - precision / np.diag(precision)
    np.testing.assert_allclose(model.b, expected, atol=1e-6)
    np.testing.assert_allclose(model.score(Histories.from_rows(rows, 12)), x @ expected, atol=1e-5)


def test_each_column_is_the_ridge_regression_of_an_item_on_all_others(rows):
    model = EASE(EASE.Config(l2=3.0, **PUBLISHED)).fit(training(rows, 12))
    x = np.zeros((30, 12))
    for user, row in enumerate(rows):
        x[user, row] = 1
    others = np.delete(x, 5, axis=1)
    expected = np.linalg.solve(others.T @ others + 3.0 * np.eye(11), others.T @ x[:, 5])
    np.testing.assert_allclose(np.delete(model.b[:, 5], 5), expected, atol=1e-6)


def test_items_that_nobody_took_take_no_room_and_change_nothing(rows):
    wide = [[3 * item for item in row] for row in rows]  # of 40 items only every third occurs
    narrow, spread = EASE(EASE.Config()).fit(training(rows, 12)), EASE(EASE.Config()).fit(training(wide, 40))
    np.testing.assert_array_equal(spread.b, narrow.b)
    scores = spread.score(Histories.from_rows(wide, 40))
    np.testing.assert_array_equal(scores[:, :36:3], narrow.score(Histories.from_rows(rows, 12)))
    assert not np.delete(scores, np.arange(0, 36, 3), axis=1).any()


def test_debias_lowers_the_popular(rows):
    crowd = [*rows, *[[0, 1]] * 60]
    history = Histories.from_rows([[1, 4, 5]], 12)
    plain = EASE(EASE.Config(debias=0)).fit(training(crowd, 12)).score(history)[0]
    debiased = EASE(EASE.Config(debias=0.5)).fit(training(crowd, 12)).score(history)[0]
    assert debiased[0] / plain[0] < debiased[4] / plain[4]


def test_a_long_history_is_summed_in_pieces_to_the_same(rows):
    rng = np.random.default_rng(0)
    many = [rng.choice(300, 40, replace=False).tolist() for _ in range(100)]
    model = EASE(EASE.Config(half_life=None)).fit(training(many, 300))
    history = Histories.from_rows([rng.permutation(300)[:200].tolist()], 300)
    np.testing.assert_allclose(model.score_one(history.indices, history.weights), model.score(history)[0], atol=1e-5)


def test_a_matrix_that_cannot_be_inverted_is_said():
    with pytest.raises(InputError, match=r"raise train\.models\.ease\.l2"):
        _inverse(np.array([[1.0, 2.0], [2.0, 1.0]]))


@pytest.mark.parametrize("seed", [1, 2])
def test_the_users_side_gives_the_same_model_as_the_items_side(seed: int) -> None:
    random = np.random.default_rng(seed)
    x = sp.csr_array((random.random((60, 90)) < 0.2).astype(float))
    user_weight, penalty, scale = random.random(60) + 0.1, random.random(90) * 50 + 5, random.random(90) + 0.5
    assert np.allclose(_by_users(x, user_weight, penalty, scale), _by_items(x, user_weight, penalty, scale), atol=1e-6)
