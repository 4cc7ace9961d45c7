"""A synthetic world lived through day by day, with what the monitor would say each morning.

>>> for day, findings in mornings(World(1, 600, 300), lists=True, until=91):
...     [finding.feature for finding in findings if finding.detected]

The same code judges as in the monitor; only the logs in between are left out. Two kinds of world: people who search by
themselves, and people who choose from the ten items that an EASE champion, trained on the first 60 days, shows them.
"""

from collections.abc import Iterator
from datetime import timedelta

import numpy as np
import polars as pl

from components.recsys.drift import Counter, Finding, make_plan
from components.recsys.drift.vectors import project
from components.recsys.frames import Catalogue, Histories, Interactions
from components.recsys.models import MODELS
from components.recsys.models.base import Model, Training
from components.recsys.predictions import Prediction, Shown
from components.recsys.settings import DriftSettings
from components.recsys.simulator import World
from components.recsys.simulator.world import SCHEMA, START
from monitoring.watching.judging import judge_drift
from monitoring.watching.reference import Reference, day_of

BASE_DAYS = 60  # the champion is trained on these
FIRST = day_of(START)


def mornings(
    world: World, lists: bool, until: int, settings: DriftSettings | None = None
) -> Iterator[tuple[int, list[Finding]]]:
    """Each day after the base and what is said at its end, when it is complete."""
    settings = settings or DriftSettings()
    organic = world.history(BASE_DAYS if lists else until)
    base = organic.filter(pl.col("timestamp") < START + timedelta(days=BASE_DAYS))
    interactions = Interactions.from_frame(base)
    kind = MODELS["ease"]
    model = kind(kind.Config(half_life=8)).fit(
        Training(interactions, Catalogue.align(interactions.items, world.items()))
    )
    plan = make_plan(world.items(), base, settings, "champion", vectors_of(world, model))
    counter = Counter(plan)
    counter.add_events(organic)
    reference = Reference("champion", FIRST + BASE_DAYS, FIRST + BASE_DAYS, 0, 0)
    people = People(world, model, base)
    for day in range(BASE_DAYS, until):
        if lists:
            records, events = people.live(day)
            counter.add_predictions(records)
            counter.add_events(events)
        yield day, judge_drift(counter, reference, FIRST + day + 1, settings)


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
        return records, pl.DataFrame(events, schema=SCHEMA)
