"""What every model in MODELS promises. A new model is tested by being registered."""

import hashlib
from datetime import UTC, datetime, timedelta

import numpy as np
import polars as pl
import pytest

from components.recsys import release
from components.recsys.errors import InputError
from components.recsys.frames import Catalogue, Histories, Interactions
from components.recsys.models import MODELS
from components.recsys.models.base import Training
from components.recsys.ranking import rank
from components.recsys.settings import parse
from components.recsys.store import open_store

SIDE = 40  # users and items of the checkerboard
START = datetime(2026, 1, 1, tzinfo=UTC)
ALIKE_FOR_ALL = {"popularity"}  # has nothing to say about who asks
SMALL = {"svd": {"factors": 2}, "ials": {"factors": 8}}  # a board has two tastes; more factors would learn its holes
BLIND_TO_ORDER = {"popularity"}

names = pytest.mark.parametrize("name", list(MODELS))


def events(rows):
    """From (user, item, hour)."""
    return pl.DataFrame(
        {
            "user_id": pl.Series([row[0] for row in rows], dtype=pl.String),
            "item_id": pl.Series([row[1] for row in rows], dtype=pl.String),
            "timestamp": pl.Series(
                [START + timedelta(hours=int(row[2])) for row in rows], dtype=pl.Datetime("us", "UTC")
            ),
        }
    )


def checkerboard():
    """User u took the items of u's colour, but for item u: which is therefore the one to recommend."""
    return [
        (f"u{user:02}", f"i{item:02}", (7 * user + 3 * item) % 50)
        for user in range(SIDE)
        for item in range(SIDE)
        if (user + item) % 2 == 0 and user != item
    ]


ITEMS = np.array([f"i{item:02}" for item in range(SIDE)], dtype=object)
CATALOGUE = Catalogue(
    pl.DataFrame(
        {
            "item_id": ITEMS.tolist(),
            "title": [f"{('white', 'black')[item % 2]} square number {item}" for item in range(SIDE)],
            "genres": [[("white", "black")[item % 2]] for item in range(SIDE)],
        }
    )
)


def fit(name, rows=None, config=None, validation=None, seed=42):
    kind = MODELS[name]
    interactions = Interactions.from_frame(events(checkerboard() if rows is None else rows), ITEMS)
    held = Interactions.from_frame(events(validation), ITEMS) if validation else None
    chosen = SMALL.get(name, {}) if config is None else config
    return kind(parse(kind.Config, chosen)).fit(Training(interactions, CATALOGUE, held, seed))


@pytest.fixture(scope="module")
def fitted():
    """Each model on the checkerboard, fitted when first asked for."""
    models = {}
    return lambda name: models.setdefault(name, fit(name))


def board_histories():
    return Interactions.from_frame(events(checkerboard()), ITEMS).histories


def digest(model):
    found = hashlib.sha256()
    for name, array in sorted(model.weights().items()):
        found.update(f"{name} {array.dtype} {array.shape}".encode() + np.ascontiguousarray(array).tobytes())
    return found.hexdigest()


@names
def test_it_finds_the_missing_square_of_a_checkerboard(name, fitted):
    listed, _ = rank(fitted(name), board_histories(), k=1)
    if name in ALIKE_FOR_ALL:
        assert len(listed) == SIDE
    else:
        np.testing.assert_array_equal(listed[:, 0], np.arange(SIDE))


@names
def test_scores_are_finite_float32_of_the_right_shape_whatever_the_history(name, fitted):
    lists = [["i01"], [], ["no such item"], ["i03"] * 200, ITEMS.tolist(), ITEMS.tolist() * 3]
    histories = Histories.of(lists, ITEMS)
    scores = fitted(name).score(histories)
    assert scores.shape == (len(lists), SIDE)
    assert scores.dtype == np.float32
    assert np.isfinite(scores).all()
    assert fitted(name).score(histories[0:0]).shape == (0, SIDE)


@names
def test_an_empty_history_and_one_of_unknown_items_get_popularity(name, fitted):
    scores = fitted(name).score(Histories.of([[], ["no such item"]], ITEMS))
    np.testing.assert_array_equal(scores[0], fitted(name).prior)
    np.testing.assert_array_equal(scores[1], fitted(name).prior)


