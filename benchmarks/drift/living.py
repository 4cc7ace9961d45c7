"""A synthetic world lived through day by day, with what the monitor would say each morning.

>>> for morning in mornings(World(1, 600, 300), lists=True, until=91):
...     morning.day, morning.detected

The same code judges as in the monitor; only the logs in between are left out. Two kinds of world: people who search by
themselves, and people who choose from the ten items that an EASE champion, trained on the first 60 days, shows them.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta

import numpy as np
import polars as pl

from components.recsys.drift import Counter, Finding, make_plan
from components.recsys.drift.quality import Quality, quality_of
from components.recsys.drift.vectors import project
from components.recsys.frames import Catalogue, Histories, Interactions
from components.recsys.models import MODELS
from components.recsys.models.base import Model, Training
from components.recsys.predictions import Prediction, Shown
from components.recsys.settings import DriftSettings
from components.recsys.simulator import World
from components.recsys.simulator.world import SCHEMA, START
from monitoring.watching.judging import judge_drift, windows_of
from monitoring.watching.reference import Reference, day_of

BASE_DAYS = 60  # the champion is trained on these
FIRST = day_of(START)


@dataclass(frozen=True)
class Morning:
    """day: the one that is over. findings: of all features. click_rate: of lists; None where nobody is shown any."""

    day: int
    findings: list[Finding]
    click_rate: Quality | None

    @property
    def detected(self) -> tuple[str, ...]:
        return tuple(finding.feature for finding in self.findings if finding.detected)


def mornings(world: World, lists: bool, until: int, settings: DriftSettings | None = None) -> Iterator[Morning]:
    """Each day after the base and what is said at its end, when it is complete."""
    settings = settings or DriftSettings()
    organic = world.history(BASE_DAYS if lists else until)
    base = organic.filter(pl.col("timestamp") < START + timedelta(days=BASE_DAYS))
    interactions = Interactions.from_frame(base)
    kind = MODELS["ease"]
    catalogue = Catalogue.align(interactions.items, world.items())
    model = kind(kind.Config(half_life=8)).fit(Training(interactions, catalogue))
    plan = make_plan(world.items(), base, settings, "champion", vectors_of(world, model))
    counter = Counter(plan)
    counter.add_events(organic)
    reference = Reference("champion", FIRST + BASE_DAYS, FIRST + BASE_DAYS, 0, 0)
    people = People(world, model, base)
    for day in range(BASE_DAYS, until):
        click_rate = None
        if lists:
            records, events = people.live(day)
            counter.add_predictions(records)
            counter.add_events(events)
            chosen = windows_of(counter, reference, FIRST + day + 1, settings)["lists"]
            click_rate = quality_of(people.lists(), chosen, settings)
        yield Morning(day, judge_drift(counter, reference, FIRST + day + 1, settings, verdicts_only=True), click_rate)


def vectors_of(world: World, model: Model) -> np.ndarray[tuple[int, int], np.dtype[np.float64]]:
    place = {item: index for index, item in enumerate(model.items)}
    own = project(np.asarray(model.weights()["b"], np.float64))
    vectors = np.full((len(world.items()), own.shape[1]), np.nan)
    for row, item in enumerate(world.items()["item_id"]):
        if item in place and place[item] < len(own):
            vectors[row] = own[place[item]]
    return vectors


class People:
    """Who asks on a day, what the champion shows them, and what they do with it."""

    def __init__(self, world: World, model: Model, base: pl.DataFrame) -> None:
        self.world, self.model = world, model
        self.histories: dict[str, list[str]] = {}
        self.given: list[tuple[int, str, str, str, bool]] = []
        views = base.filter(pl.col("event") == "view").sort("timestamp", "item_id")
        for user, item in views.select("user_id", "item_id").iter_rows():
            self.histories.setdefault(user, []).append(item)

    def live(self, day: int, k: int = 10) -> tuple[list[Prediction], pl.DataFrame]:
        people = self.world.people
        awake = np.random.default_rng([self.world.seed, 3, day]).random(len(people.ids)) < people.rate
        users = [str(people.ids[index]) for index in np.flatnonzero(awake & (people.joined <= day))]
        rows = Histories.of([self.histories.get(user, []) for user in users], self.model.items)
        scores = self.model.score(rows)
        records, events = [], []
        for row, user in enumerate(users):
            scores[row, rows.indices[rows.indptr[row] : rows.indptr[row + 1]]] = -np.inf
            best = np.argsort(-scores[row], kind="stable")[:k]
            shown = tuple(Shown(str(self.model.items[index]), float(scores[row, index]), 1.0) for index in best)
            request = f"{day}-{user}"
            answer = self.world.respond(user, [one.item for one in shown], day, request_id=request)
            events += list(answer.events)
            seen = self.histories.setdefault(user, [])
            records.append(
                Prediction(
                    request, (START + timedelta(days=day, hours=6)).isoformat(), user, "champion", "champion", shown, (), k, 1.0,
                    history=len(seen),
                )
            )  # fmt: skip
            seen.extend(answer.clicks)
            self.given.append((FIRST + day, user, "champion", "champion", bool(answer.clicks)))
        return records, pl.DataFrame(events, schema=SCHEMA)

    def lists(self) -> pl.DataFrame:
        """All lists so far, as `quality_of` reads them."""
        schema = {"day": pl.Int32, "user": pl.String, "variant": pl.String, "release": pl.String, "clicked": pl.Boolean}
        return pl.DataFrame(self.given, schema=schema, orient="row").with_columns(pl.col("day").cast(pl.Date))
