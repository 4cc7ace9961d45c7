"""The floor under every model: nDCG@10 that it must reach, here on a seeded world and on MovieLens 100K."""

from datetime import UTC, datetime, timedelta

import numpy as np
import polars as pl
import pytest

from components.recsys.datasets import movielens_100k
from components.recsys.errors import StoreError
from components.recsys.frames import Histories, Interactions
from components.recsys.metrics import hits, ndcg
from components.recsys.models import MODELS
from components.recsys.ranking import rank
from components.recsys.settings import PrepareSettings, TrainSettings
from components.recsys.splits import split
from components.recsys.training import fit_candidate

# By model: the seeded world, MovieLens at random (Microsoft Recommenders' protocol), MovieLens by each user's time.
# A few per cent under what was measured; EASE's are what Everloop promises.
FLOORS = {
    "popularity": (0.16, 0.24, 0.11),
    "item_knn": (0.57, 0.43, 0.22),
    "content": (0.37, 0.06, 0.05),
    "ease": (0.59, 0.484, 0.24),
    "ials": (0.48, 0.478, 0.245),
    "svd": (0.48, 0.455, 0.22),
    "hybrid": (0.59, 0.488, 0.248),
}
WORLD, RANDOM, BY_TIME = range(3)

names = pytest.mark.parametrize("name", list(MODELS))


def seeded_world(seed=7, users=400, items=150, tastes=5, each=40):
    """People like one of five kinds of items, change to another kind half-way, and now and then take anything."""
    rng = np.random.default_rng(seed)
    kind = rng.integers(0, tastes, items)
    appeal = rng.pareto(1.5, items) + 0.2
    start = datetime(2026, 1, 1, tzinfo=UTC)
    rows = []
    for user in range(users):
        first, second = rng.choice(tastes, 2, replace=False)
        chance = {taste: np.where(kind == taste, appeal, 0.02 * appeal) for taste in (first, second)}
        taken = np.zeros(items, bool)
        for step in range(each):
            weights = np.where(taken, 0, chance[first if step < each / 2 else second])
            item = rng.choice(items, p=weights / weights.sum())
            taken[item] = True
            rows.append((f"u{user:03}", f"i{item:03}", start + timedelta(hours=step, minutes=int(rng.integers(60)))))
    events = pl.DataFrame(
        rows, schema={"user_id": pl.String, "item_id": pl.String, "timestamp": pl.Datetime("us", "UTC")}, orient="row"
    )
    catalogue = pl.DataFrame(
        {"item_id": [f"i{item:03}" for item in range(items)], "genres": [[f"kind {k}"] for k in kind]}
    )
    return events, catalogue


def movielens():
    paths = movielens_100k()
    text = {"user_id:token": pl.String, "item_id:token": pl.String, "release_year:token": pl.String}
    read = {
        name: pl.read_csv(paths[name], separator="\t", schema_overrides=text, quote_char=None)
        for name in ("events", "items")
    }
    events = read["events"].select(
        user_id="user_id:token",
        item_id="item_id:token",
        timestamp=pl.from_epoch(pl.col("timestamp:float").cast(pl.Int64))
        .cast(pl.Datetime("us"))
        .dt.replace_time_zone("UTC"),
    )
    items = read["items"].select(
        item_id="item_id:token",
        title="movie_title:token_seq",
        year="release_year:token",
        genres=pl.col("class:token_seq").str.split(" "),
    )
    return events, items


@pytest.fixture(scope="module")
def splits_by_floor():
    """Which floor -> (split, items). Without a network the seeded world stands in, with its own floors."""
    world, catalogue = seeded_world()
    by_time = (split(world, PrepareSettings(), 42), catalogue, WORLD)
    try:
        events, items = movielens()
    except StoreError:
        return {WORLD: by_time, RANDOM: by_time, BY_TIME: by_time}
    at_random = split(events, PrepareSettings(split="random", test_share=0.25), 42)
    return {
        WORLD: by_time,
        RANDOM: (at_random, items, RANDOM),
        BY_TIME: (split(events, PrepareSettings(), 42), items, BY_TIME),
    }


def measure(name, parts, items):
    """nDCG@10 of a candidate over the full ranking, users without training left out."""
    fitted = fit_candidate(name, TrainSettings(), parts, items)
    before = Interactions.from_frame(pl.concat([parts.train, parts.validation]), fitted.model.items)
    after = Interactions.from_frame(parts.test, fitted.model.items)
    row_of = {user: row for row, user in enumerate(before.users)}
    known = [row for row, user in enumerate(after.users) if user in row_of]
    ends = before.histories.indptr
    rows = [row_of[after.users[row]] for row in known]
    histories = Histories.from_rows(
        [before.histories.indices[ends[row] : ends[row + 1]] for row in rows], len(fitted.model.items)
    )
    ends = after.histories.indptr
    truth = Histories.from_rows(
        [after.histories.indices[ends[row] : ends[row + 1]] for row in known], len(fitted.model.items)
    )
    listed, _ = rank(fitted.model, histories, 10)
    return fitted, float(ndcg(hits(listed, truth), truth.lengths).mean())


@names
@pytest.mark.parametrize("floor", [WORLD, RANDOM, BY_TIME], ids=["world", "movielens-random", "movielens-by-time"])
def test_every_model_keeps_above_its_floor(name, floor, splits_by_floor):
    parts, items, kind = splits_by_floor[floor]
    _, quality = measure(name, parts, items)
    assert quality >= FLOORS[name][kind]


def test_recency_is_learnt_where_tastes_move_and_not_where_they_are_shuffled():
    events, catalogue = seeded_world()
    moving, _ = measure("ease", split(events, PrepareSettings(), 42), catalogue)
    shuffled, _ = measure("ease", split(events, PrepareSettings(split="random"), 42), catalogue)
    assert moving.learnt["half_life"] in (4.0, 8.0, 16.0)
    assert shuffled.learnt["half_life"] is None
