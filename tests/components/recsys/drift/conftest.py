"""Small worlds and their counts, made once."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

import polars as pl
import pytest

from components.recsys.drift import Counter, Finding, Plan, compare, make_plan, windows
from components.recsys.settings import DriftSettings
from components.recsys.simulator import World
from components.recsys.simulator.world import START

FIRST = int(START.timestamp()) // 86_400
BASE_DAYS = 60


@dataclass(frozen=True)
class Counted:
    """The organic days of a world, counted. `on(day)` is what is found at the beginning of that day."""

    plan: Plan
    counter: Counter
    settings: DriftSettings

    def on(self, day: int, trained_until: int = BASE_DAYS) -> list[Finding]:
        chosen = windows(FIRST + day, FIRST + trained_until, FIRST, self.settings.window_days, 4)
        return compare(self.counter.counts, self.plan, {"organic": chosen}, self.settings)

    def detected(self, day: int, trained_until: int = BASE_DAYS) -> set[str]:
        return {finding.feature for finding in self.on(day, trained_until) if finding.detected}


@lru_cache(maxsize=8)
def count_world(seed: int, shift: str = "", strength: float = 1.0, day: int = 74, days: int = 90) -> Counted:
    world = World(seed, n_users=600, n_items=300)
    if shift:
        world.shift(shift, day, strength)
    events, settings = world.history(days), DriftSettings()
    base = events.filter(pl.col("timestamp").dt.epoch("s") < (FIRST + BASE_DAYS) * 86_400)
    plan = make_plan(world.items(), base, settings)
    counter = Counter(plan)
    counter.add_events(events)
    return Counted(plan, counter, settings)


@pytest.fixture(scope="session")
def counted() -> Callable[..., Counted]:
    """`counted(seed, "economy", strength)`: each world is made once."""
    return count_world


@pytest.fixture(scope="session")
def world_events() -> tuple[World, pl.DataFrame]:
    world = World(5, n_users=200, n_items=120)
    return world, world.history(40)
