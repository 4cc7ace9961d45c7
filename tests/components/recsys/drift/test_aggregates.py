import sys
from datetime import timedelta

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from components.recsys.drift import Aggregates, Counter, make_plan, merged
from components.recsys.drift.aggregates import SHARDS, UNIT, shard_of
from components.recsys.predictions import Prediction, Shown
from components.recsys.settings import DriftSettings
from components.recsys.simulator.world import START

DAY = int(START.timestamp()) // 86_400


@pytest.fixture(scope="session")
def plan(world_events):
    world, events = world_events
    return make_plan(world.items(), events, DriftSettings())


def count(plan, *frames):
    counter = Counter(plan)
    for frame in frames:
        counter.add_events(frame)
    return counter.counts


@settings(max_examples=25, deadline=None)
@given(data=st.data())
def test_several_monitors_count_what_one_would(world_events, plan, data):
    """However rows are shared out, in whatever order they come and are merged: to the last digit."""
    events = world_events[1].head(900)
    order = np.random.default_rng(data.draw(st.integers(0, 1000))).permutation(events.height)
    cuts = sorted(data.draw(st.lists(st.integers(0, events.height), min_size=2, max_size=4)))
    shuffled = events[order]
    parts = [shuffled[a:b] for a, b in zip([0, *cuts], [*cuts, events.height], strict=True)]
    counts = [count(plan, part) for part in parts]
    whole = count(plan, events)
    assert merged(counts) == whole
    assert merged(counts[::-1]) == whole
    assert merged([merged(counts[:2]), *counts[2:]]) == merged([counts[0], merged(counts[1:])])


def test_memory_does_not_grow_with_rows(world_events, plan):
    once = count(plan, world_events[1])
    often = count(plan, *[world_events[1]] * 5)
    assert {day: array.nbytes for day, array in once.days.items()} == {
        day: array.nbytes for day, array in often.days.items()
    }
    assert sys.getsizeof(often.days) == sys.getsizeof(once.days)


def test_lists_are_shared_out_among_their_values(world_events, plan):
    counts = count(plan, world_events[1])
    genres = next(feature for feature in plan.features if feature.name == "organic.genres")
    assert counts.window(DAY, 40)[:, genres.columns].sum() == UNIT * world_events[1].height


def test_counts_survive_the_way_to_disk(world_events, plan):
    counts = count(plan, world_events[1])
    assert Aggregates.from_bytes(counts.to_bytes()) == counts
    with pytest.raises(ValueError, match=r"\w"):
        Aggregates.from_bytes(b"PK nonsense")


def test_rows_that_cannot_be_used_are_counted_and_odd_numbers_are_absent(plan, world_events):
    rows = (
        world_events[1]
        .head(4)
        .with_columns(
            value=pl.Series([float("nan"), float("inf"), -1e308, None]),
            item_id=pl.Series(["nowhere", None, "syn-f0001", "syn-f0001"]),
            timestamp=pl.Series([START, START, None, START + timedelta(days=1)], dtype=pl.Datetime("us", "UTC")),
        )
    )
    counter = Counter(plan)
    counter.add_events(rows)
    assert counter.skipped == 2
    value = next(feature for feature in plan.features if feature.name == "organic.value")
    assert counter.counts.window(DAY, 2)[:, value.columns].sum(axis=0)[-1] == 2 * UNIT  # "none"
    kind = next(feature for feature in plan.features if feature.name == "organic.kind")
    unknown = kind.labels.index("unknown")
    assert counter.counts.window(DAY, 1)[:, kind.columns].sum(axis=0)[unknown] == UNIT


def test_only_the_champions_own_lists_tell_of_its_scores():
    items = pl.DataFrame({"item_id": ["a", "b"], "kind": ["x", "y"]})
    plan = make_plan(items, pl.DataFrame(schema={"item_id": pl.String, "event": pl.String}), DriftSettings(), "champ")

    def record(release="champ", variant="champion", score=0.5, **more):
        shown = (Shown("a", score, 1.0), Shown("zzz", score, 1.0))
        return Prediction("r", START.isoformat(), "key", release, variant, shown, (), 2, 1.0, **more)

    counter = Counter(plan)
    counter.add_predictions(
        [
            record(),
            record(score=float("nan")),
            record(release="other", failed="timeout"),
            record(variant="shadow"),
            record(release="", fallback="none answers"),
        ]
    )
    total = counter.counts.window(DAY, 1).sum(axis=0)
    by_name = {feature.name: total[feature.columns] / UNIT for feature in plan.features}
    assert by_name["shown.kind"].sum() == 4
    assert by_name["shown.score"].sum() == 2
    assert by_name["asked.answered_by"].tolist() == [2, 1, 1]
    assert by_name["asked.history"].tolist() == [4, 0, 0, 0]
    exposed = counter.exposure.of(DAY, 1)
    assert (exposed.lists, exposed.coverage) == (4, 0.5)


def test_shards_are_even_and_the_same_in_every_process():
    assert shard_of("syn-u0007") == shard_of("syn-u0007") == 39
    sizes = np.bincount([shard_of(f"user {n}") for n in range(6400)], minlength=SHARDS)
    assert sizes.min() > 60