@names
def test_a_list_alone_scores_as_it_does_in_a_batch(name, fitted):
    model, rng = fitted(name), np.random.default_rng(5)
    rows = [rng.integers(0, SIDE, length).tolist() for length in (0, 1, 2, 7, 60, 300)]
    histories = Histories.from_rows(rows, SIDE)
    together = model.score(histories)
    for index in range(len(rows)):
        part = histories[index : index + 1]
        alone = model.score_one(part.indices, part.weights)
        assert alone.shape == (SIDE,)
        assert alone.dtype == np.float32
        np.testing.assert_allclose(alone, together[index], rtol=2e-4, atol=2e-5)
        np.testing.assert_allclose(model.score(part)[0], together[index], rtol=2e-4, atol=2e-5)


@names
def test_weights_of_events_count_alone_as_in_a_batch(name, fitted):
    model, indices = fitted(name), np.array([1, 4, 9], np.int32)
    weights = np.array([0.2, 5.0, 1.0], np.float32)
    together = model.score(Histories(np.array([0, 3]), indices, weights, SIDE))[0]
    np.testing.assert_allclose(model.score_one(indices, weights), together, rtol=2e-4, atol=2e-5)


@names
def test_scores_may_be_overwritten(name, fitted):
    histories = Histories.of([["i01", "i03"], []], ITEMS)
    before = fitted(name).score(histories).copy()
    fitted(name).score(histories)[:] = -np.inf
    for row, history in ((0, histories.indices), (1, histories.indices[:0])):
        fitted(name).score_one(history, np.ones(len(history), np.float32))[:] = -np.inf
        np.testing.assert_array_equal(fitted(name).score(histories)[row], before[row])


@names
def test_the_order_of_a_history_matters_only_by_recency(name):
    config = SMALL.get(name, {})
    forth, back = Histories.of([["i01", "i02", "i06"]], ITEMS), Histories.of([["i06", "i02", "i01"]], ITEMS)
    if "half_life" in MODELS[name].Config.model_fields:
        flat = fit(name, config={**config, "half_life": None})
        np.testing.assert_array_equal(flat.score(forth), flat.score(back))
        recent = fit(name, config={**config, "half_life": 1})
        assert np.abs(recent.score(forth) - recent.score(back)).max() > 1e-4
    else:
        model = fit(name, config=config)
        assert (model.score(forth) == model.score(back)).all() == (name in BLIND_TO_ORDER)


@names
def test_fitting_twice_gives_the_same_bytes(name, fitted):
    assert digest(fit(name)) == digest(fitted(name))


@names
def test_the_order_of_the_events_changes_no_byte(name, fitted):
    rows = checkerboard()
    np.random.default_rng(1).shuffle(rows)
    assert digest(fit(name, rows)) == digest(fitted(name))


@names
def test_who_the_users_are_changes_no_score(name, fitted):
    renamed = [(f"u{SIDE - int(user[1:]):02}", item, hour) for user, item, hour in checkerboard()]
    scores = fit(name, renamed).score(board_histories())
    np.testing.assert_allclose(scores, fitted(name).score(board_histories()), rtol=1e-3, atol=1e-4)


@names
def test_no_array_grows_with_the_users(name, fitted):
    doubled = checkerboard() + [(f"twin of {user}", item, hour) for user, item, hour in checkerboard()]
    once, twice = fitted(name).weights(), fit(name, doubled).weights()
    assert {key: array.shape for key, array in once.items()} == {key: array.shape for key, array in twice.items()}


@names
def test_a_release_scores_to_the_last_digit_like_what_was_fitted(name, fitted, tmp_path):
    store = open_store(str(tmp_path))
    saved = release.save(store, fitted(name), CATALOGUE, {}, {})
    loaded = release.load(store, saved).model
    rows = Histories.of([["i01", "i04"], [], ["i09"] * 3], ITEMS)
    np.testing.assert_array_equal(loaded.score(rows), fitted(name).score(rows))
    np.testing.assert_array_equal(
        loaded.explain(rows.indices, rows.indices), fitted(name).explain(rows.indices, rows.indices)
    )
    one = np.array([1, 4], np.int32), np.ones(2, np.float32)
    np.testing.assert_array_equal(loaded.score_one(*one), fitted(name).score_one(*one))
    assert release.save(store, loaded, CATALOGUE, {}, {}) == saved


