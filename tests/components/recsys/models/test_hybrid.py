import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from components.recsys.errors import InputError
from components.recsys.frames import Catalogue, Histories, Interactions
from components.recsys.models import MODELS, hybrid
from components.recsys.models.base import Training
from components.recsys.models.hybrid import Hybrid, _with_share, standardise

N = 20
ITEMS = np.array([f"i{item:02}" for item in range(N)], dtype=object)
GENRES = Catalogue(pl.DataFrame({"item_id": ITEMS.tolist(), "genres": [[f"g{item % 2}"] for item in range(N)]}))


def interactions(rows, first=0):
    histories = Histories.from_rows(rows, N)
    users = np.array([f"u{first + row:03}" for row in range(len(rows))], dtype=object)
    return Interactions(users, ITEMS, histories, np.zeros(len(histories.indices), np.int64))


def fit(rows, held=None, catalogue=GENRES, **config):
    validation = interactions(held) if held is not None else None
    return Hybrid(Hybrid.Config(**config)).fit(Training(interactions(rows), catalogue, validation))


@pytest.fixture
def rows():
    rng = np.random.default_rng(0)
    return [rng.choice(N, 6, replace=False).tolist() for _ in range(50)]


PARTS = {"ease": {"half_life": None}, "popularity": {}}


def test_it_is_the_weighted_sum_of_standardised_scores(rows):
    model = fit(rows, parts=PARTS, weights={"ease": 3, "popularity": 0.5})
    histories = Histories.from_rows(rows[:4], N)
    expected = 3 * standardise(model.parts["ease"].score(histories)) + 0.5 * standardise(
        model.parts["popularity"].score(histories)
    )
    np.testing.assert_allclose(model.score(histories), expected, atol=1e-5)


def test_weights_find_the_part_that_knows(rows):
    by_genre = [[item for item in range(N) if item % 2 == row[0] % 2 and item not in row][:4] for row in rows]
    model = fit(rows, by_genre, parts={"content": {}, "popularity": {}, "ease": {}})
    assert model.config.weights["content"] > 0.5
    assert sum(model.config.weights.values()) == pytest.approx(1, abs=1e-3)
    assert model.learnt()["weights"] == model.config.weights


def test_a_part_that_weighs_nothing_is_dropped_but_popularity_stays(rows, monkeypatch):
    monkeypatch.setattr(hybrid, "SHARES", (1.0,))
    by_genre = [[item for item in range(N) if item % 2 == row[0] % 2 and item not in row][:4] for row in rows]
    model = fit(rows, by_genre, parts={"content": {}, "popularity": {}, "ease": {}})
    assert model.config.weights == {"content": 1.0, "popularity": 0.0}
    assert set(model.parts) == set(model.learnt()["parts"]) == {"content", "popularity"}
    assert not any(name.startswith("ease.") for name in model.weights())
    np.testing.assert_array_equal(model.prior, model.parts["popularity"].prior)


def test_large_catalogues_are_blended_without_ease(rows, monkeypatch):
    monkeypatch.setattr(hybrid, "MOST_ITEMS", N - 1)
    assert set(fit(rows).parts) == {"ials", "svd", "content", "popularity"}
    monkeypatch.setattr(hybrid, "MOST_ITEMS", N)
    assert "ease" in fit(rows).parts


def test_settings_of_parts_reach_them(rows):
    model = fit(rows, parts={"ease": {"l2": 7}}, weights={"ease": 1})
    assert model.parts["ease"].config.l2 == 7
    assert model.config.parts["ease"]["l2"] == 7


def test_a_part_that_has_something_to_learn_makes_the_blend_learn():
    assert Hybrid(Hybrid.Config(parts={"ease": {}}, weights={"ease": 1})).learns()
    assert not Hybrid(Hybrid.Config(parts=PARTS | {"popularity": {"half_life_days": 9}}, weights={"ease": 1})).learns()


@pytest.mark.parametrize(
    ("config", "sentence"),
    [
        ({"parts": {"eas": {}}}, "no model 'eas' to blend; did you mean 'ease'"),
        ({"parts": {"hybrid": {}}}, "no model 'hybrid' to blend"),
        (
            {"parts": {"ease": {"l3": 1}}},
            r"unknown setting 'train\.models\.hybrid\.parts\.ease\.l3'; did you mean 'l2'",
        ),
        ({"parts": PARTS, "weights": {"eas": 1}}, "'eas' is not among the parts; did you mean 'ease'"),
        ({"parts": PARTS, "weights": {"ease": 0}}, "at least one part a weight above 0"),
    ],
)
def test_what_cannot_be_blended_is_said(rows, config, sentence):
    with pytest.raises(InputError, match=sentence):
        fit(rows, **config)


def test_the_reason_comes_from_the_part_that_lifts_the_item_most(rows):
    history, items = np.array(rows[0], np.int32), np.arange(N, dtype=np.int32)
    model = fit(rows, parts=PARTS, weights={"ease": 1, "popularity": 1e-6})
    ease = model.parts["ease"]
    lifted = standardise(ease.score_one(history, np.ones(6, np.float32))) > 0.01
    np.testing.assert_array_equal(model.explain(history, items)[lifted], ease.explain(history, items)[lifted])
    model = fit(rows, parts=PARTS, weights={"ease": 1e-9, "popularity": 1})
    lifted = standardise(model.parts["popularity"].prior) > 0.01
    assert (model.explain(history, items)[lifted] == -1).all()


def test_every_other_model_can_be_a_part(rows):
    for name in MODELS:
        if name != "hybrid":
            model = fit(rows, parts={name: {}}, weights={name: 1})
            expected = standardise(model.parts[name].score(Histories.from_rows(rows[:3], N)))
            np.testing.assert_allclose(model.score(Histories.from_rows(rows[:3], N)), expected, atol=1e-5)


@given(st.lists(st.floats(-1e4, 1e4, width=32), min_size=1, max_size=30))
def test_standard_scores_are_finite_and_keep_the_order(values):
    scores = np.array(values, np.float32)
    standard = standardise(scores)
    assert np.isfinite(standard).all()
    order = np.argsort(scores, kind="stable")
    assert (np.diff(standard[order]) >= 0).all()


@given(st.lists(st.floats(0.015625, 1), min_size=2, max_size=5), st.floats(0, 1))
def test_giving_one_part_a_share_keeps_the_others_proportions(weights, share):
    total = sum(weights)
    before = {str(index): weight / total for index, weight in enumerate(weights)}
    after = _with_share(before, "0", share)
    assert sum(after.values()) == pytest.approx(1, abs=1e-3)
    assert after["0"] == pytest.approx(share, abs=1e-4)
    for name, weight in before.items():
        if name != "0":
            assert after[name] == pytest.approx(weight * (1 - share) / (1 - before["0"]), abs=1e-4)
