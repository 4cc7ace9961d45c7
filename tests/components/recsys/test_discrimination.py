"""The ROC curve against scikit-learn's, and on rankings whose answer is known."""

import numpy as np
import polars as pl
import pytest
from sklearn.metrics import roc_auc_score

from components.recsys import splits
from components.recsys.discrimination import MOST_PEOPLE, discriminate
from components.recsys.frames import Catalogue, Interactions
from components.recsys.heldout import HeldOut
from components.recsys.models import MODELS
from components.recsys.models.base import Model, Training
from components.recsys.settings import PrepareSettings


def world(people: int, items: int, seed: int) -> splits.Split:
    """Two tastes: people of one take mostly items of one half."""
    chance = np.random.default_rng(seed)
    rows = [
        (f"u{user}", f"i{int(chance.integers(items // 2)) * 2 + (user + int(chance.random() < 0.1)) % 2:04}", step)
        for user in range(people)
        for step in range(15)
    ]
    events = pl.DataFrame(rows, schema=["user_id", "item_id", "step"], orient="row").with_columns(
        timestamp=pl.datetime(2026, 1, 1, time_zone="UTC") + pl.duration(hours=pl.col("step")),
        event=pl.lit("interaction"),
        value=pl.lit(None, pl.Float64),
        event_id=pl.concat_str("user_id", pl.lit("-"), pl.col("step").cast(pl.String)),
    )
    return splits.split(events.drop("step"), PrepareSettings(), seed)


def fitted(name: str, parts: splits.Split) -> Model:
    before = pl.concat([parts.train, parts.validation])
    items = np.array(sorted(before["item_id"].unique()), dtype=object)
    kind = MODELS[name]
    interactions = Interactions.from_frame(before, items)
    return kind(kind.Config()).fit(Training(interactions, Catalogue.align(items, None), None, 42))


@pytest.mark.parametrize("name", ["item_knn", "popularity", "ease"])
def test_the_area_is_the_mean_over_taken_items_of_scikit_learns(name: str) -> None:
    parts = world(60, 40, seed=3)
    model = fitted(name, parts)
    curve = discriminate(model, parts, seed=1)
    assert curve is not None
    held, areas, weights = HeldOut.of(parts, model.items), [], []
    for row in range(len(held.histories)):
        history, taken = held.histories[row : row + 1], held.truth[row : row + 1].indices
        if not len(taken):
            continue
        scores = model.score_one(history.indices, history.weights).astype(float)
        scores -= (
            np.arange(len(scores)) * 1e-12 * max(1.0, np.abs(scores).max())
        )  # ties stand in the order of positions
        unseen = np.setdiff1d(np.arange(len(scores)), history.indices)
        areas.append(roc_auc_score(np.isin(unseen, taken), scores[unseen]))
        weights.append(len(taken))
    assert curve.people == len(areas)
    assert curve.area == pytest.approx(np.average(areas, weights=weights), abs=2e-3)


def test_the_curve_rises_from_nothing_to_everything() -> None:
    parts = world(60, 40, seed=3)
    curve = discriminate(fitted("item_knn", parts), parts, seed=1)
    assert curve is not None
    for share in (curve.found, curve.shown):
        assert (share[0], share[-1]) == (0.0, 1.0)
        assert np.all(np.diff(share) >= 0)
    assert np.all(np.diff(curve.lengths) > 0)
    assert (curve.thresholds()[0], curve.thresholds()[-1]) == (1.0, 0.0)
    assert curve.area > 0.6  # it has learnt the tastes
    assert np.trapezoid(curve.found, curve.shown) == pytest.approx(curve.area, abs=0.02)
    assert "a list of 10 holds" in curve.sentence()


def test_of_many_people_a_bounded_number_is_drawn_the_same_for_a_seed() -> None:
    parts = world(MOST_PEOPLE + 100, 30, seed=5)
    model = fitted("popularity", parts)
    one, same = (discriminate(model, parts, seed=1) for _ in range(2))
    assert one is not None
    assert same is not None
    assert one.people <= MOST_PEOPLE
    assert (one.area, one.found.tolist()) == (same.area, same.found.tolist())


def test_where_nobody_took_anything_new_there_is_no_curve() -> None:
    parts = world(20, 40, seed=3)
    again = parts.train.select(parts.test.columns).head(10)
    assert discriminate(fitted("popularity", parts), splits.Split(**{**vars(parts), "test": again}), seed=1) is None
