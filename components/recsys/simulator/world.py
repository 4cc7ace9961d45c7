"""The synthetic travel world: people who choose by taste, budget, season and the trip they have in mind.

>>> world = World(seed=42, n_users=500, n_items=300)
>>> events = world.history(days=60)
>>> answer = world.respond("syn-u0007", ["syn-f0001", "syn-s0002"], day=60, request_id="r1")
>>> answer.clicks, answer.bookings, answer.events

The world is a pure function of seed, shifts and day: it holds no state that calls could change, and the same person
meets the same luck on the same day whatever list is shown. So two recommenders compared in it differ by their lists
alone.
"""

import difflib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from components.recsys.errors import InputError, NotFound
from components.recsys.frames import Ints, Longs
from components.recsys.simulator.catalogue import make_offers
from components.recsys.simulator.choice import MAX_CLICKS, Luck, choose, gumbel
from components.recsys.simulator.numbers import Bools, Doubles
from components.recsys.simulator.people import make_people
from components.recsys.simulator.places import CLIMATES, COMFORT, PLACES
from components.recsys.simulator.shifts import SHIFTS

LABEL = "Synthetic travel world, not real data"
PREFIX = "syn-"  # of every id
START = datetime(2025, 3, 1, tzinfo=UTC)  # day 0; past, so that no check for times in the future objects
TRIP_DAYS = 12  # how long one trip is planned before the next one comes to mind
SHOWN = 24  # offers on an organic results page
SATIATED = 4.0  # utility that an offer loses once it was looked at in the organic history
SCHEMA: dict[str, Any] = {
    "user_id": pl.String,
    "item_id": pl.String,
    "timestamp": pl.Datetime("us", "UTC"),
    "event": pl.String,
    "value": pl.Float64,
    "event_id": pl.String,
    "request_id": pl.String,
}


@dataclass(frozen=True)
class Response:
    """What one person did with one list. events: rows in the event contract's columns, oldest first."""

    clicks: tuple[str, ...]
    bookings: tuple[str, ...]
    events: tuple[dict[str, Any], ...]


@dataclass(frozen=True)
class Shift:
    kind: str
    day: int
    strength: float


