import numpy as np
import pytest

from components.recsys.frames import Catalogue, Histories, Interactions
from components.recsys.models.base import Training
from components.recsys.models.ials import IALS

ALPHA, L2 = 0.3, 0.02


def fit(rows, n_items=12, seed=1, **config):
    histories = Histories.from_rows(rows, n_items)
    users = np.array([f"u{row:03}" for row in range(len(rows))], dtype=object)
    items = np.array([f"i{item:03}" for item in range(n_items)], dtype=object)
    interactions = Interactions(users, items, histories, np.zeros(len(histories.indices), np.int64))
    settings = {"factors": 5, "alpha": ALPHA, "l2": L2, "half_life": None, **config}
    return IALS(IALS.Config(**settings)).fit(Training(interactions, Catalogue.empty(items), seed=seed))


@pytest.fixture
def rows():
    rng = np.random.default_rng(2)
    return [rng.choice(12, rng.integers(1, 9), replace=False).tolist() for _ in range(30)]


def loss(x, users, items):
    """What iALS minimises, written out (Rendle et al., 2022, equations 1 to 4)."""
    predicted = users @ items.T
    fit = (x * (predicted - 1) ** 2).sum() + ALPHA * (predicted**2).sum()
    of_users, of_items = x.sum(1) + ALPHA * x.shape[1], x.sum(0) + ALPHA * x.shape[0]
    return fit + L2 * ((of_users * (users**2).sum(1)).sum() + (of_items * (items**2).sum(1)).sum())


def dense(rows, n_items=12):
    x = np.zeros((len(rows), n_items))
    for user, row in enumerate(rows):
        x[user, row] = 1
    return x


def test_every_sweep_lowers_the_loss(rows):
    x, losses = dense(rows), []
    for sweeps in (1, 2, 4, 8, 16):
        model = fit(rows, sweeps=sweeps)
        users = model._solve(Histories.from_rows(rows, 12).matrix(), model.vectors)
        losses.append(loss(x, users, model.vectors))
    assert losses == sorted(losses, reverse=True)
    assert losses[-1] < losses[0] * 0.999


def test_a_folded_in_user_is_where_the_loss_is_least(rows):
    model = fit(rows)
    user = model._solve(Histories.from_rows(rows[:1], 12).matrix(), model.vectors)
    best = loss(dense(rows[:1]), user, model.vectors)
    rng = np.random.default_rng(0)
    nearby = [loss(dense(rows[:1]), user + 0.01 * rng.standard_normal(user.shape), model.vectors) for _ in range(50)]
    assert min(nearby) > best


def test_the_contributions_of_the_history_add_up_to_the_score(rows):
    model, history = fit(rows), np.array([1, 4, 7], np.int32)
    scores = model.score_one(history, np.ones(3, np.float32))
    taken = model.vectors[history].astype(np.float64)
    system = ALPHA * model.vectors.T @ model.vectors + taken.T @ taken + L2 * (3 + ALPHA * 12) * np.eye(5)
    contributions = taken @ np.linalg.solve(system, model.vectors.T.astype(np.float64))
    np.testing.assert_allclose(contributions.sum(axis=0), scores, atol=1e-5)
    expected = np.where(contributions.max(axis=0) > 0, contributions.argmax(axis=0), -1)
    np.testing.assert_array_equal(model.explain(history, np.arange(12, dtype=np.int32)), expected)


def test_items_that_nobody_took_change_nothing(rows):
    narrow, wide = fit(rows), fit(rows, n_items=20)
    assert not wide.vectors[12:].any()
    assert wide.known == narrow.known == 12


def test_a_heavier_event_pulls_harder(rows):
    model, history = fit(rows), np.array([2, 9], np.int32)
    even = model.score_one(history, np.array([1, 1], np.float32))
    heavy = model.score_one(history, np.array([1, 5], np.float32))
    assert heavy[9] > even[9]
