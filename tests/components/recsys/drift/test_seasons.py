"""Two years of a world whose tastes for climates change with the season: day 92 is the first of June, day 457 the next one."""

from collections.abc import Callable
from functools import lru_cache

import polars as pl
import pytest

from components.recsys.drift import Aggregates, Counter, Finding, compare, make_plan, windows
from components.recsys.settings import DriftSettings
from components.recsys.simulator import World
from components.recsys.simulator.world import START

FIRST = int(START.timestamp()) // 86_400
SUMMER, SECOND = 92, 457
SETTINGS = DriftSettings(
    min_effect=0.05
)  # the season moves climates by 0.08 to 0.12: at 0.1 half of the worlds would be silent anyway


@lru_cache(maxsize=2)
def _life(seed: int, shift: bool) -> tuple[World, pl.DataFrame]:
    """The weeks around both summers; every day for itself, so that nobody tires of what was seen a year ago."""
    world = World(seed, n_users=600, n_items=200)
    if shift:
        world.shift("economy", SECOND, 1.0)
    days = [*range(SUMMER - 36, SUMMER + 16), *range(SECOND - 36, SECOND + 16)]
    return world, pl.concat(world.history(1, start=day) for day in days)


@pytest.fixture(scope="module")
def found() -> Callable[..., list[Finding]]:
    def find(day: int, seed: int = 1, shift: bool = False, since: int = 0) -> list[Finding]:
        """On a morning, by a champion trained until a week before the summer; `since`: the first day with events."""
        world, events = _life(seed, shift)
        trained = (SECOND if day > SECOND - 40 else SUMMER) - 7
        epoch = pl.col("timestamp").dt.epoch("s") // 86_400 - FIRST
        plan = make_plan(world.items(), events.filter((epoch >= trained - 28) & (epoch < trained)), SETTINGS)
        counter = Counter(plan)
        counter.add_events(events.filter(epoch >= since))
        counter.counts.keep(range(FIRST + day - 60, FIRST + day + 1), totals=range(FIRST, FIRST + day))
        chosen = windows(FIRST + day, FIRST + trained, FIRST + trained - 28, 7, 4)
        return compare(counter.counts, plan, {"organic": chosen}, SETTINGS)

    return find


def detected(findings: list[Finding]) -> set[str]:
    return {finding.feature for finding in findings if finding.detected}


@pytest.mark.parametrize("seed", [1, 2])
def test_the_first_summer_cannot_be_told_from_a_change_of_tastes(seed, found):
    assert "organic.climate" in detected(found(SUMMER + 8, seed))


@pytest.mark.parametrize("seed", [1, 2])
def test_the_second_summer_is_silent(seed, found):
    for day in (SECOND + 1, SECOND + 2, SECOND + 4, SECOND + 8, SECOND + 15):
        findings = found(day, seed)
        assert not detected(findings), day
        assert "organic.climate" in {finding.feature for finding in findings if not finding.untested}


@pytest.mark.parametrize("seed", [1, 2])
def test_without_the_year_before_the_second_summer_is_a_first_one(seed, found):
    assert "organic.climate" in detected(found(SECOND + 8, seed, since=SECOND - 36))


def test_a_change_of_tastes_in_the_second_summer_is_seen(found):
    assert "organic.class" in detected(found(SECOND + 8, shift=True))


def test_totals_of_days_long_ago_are_what_their_shards_were():
    world, events = _life(1, False)
    plan = make_plan(world.items(), events, SETTINGS)
    whole, kept, later = (Counter(plan) for _ in range(3))
    first = FIRST + SUMMER - 36
    whole.add_events(events)
    early = pl.col("timestamp").dt.epoch("s") // 86_400 < first + 20
    kept.add_events(events.filter(early))
    kept.counts.keep(range(first + 10, first + 20), totals=range(first + 2, first + 10))
    later.add_events(events.filter(~early))
    for part in (kept.counts, later.counts):
        assert Aggregates.from_bytes(part.to_bytes()) == part
    kept.counts.merge(later.counts)
    for start, days in ((first + 2, 18), (first + 5, 7), (first + 8, 30)):
        assert (kept.counts.total(start, days) == whole.counts.total(start, days)).all()
    assert not kept.counts.total(first, 2).any()  # neither kept nor in the range of the totals
    assert kept.counts.first_day(plan.columns_of("organic")) == first + 10