class World:
    """`n_users` people and `n_items` offers, all drawn from `seed`."""

    label = LABEL

    def __init__(self, seed: int = 42, n_users: int = 500, n_items: int = 300) -> None:
        if n_users < 1 or n_items < 1:
            raise InputError(f"a world needs at least one user and one item, not {n_users} and {n_items}")
        self.seed = seed
        rng = np.random.default_rng([seed, 0])
        self.people = make_people(rng, n_users)
        self.offers = make_offers(rng, n_items)
        self.shifts: list[Shift] = []
        self._user = {user: index for index, user in enumerate(self.people.ids)}
        self._item = {item: index for index, item in enumerate(self.offers.ids)}
        self._taste = self._make_taste(rng)
        self._trips = self._make_trips(rng)
        self._utility = lru_cache(maxsize=4)(self._make_utility)
        self._luck = lru_cache(maxsize=16)(self._make_luck)  # a day's sessions; 2 MB each

    def users(self) -> pl.DataFrame:
        """user_id and attributes, a row per person."""
        return self.people.frame

    def items(self) -> pl.DataFrame:
        """item_id, title, genres (a list) and attributes, a row per offer."""
        return self.offers.frame

    def shift(self, kind: str, day: int, strength: float = 1.0) -> None:
        """From `day` on tastes differ, in a way named in SHIFTS. strength: 1 is strong, 0 nothing; shifts add up."""
        if kind not in SHIFTS:
            near = difflib.get_close_matches(kind, SHIFTS, n=1, cutoff=0.0)
            raise InputError(
                f"the world knows no shift '{kind}'; did you mean '{near[0]}'? It knows {', '.join(SHIFTS)}"
            )
        self.shifts.append(Shift(kind, day, strength))
        self._utility.cache_clear()

    def oracle(self, user_id: str, k: int, day: int) -> list[str]:
        """The `k` offers that somebody with full knowledge of this person would show on that day, best first."""
        utility = self._utility(day)[self._row(user_id)]
        best = np.argsort(-utility, kind="stable")[:k]
        return [str(self.offers.ids[index]) for index in best if self.offers.launch[index] <= day]

    def respond(
        self, user_id: str, items: Sequence[str], day: int, session: int = 0, request_id: str | None = None
    ) -> Response:
        """What the person does with a list on a day. Ids that the world lacks are passed over, like dead links.

        session: another visit on the same day (other luck). Raises NotFound for an unknown person.
        """
        user = self._row(user_id)
        known = list(dict.fromkeys(self._item[item] for item in items if item in self._item))
        shown = np.array([known], dtype=np.int32).reshape(1, -1)
        utility = self._utility(day)[[user]][np.arange(1)[:, None], shown]
        luck = self._luck(day, session)
        clicked, booked = choose(utility, luck.of(np.array([user]), shown))
        _, item, second, booking = _in_order(np.array([user]), shown, clicked, booked, luck.opened)
        midnight, price = START + timedelta(days=day), self.offers.price
        source = f"{self.seed}-{session}-{request_id or 'list'}-{day}"
        events = tuple(
            {
                "user_id": user_id,
                "item_id": str(self.offers.ids[index]),
                "timestamp": midnight + timedelta(seconds=int(at)),
                "event": "booking" if books else "view",
                "value": float(price[index]) if books else None,
                "event_id": f"syn-{source}-{user}-{index}-{'booking' if books else 'view'}",
                "request_id": request_id,
            }
            for index, at, books in zip(item, second, booking, strict=True)
        )
        return Response(
            clicks=tuple(str(event["item_id"]) for event in events if event["event"] == "view"),
            bookings=tuple(str(event["item_id"]) for event in events if event["event"] == "booking"),
            events=events,
        )

    def history(self, days: int, start: int = 0) -> pl.DataFrame:
        """Events of `days` days from `start` without a recommender: people search, and see what is popular and fits."""
        seen = np.zeros((len(self._user), len(self._item)), dtype=bool)
        frames = [self._organic_day(day, seen) for day in range(start, start + days)]
        return pl.concat(frames) if frames else pl.DataFrame(schema=SCHEMA)

    def write(self, folder: str | Path, days: int = 60) -> dict[str, Path]:
        """events.csv, items.csv, users.csv, and a README.txt that says what they are. Returns the three paths."""
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        paths = {name: folder / f"{name}.csv" for name in ("events", "items", "users")}
        events = self.history(days).drop("event_id", "request_id")
        events.write_csv(paths["events"], datetime_format="%Y-%m-%dT%H:%M:%S%z")
        self.items().with_columns(pl.col("genres").list.join("|")).write_csv(paths["items"])
        self.users().write_csv(paths["users"])
        (folder / "README.txt").write_text(f"{LABEL}.\nMade by everloop with seed {self.seed}, {days} days.\n")
        return paths

    def _row(self, user_id: str) -> int:
        if user_id not in self._user:
            raise NotFound(
                f"the world knows no person '{user_id}'; people are {self.people.ids[0]} to {self.people.ids[-1]}"
            )
        return self._user[user_id]

    def _make_taste(self, rng: np.random.Generator) -> Doubles:
        """(users, items) lasting utility: from published attributes, and a hidden part that only behaviour shows."""
        people, offers = self.people, self.offers
        hidden = rng.normal(0, 1, (len(people.ids), 4)) @ rng.normal(0, 1, (4, len(offers.ids))) / 2
        away_from_budget = np.abs(offers.upmarket[None, :] - np.clip(people.wealth, -1.5, 1.5)[:, None])
        return np.asarray(
            0.9 * people.climates @ offers.climates().T
            + 1.2 * people.themes @ offers.themes.T
            - 1.0 * away_from_budget
            + 0.8 * hidden
            + offers.quality[None, :]
        )

    def _make_trips(self, rng: np.random.Generator) -> Ints:
        """(users, 64) places that come to mind one after the other, drawn by taste."""
        one_hot = np.eye(len(PLACES))[self.offers.place]
        liking = self._taste @ one_hot / np.maximum(one_hot.sum(axis=0), 1)
        noise = rng.gumbel(size=(64, *liking.shape))
        return np.asarray(np.argmax(1.5 * liking + noise, axis=2).T, np.int32)

    def _make_utility(self, day: int) -> Doubles:
        """(users, items) utility on a day; offers not yet on sale have none."""
        people, offers = self.people, self.offers
        trip = self._trips[
            np.arange(len(people.ids)), (day + np.arange(len(people.ids))) // TRIP_DAYS % self._trips.shape[1]
        ]
        season = ((START + timedelta(days=day)).month - 3) % 12 // 3  # 0 is spring
        comfort = np.array([COMFORT[climate][season] for climate in CLIMATES]) @ offers.climates().T
        keen = np.where(people.season == season, 1.5, 0.7)
        utility = self._taste + 2.0 * (offers.place[None, :] == trip[:, None]) + keen[:, None] * comfort[None, :]
        for shift in self.shifts:
            if day >= shift.day:
                utility = utility + shift.strength * SHIFTS[shift.kind](people, offers)
        return np.where(offers.launch[None, :] <= day, utility, -np.inf)

    def _make_luck(self, day: int, session: int = 0) -> Luck:
        rng = np.random.default_rng([self.seed, 1, max(day, 0), session])
        people, offers = len(self.people.ids), len(self.offers.ids)
        examine = rng.random((people, offers), np.float32)
        click, book = (gumbel(rng, (people, offers + 1)) for _ in range(2))
        return Luck(examine, click, book, rng.integers(6 * 3600, 23 * 3600, people))

    def _organic_day(self, day: int, seen: Bools) -> pl.DataFrame:
        rng = np.random.default_rng([self.seed, 2, day])
        active = np.flatnonzero((rng.random(len(self._user)) < self.people.rate) & (self.people.joined <= day))
        utility = self._utility(day)[active] - SATIATED * seen[active]
        found = 0.4 * utility + 1.2 * self.offers.quality + gumbel(rng, utility.shape)
        shown = np.argsort(-found, axis=1, kind="stable")[:, :SHOWN].astype(np.int32)
        rows = np.arange(len(active))[:, None]
        luck = self._luck(day)
        clicked, booked = choose(utility[rows, shown], luck.of(active, shown))
        who, where = np.nonzero(clicked >= 0)
        seen[active[who], shown[who, where]] = True
        user, item, second, booking = _in_order(active, shown, clicked, booked, luck.opened)
        columns = {"user": user, "item": item, "second": second, "event": np.where(booking, "booking", "view")}
        return pl.DataFrame(columns, schema_overrides={"event": pl.String}).select(
            user_id=pl.Series(self.people.ids[user], dtype=pl.String),
            item_id=pl.Series(self.offers.ids[item], dtype=pl.String),
            timestamp=(pl.lit(START + timedelta(days=day)) + pl.duration(seconds="second")).cast(SCHEMA["timestamp"]),
            event="event",
            value=pl.when(pl.col("event") == "booking").then(pl.Series(self.offers.price[item], dtype=pl.Float64)),
            event_id=pl.format("syn-{}-organic-{}-{}-{}-{}", pl.lit(self.seed), pl.lit(day), "user", "item", "event"),
            request_id=pl.lit(None, dtype=pl.String),
        )


def _in_order(
    users: Ints | Longs, shown: Ints, clicked: Ints, booked: Bools, opened: Longs
) -> tuple[Longs, Longs, Longs, Bools]:
    """Choices by time: person, offer, second of the day, whether booked (else viewed). A booking follows the views."""
    who, where = np.nonzero(clicked >= 0)
    bought, place = np.nonzero(booked)
    user = np.concatenate([users[who], users[bought]]).astype(np.int64)
    second = opened[user] + np.concatenate([45 * clicked[who, where], np.full(len(bought), 45 * MAX_CLICKS + 600)])
    item = np.concatenate([shown[who, where], shown[bought, place]]).astype(np.int64)
    booking = np.arange(len(user)) >= len(who)
    order = np.lexsort((item, user, second))
    return user[order], item[order], second[order], booking[order]


def write(folder: str | Path, seed: int = 42) -> dict[str, Path]:
    """What a run falls back on when no real data can be had: 60 days of 600 people and 300 offers."""
    return World(seed, n_users=600, n_items=300).write(folder)


def label_of(ids: Iterable[str]) -> str:
    """What must be said of data with these ids wherever people see it; empty for real data."""
    return LABEL if any(str(one).startswith(PREFIX) for one in ids) else ""
