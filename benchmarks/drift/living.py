"""A synthetic world lived through day by day, with what the monitor would say each morning.

>>> for morning in mornings(World(1, 600, 300), LISTS, until=91):
...     morning.day, morning.asked

The same code judges as in the monitor, and the rules themselves say what asks for a run; only the logs in between are left out.
Kinds of world: people who search by themselves; people who choose from the ten items that an EASE champion, trained on the first
60 days, shows them, seen before or not, as a travel site does; and the same where nothing that a person clicked is shown to them again.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta

import numpy as np
import polars as pl

from benchmarks.drift.asking import Rules
from components.recsys.drift import Counter, Finding, make_plan
from components.recsys.drift.quality import Quality
from components.recsys.drift.vectors import project
from components.recsys.frames import Catalogue, Histories, Interactions
from components.recsys.models import MODELS
from components.recsys.models.base import Model, Training
from components.recsys.predictions import Prediction, Shown
from components.recsys.settings import FeedbackSettings, Settings
from components.recsys.simulator import World
from components.recsys.simulator.world import SCHEMA, START
from monitoring.watching.judging import EPOCH, judge_drift, judge_quality
from monitoring.watching.reference import Reference, day_of

BASE_DAYS = 60  # the champion is trained on these
FIRST = day_of(START)
SEARCH, LISTS, EXHAUSTING = "search", "lists", "exhausting"
INVERTED, DULLER = "inverted", "duller"
DULLER_BY = 0.25


@dataclass(frozen=True)
class Morning:
    """day: the one that is over. findings: of all features. click_rate: of lists; None where nobody is shown any.

    asked: what asks for a run, by the alert's reason: features, or "click rate".
    """

    day: int
    findings: list[Finding]
    click_rate: Quality | None
    asked: dict[str, tuple[str, ...]]


@dataclass(frozen=True)
class Harm:
    """What befalls the champion from a day on. inverted: it shows what fits least first. duller: of the lists that would have been
    clicked, a quarter is not, whoever asks and whatever is shown."""

    what: str
    day: int


def mornings(
    world: World, kind: str, until: int, settings: Settings | None = None, harm: Harm | None = None
) -> Iterator[Morning]:
    """Each day after the base and what is said at its end, when it is complete."""
    settings = settings or Settings()
    organic = world.history(until if kind == SEARCH else BASE_DAYS)
    base = organic.filter(pl.col("timestamp") < START + timedelta(days=BASE_DAYS))
    interactions = Interactions.from_frame(base)
    ease = MODELS["ease"]
    catalogue = Catalogue.align(interactions.items, world.items())
    model = ease(ease.Config(half_life=8)).fit(Training(interactions, catalogue))
    plan = make_plan(world.items(), base, settings.drift, "champion", vectors_of(world, model))
    counter = Counter(plan)
    counter.add_events(organic)
    reference = Reference("champion", FIRST + BASE_DAYS, FIRST + BASE_DAYS, 0, 0)
    people, rules = People(world, model, base, repeats=kind == LISTS, harm=harm), Rules(settings)
    for day in range(BASE_DAYS, until):
        quality, variants = None, []
        if kind != SEARCH:
            records, events = people.live(day)
            counter.add_predictions(records)
            counter.add_events(events)
            morning = START + timedelta(days=day + 1)
            quality, variants = judge_quality(people, reference, morning, settings.drift, settings.feedback)
        findings = judge_drift(counter, reference, FIRST + day + 1, settings.drift, verdicts_only=True)
        yield Morning(day, findings, quality, rules.asked(findings, quality, variants))


def vectors_of(world: World, model: Model) -> np.ndarray[tuple[int, int], np.dtype[np.float64]]:
    place = {item: index for index, item in enumerate(model.items)}
    own = project(np.asarray(model.weights()["b"], np.float64))
    vectors = np.full((len(world.items()), own.shape[1]), np.nan)
    for row, item in enumerate(world.items()["item_id"]):
        if item in place and place[item] < len(own):
            vectors[row] = own[place[item]]
    return vectors


class People:
    """Who asks on a day, what the champion shows them, and what they do with it. Read by `judge_quality` like the joined tables."""

    def __init__(
        self, world: World, model: Model, base: pl.DataFrame, repeats: bool = True, harm: Harm | None = None
    ) -> None:
        self.world, self.model, self.repeats, self.harm = world, model, repeats, harm
        self.histories: dict[str, list[str]] = {}
        self.given: list[pl.DataFrame] = []
        self.mature_until = 0
        views = base.filter(pl.col("event") == "view").sort("timestamp", "item_id")
        for user, item in views.select("user_id", "item_id").iter_rows():
            self.histories.setdefault(user, []).append(item)

    def live(self, day: int, k: int = 10) -> tuple[list[Prediction], pl.DataFrame]:
        people = self.world.people
        awake = np.random.default_rng([self.world.seed, 3, day]).random(len(people.ids)) < people.rate
        users = [str(people.ids[index]) for index in np.flatnonzero(awake & (people.joined <= day))]
        rows = Histories.of([self.histories.get(user, []) for user in users], self.model.items)
        scores = self.model.score(rows)
        records, events, clicked = [], [], []
        luck = np.random.default_rng([self.world.seed, 4, day])
        for row, user in enumerate(users):
            if self._harmed(INVERTED, day):
                scores[row] = -scores[row]
            if not self.repeats:
                scores[row, rows.indices[rows.indptr[row] : rows.indptr[row + 1]]] = -np.inf
            best = np.argsort(-scores[row], kind="stable")[:k]
            shown = tuple(Shown(str(self.model.items[index]), float(scores[row, index]), 1.0) for index in best)
            request = f"{day}-{user}"
            answer = self.world.respond(user, [one.item for one in shown], day, request_id=request)
            if self._harmed(DULLER, day) and luck.random() < DULLER_BY:
                answer = replace(answer, clicks=(), bookings=(), events=())
            events += list(answer.events)
            seen = self.histories.setdefault(user, [])
            records.append(
                Prediction(
                    request, (START + timedelta(days=day, hours=6)).isoformat(), user, "champion", "champion", shown, (), k, 1.0,
                    history=len(seen),
                )
            )  # fmt: skip
            seen.extend(answer.clicks)
            clicked.append(bool(answer.clicks))
        names = {"variant": pl.lit("champion"), "release": pl.lit("champion"), "day": pl.lit(FIRST + day).cast(pl.Date)}
        lists = pl.DataFrame(
            {"request_id": [one.request_id for one in records], "user": users, "clicked": clicked},
            schema_overrides={"request_id": pl.String, "user": pl.String, "clicked": pl.Boolean},
        )
        self.given.append(lists.with_columns(**names))
        return records, pl.DataFrame(events, schema=SCHEMA)

    def update(self, now: datetime) -> None:
        """Labels are final a day after the list."""
        self.mature_until = day_of(now - timedelta(seconds=FeedbackSettings().default_maturity_seconds))

    def read(self, from_day: date, to_day: date) -> pl.DataFrame:
        """One row a list."""
        lists = pl.concat(self.given)
        days = lists["day"].to_physical()
        kept = (days >= (from_day - EPOCH).days) & (days <= (to_day - EPOCH).days)
        final = pl.col("day").to_physical() < self.mature_until
        return lists.filter(kept).with_columns(clicked=pl.when(final).then(pl.col("clicked")))

    def _harmed(self, what: str, day: int) -> bool:
        return self.harm is not None and self.harm.what == what and day >= self.harm.day
