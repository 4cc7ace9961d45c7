"""A synthetic travel world with a home: 60 days of history, a champion trained on them, and days that can be lived on."""

import json
import shutil
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from components.recsys.events import ingest, read_events, read_items
from components.recsys.frames import Catalogue, Histories, Interactions
from components.recsys.home import Home
from components.recsys.ledger import Ledger
from components.recsys.models import MODELS
from components.recsys.models.base import Training
from components.recsys.predictions import EVENTS, PREDICTIONS, Prediction, Shown, segment
from components.recsys.release import releases_of, save
from components.recsys.settings import Settings, load_settings
from components.recsys.simulator import World
from components.recsys.simulator.world import START
from monitoring.watching.watch import Watch

BASE_DAYS = 60


def moment(day: float) -> datetime:
    return START + timedelta(days=day)


@dataclass
class Life:
    """A home and the world that feeds it. `organic` are the events of people who never see a list."""

    home: Home
    world: World
    settings: Settings
    today: float = BASE_DAYS
    data: dict[str, Any] = field(default_factory=dict)
    histories: dict[str, list[str]] = field(default_factory=dict)
    segments: int = 0
    model: Any = None
    organic: pl.DataFrame = field(default_factory=pl.DataFrame)

    def clock(self) -> datetime:
        return moment(self.today)

    def watch(self) -> Watch:
        return Watch(self.home, self.settings, now=self.clock)

    def look_on(self, day: float, watch: Watch | None = None) -> dict[str, Any]:
        self.today = day
        return (watch or self.watch()).look()

    def train(self, digest_of: str = "ease") -> str:
        """A release on all that the table holds now, promoted at the present moment."""
        events, items = read_events(self.home, self.data), read_items(self.home, self.data)
        interactions = Interactions.from_frame(events)
        catalogue = Catalogue.align(interactions.items, items)
        kind = MODELS[digest_of]
        model = kind(kind.Config(half_life=8)).fit(Training(interactions, catalogue))
        hashes = {
            name: {key: value for key, value in part.items() if key != "version"} if part else None
            for name, part in self.data.items()
        }
        versions = {name: part["version"] if part else None for name, part in self.data.items()}
        digest = save(releases_of(self.home), model, catalogue, {"data": hashes}, {"data_version": versions})
        Ledger(self.home, self.clock).append("promote", digest, "trained")
        self.model = model
        return digest

    def ingest(self, events: pl.DataFrame, folder: Path) -> None:
        """Into the event table, as a training run does."""
        folder.mkdir(parents=True, exist_ok=True)
        events.write_parquet(folder / "events.parquet")
        self.world.items().write_parquet(folder / "items.parquet")
        sources = {"events": str(folder / "events.parquet"), "items": str(folder / "items.parquet")}
        self.data = ingest(self.home, sources, self.settings.data, now=datetime(2026, 6, 1, tzinfo=UTC)).data

    def log_events(self, rows: list[dict[str, Any]], day: int, writer: str = "gateway") -> str:
        lines = [json.dumps(row, default=lambda value: value.isoformat()).encode() for row in rows]
        self.segments += 1
        key = f"{EVENTS}/{moment(day):%Y-%m-%d}/{writer}-{self.segments:06d}.jsonl.gz"
        self.home.store.write(key, segment(lines))
        return key

    def log_predictions(self, records: list[Prediction], day: int) -> str:
        self.segments += 1
        key = f"{PREDICTIONS}/{moment(day):%Y-%m-%d}/gateway-{self.segments:06d}.jsonl.gz"
        self.home.store.write(key, segment([record.to_json() for record in records]))
        return key

    def live_organically(self, first: int, last: int) -> None:
        """Days of people who search by themselves; their events come through the gateway's log."""
        days = (self.organic["timestamp"] - START).dt.total_days()
        for day in range(first, last):
            self.log_events(self.organic.filter(days == day).to_dicts(), day)

    def live_with_lists(self, first: int, last: int, release: str) -> None:
        """Days of people who are given ten items each and choose from them."""
        for day in range(first, last):
            active = np.flatnonzero(
                np.random.default_rng([9, day]).random(len(self.world.people.ids)) < self.world.people.rate
            )
            users = [str(self.world.people.ids[index]) for index in active]
            rows = Histories.of([self.histories.get(user, []) for user in users], self.model.items)
            scores = self.model.score(rows)
            records, events = [], []
            for row, user in enumerate(users):
                scores[row, rows.indices[rows.indptr[row] : rows.indptr[row + 1]]] = -np.inf
                best = np.argsort(-scores[row])[:10]
                items = [str(self.model.items[index]) for index in best]
                request = f"r-{day}-{user}"
                answer = self.world.respond(user, items, day, request_id=request)
                seen = min((event["timestamp"] for event in answer.events), default=moment(day + 0.5))
                shown = tuple(
                    Shown(item, float(scores[row, index]), 1.0) for item, index in zip(items, best, strict=True)
                )
                at = (seen - timedelta(seconds=60)).isoformat()
                records.append(
                    Prediction(
                        request,
                        at,
                        user,
                        release,
                        "champion",
                        shown,
                        (),
                        10,
                        3.0,
                        history=len(self.histories.get(user, [])),
                    )
                )
                events += list(answer.events)
                self.histories.setdefault(user, []).extend(answer.clicks)
            self.log_predictions(records, day)
            self.log_events(events, day)


