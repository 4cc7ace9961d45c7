"""A home with two releases, a predictor that always answers, and a log that is written as gateways write it."""

import json
import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from components.recsys.buckets import bucket, variant_of
from components.recsys.clock import VARIABLE, set_clock
from components.recsys.home import Home
from components.recsys.ledger import Ledger
from components.recsys.predictions import EVENTS, PREDICTIONS, Prediction, Shown, segment
from components.recsys.routes import Routes
from components.recsys.settings import LogSettings, RolloutSettings, Settings

NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)
A, B, C = "a" * 64, "b" * 64, "c" * 64


class Clock:
    """The everloop clock of a test."""

    def __init__(self, path: Path) -> None:
        self.path, self.time = path, NOON
        set_clock(path, self.time)

    def forward(self, seconds: float) -> datetime:
        self.time += timedelta(seconds=seconds)
        set_clock(self.path, self.time)
        return self.time


@pytest.fixture
def clock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock(tmp_path / "clock")
    monkeypatch.setenv(VARIABLE, str(made.path))
    return made


@dataclass
class Elsewhere:
    """Predictors that run somewhere else and answer, unless told otherwise: what the engine asks is kept."""

    down: set[str] = field(default_factory=set)
    ended: dict[str, int] = field(default_factory=dict)
    in_use: set[str] = field(default_factory=set)
    restarts: int = 0

    def ensure(self, digest: str) -> str | None:
        return None if digest in self.down else f"http://{digest[:4]}"

    def condition(self, digest: str) -> Any:
        return "crashed" if digest in self.down else "ready"

    def crashes(self, digest: str) -> int:
        return self.ended.get(digest, 0)

    def last_words(self, digest: str) -> str:
        return "no such file"

    def release(self, in_use: set[str], warm: set[str]) -> None:
        self.in_use = in_use

    def facts(self) -> list[dict[str, object]]:
        return []

    def stop_all(self) -> None:
        """Nothing runs."""


@dataclass
class Traffic:
    """What a gateway does, as far as the log tells: each ask gives a record by the present routes, clicked or not.

    click, fail, slow, fallback: by variant. items: what a variant shows, of 200 items.
    """

    home: Home
    clock: Clock
    people: int = 400
    click: dict[str, float] = field(default_factory=lambda: {"champion": 0.3, "candidate": 0.3})
    fail: dict[str, float] = field(default_factory=dict)
    slow: dict[str, float] = field(default_factory=dict)
    fallback: dict[str, float] = field(default_factory=dict)
    items: dict[str, int] = field(default_factory=dict)
    seed: int = 1
    segments: int = 0

    def __post_init__(self) -> None:
        self.rng = np.random.default_rng(self.seed)

    def lists(self, count: int, seconds: float = 60.0) -> list[Prediction]:
        """`count` lists of random people over some seconds, and their clicks, in one segment each."""
        routes = Routes.read(self.home.store)
        assert routes is not None
        assert routes.champion is not None
        made, clicks = [], []
        for _ in range(count):
            self.clock.time += timedelta(seconds=seconds / count)
            user = f"{int(self.rng.integers(self.people)):032x}"
            variant = variant_of(bucket(routes.salt, user), routes.share if routes.candidate else 0.0)
            record = self.record(user, variant, routes)
            made.append(record)
            if routes.mirror:
                made.append(self.record(user, "shadow", routes, record.request_id))
            if self.rng.random() < self.click.get(variant, 0.0):
                clicks.append(
                    {
                        "user_id": user,
                        "item_id": record.items[0].item,
                        "event": "click",
                        "request_id": record.request_id,
                    }
                )
        self.clock.forward(0)
        self.write(PREDICTIONS, [record.to_json() for record in made])
        self.write(EVENTS, [json.dumps(click).encode() for click in clicks])
        return made

    def record(self, user: str, variant: str, routes: Routes, request: str = "") -> Prediction:
        failed = self.rng.random() < self.fail.get(variant, 0.0)
        target = routes.candidate if variant != "champion" and not failed else routes.champion
        assert target is not None
        catalogue = self.items.get(variant, 200)
        items = tuple(
            Shown(f"i{number}", 1.0 - place / 10, 1.0)
            for place, number in enumerate(self.rng.choice(catalogue, 10, replace=False))
        )
        return Prediction(
            request or f"q{self.rng.integers(2**62):x}",
            self.clock.time.isoformat(timespec="microseconds"),
            user,
            target.release,
            variant,
            items,
            tuple(shown.item for shown in items),
            10,
            float(self.rng.gamma(4.0, self.slow.get(variant, 1.0))),
            fallback="unknown_user" if self.rng.random() < self.fallback.get(variant, 0.0) else "",
            failed="unreachable" if failed else "",
            rollout=routes.rollout,
            epoch=routes.epoch,
        )

    def write(self, prefix: str, lines: Iterable[bytes]) -> str:
        self.segments += 1
        key = f"{prefix}/{self.clock.time.date().isoformat()}/gateway-{self.segments:06d}.jsonl.gz"
        self.home.store.write(key, segment(lines))
        return key


@pytest.fixture
def home(tmp_path: Path, clock: Clock) -> Home:
    """Release A serves."""
    made = Home(tmp_path / "names-only")
    Ledger(made).append("promote", A, "the first")
    return made


@pytest.fixture
def traffic(home: Home, clock: Clock) -> Callable[..., Traffic]:
    return lambda home=home, **more: Traffic(home, clock, **more)


def quick(**rollout: Any) -> Settings:
    wanted = {"bake_seconds": 600, "min_lists": 50, "click_seconds": 60, "interval_seconds": 0.2, "port": 0, **rollout}
    return Settings(rollout=RolloutSettings(**wanted), log=LogSettings(segment_seconds=1e-9))


@pytest.fixture(name="quick")
def quick_fixture() -> Callable[..., Settings]:
    return quick


@pytest.fixture
def elsewhere() -> Elsewhere:
    return Elsewhere()


@pytest.fixture(autouse=True)
def _no_waiting_for_the_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    """Processes die here, the machine does not."""
    monkeypatch.setattr(os, "fsync", lambda descriptor: None)