@names
def test_a_reason_is_a_place_in_the_history_or_none(name, fitted):
    history = np.array([1, 3, 3, 6], np.int32)
    reasons = fitted(name).explain(history, np.arange(SIDE, dtype=np.int32))
    assert reasons.shape == (SIDE,)
    assert reasons.dtype == np.int32
    assert reasons.min() >= -1
    assert reasons.max() < len(history)
    assert fitted(name).explain(history[:0], np.array([1, 2], np.int32)).tolist() == [-1, -1]
    assert fitted(name).explain(history, history[:0]).shape == (0,)


@names
def test_the_reason_is_of_the_same_colour(name, fitted):
    if name in ALIKE_FOR_ALL:
        assert (fitted(name).explain(np.array([1, 2], np.int32), np.arange(SIDE, dtype=np.int32)) == -1).all()
        return
    reasons = fitted(name).explain(np.array([1, 2], np.int32), np.arange(3, SIDE, dtype=np.int32))
    colour = np.array([0 if item % 2 else 1 for item in range(3, SIDE)])
    given = reasons >= 0
    np.testing.assert_array_equal(reasons[given], colour[given])
    assert given.mean() > 0.75  # in a blend, popularity may be what lifts an item most


@names
def test_nothing_is_left_to_choose_after_a_fit(name, fitted):
    assert not fitted(name).learns()
    assert fitted(name).learnt() == {}


@names
def test_what_is_learnt_on_validation_data_is_a_recipe_that_needs_none(name):
    rows = checkerboard()
    validation = [(f"u{user:02}", f"i{user:02}", 60) for user in range(SIDE)]
    model = fit(name, rows, validation=validation)
    assert model.learnt()
    kind = MODELS[name]
    recipe = parse(kind.Config, {**kind.Config(**SMALL.get(name, {})).model_dump(), **model.learnt()})
    assert not kind(recipe).learns()
    interactions = Interactions.from_frame(events(rows), ITEMS)
    again = kind(recipe).fit(Training(interactions, CATALOGUE))
    assert again.config == model.config
    assert digest(again) == digest(model)


@names
def test_an_unknown_setting_is_refused_with_the_nearest_name(name):
    known = next(iter(MODELS[name].Config.model_fields))
    with pytest.raises(InputError, match=f"did you mean '{known}'"):
        parse(MODELS[name].Config, {known + "x": 1})


@names
@pytest.mark.parametrize(
    "rows",
    [
        pytest.param([("u", "i00", 0)], id="one event"),
        pytest.param([("u", f"i{item:02}", item) for item in range(5)], id="one user"),
        pytest.param([(f"u{user}", "i07", user) for user in range(5)], id="one item"),
        pytest.param([("u", "i07", hour) for hour in range(5)], id="one event again and again"),
        pytest.param([], id="no event"),
    ],
)
def test_hardly_any_data_still_gives_finite_scores(name, rows):
    model = fit(name, rows)
    scores = model.score(Histories.of([["i00"], ["i07", "i07"], [], ["i30"]], ITEMS))
    assert scores.shape == (4, SIDE)
    assert np.isfinite(scores).all()


@names
def test_items_that_nobody_took_are_scored_too(name):
    rows = [row for row in checkerboard() if int(row[1][1:]) % 5]
    model = fit(name, rows)
    histories = Histories.of([["i01", "i03"], ["i05"], ["i01", "i05"] * 40, []], ITEMS)
    scores = model.score(histories)
    assert np.isfinite(scores).all()
    for index in range(4):
        part = histories[index : index + 1]
        np.testing.assert_allclose(model.score_one(part.indices, part.weights), scores[index], rtol=2e-4, atol=2e-5)
    every = np.arange(SIDE, dtype=np.int32)
    assert model.explain(every, every).max() < SIDE


@names
def test_without_attributes_every_model_still_answers(name):
    kind = MODELS[name]
    interactions = Interactions.from_frame(events(checkerboard()), ITEMS)
    model = kind(parse(kind.Config, SMALL.get(name, {}))).fit(Training(interactions, Catalogue.empty(ITEMS)))
    assert np.isfinite(model.score(Histories.of([["i01"], []], ITEMS))).all()