def make_life(folder: Path, seed: int, shifts: tuple[tuple[str, int, float], ...] = (), days: int = 100) -> Life:
    world = World(seed, n_users=600, n_items=300)
    for kind, day, strength in shifts:
        world.shift(kind, day, strength)
    settings = load_settings(overrides=["drift.evidently=false", "drift.permutations=1200"])
    life = Life(Home(folder / "home"), world, settings, organic=world.history(days))
    base = life.organic.filter(pl.col("timestamp") < moment(BASE_DAYS))
    life.ingest(base, folder / "base")
    life.train()
    ordered = base.filter(pl.col("event") == "view").sort("timestamp", "item_id")
    for user, item in ordered.select("user_id", "item_id").iter_rows():
        life.histories.setdefault(user, []).append(item)
    return life


@pytest.fixture(scope="session")
def first_quiet(tmp_path_factory: pytest.TempPathFactory) -> Life:
    return make_life(tmp_path_factory.mktemp("quiet"), seed=1)


@pytest.fixture(scope="session")
def first_shifted(tmp_path_factory: pytest.TempPathFactory) -> Life:
    return make_life(tmp_path_factory.mktemp("shifted"), seed=1, shifts=(("economy", 74, 1.0),))


def copied(life: Life, folder: Path) -> Life:
    """A home of its own."""
    assert life.home.local is not None
    home = Home(shutil.copytree(life.home.local, folder / "home"))
    histories = {user: list(items) for user, items in life.histories.items()}
    return replace(life, home=home, histories=histories)


@pytest.fixture
def quiet(first_quiet: Life, tmp_path: Path) -> Life:
    """Nothing ever shifts."""
    return copied(first_quiet, tmp_path)


@pytest.fixture
def shifted(first_shifted: Life, tmp_path: Path) -> Life:
    """People turn to economy flights on day 74."""
    return copied(first_shifted, tmp_path)


@pytest.fixture(scope="session")
def second_year(tmp_path_factory: pytest.TempPathFactory) -> Life:
    """The weeks around two summers, days 92 and 457; a champion trained until day 450, and what came after in the log. Every day
    for itself, so that nobody tires of what was seen a year ago."""
    trained, summer = 450, 457
    world, folder = World(1, n_users=600, n_items=200), tmp_path_factory.mktemp("years")
    settings = load_settings(
        overrides=["drift.evidently=false", "drift.permutations=1200", "drift.min_effect=0.05", "drift.min_energy=0.03"]
    )
    days = [*range(50, 110), *range(trained - 30, summer + 16)]
    organic = pl.concat(world.history(1, start=day) for day in days)
    life = Life(Home(folder / "home"), world, settings, today=trained, organic=organic)
    life.ingest(organic.filter(pl.col("timestamp") < moment(trained)), folder / "base")
    life.train()
    life.live_organically(trained, summer + 15)
    return life
