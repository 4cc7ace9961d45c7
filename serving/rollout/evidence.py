"""What the prediction log and the events say of a rollout, read once and counted.

>>> evidence = Evidence(home.store, rollout, settings, now())
>>> evidence.look(rollout, now())           # reads what is new
>>> evidence.sides["candidate"].failed, evidence.groups("clicks").lists.sum()

A list counts for the group that it was meant for (intention to treat): when the champion answered because the candidate
failed, it is the candidate's failure, and the candidate's click. Only records of this rollout count, under the step whose
routes they were made with, whatever clock their writer has. Memory: some numbers a user, one entry a list for as long as
a click may come, latencies in buckets, the first lists of a few users.
"""

import json
import time
from array import array
from collections import Counter, deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Literal

import numpy as np

from components.recsys.buckets import CANDIDATE, CHAMPION, bucket, variant_of
from components.recsys.predictions import ENDING, EVENTS, PREDICTIONS, Prediction, Row, prediction_of, records_of
from components.recsys.settings import Settings
from components.recsys.store import Store, open_store
from serving.logs import log
from serving.rollout.quantiles import Sketch
from serving.rollout.sequential import Groups
from serving.rollout.shadow import Shadow
from serving.rollout.state import Rollout

Outcome = Literal["clicks", "fallbacks"]

MOST_FIRST_LISTS = 20_000  # of each step that are kept whole, for coverage; 20 MB
MOST_EARLY_CLICKS = 100_000  # requests with clicks whose list has not been read yet
MOST_EARLY_ITEMS = 100  # of each of them
SETTLING = (
    2.0  # times the age at which a segment is closed: until then the clicks of the same moments may be on their way
)
BACK, AHEAD = timedelta(days=1), timedelta(days=1)  # a spool that waited at midnight, and writers whose clock is ahead


@dataclass
class Side:
    """What is counted of one group over the whole rollout; some of it by step. ripe: lists that had time to be clicked."""

    lists: Counter[int] = field(default_factory=Counter)
    ripe: Counter[int] = field(default_factory=Counter)
    failed: Counter[int] = field(default_factory=Counter)
    causes: Counter[str] = field(default_factory=Counter)
    fallbacks: int = 0
    short: int = 0
    latency: Sketch = field(default_factory=Sketch)
    scores: int = 0
    score_sum: float = 0.0
    score_squares: float = 0.0

    def add(self, record: Prediction, step: int) -> None:
        self.lists[step] += 1
        if record.failed:
            self.failed[step] += 1
            self.causes[record.failed] += 1
        self.fallbacks += fell_back(record)
        self.short += len(record.items) < record.k
        if not record.failed or record.failed == "timeout":  # a refused connection takes no time, and is no speed
            self.latency.add(record.latency_ms)
        if record.items and not record.fallback and not record.failed:
            top = record.items[0].score
            self.scores += 1
            self.score_sum += top
            self.score_squares += top * top


@dataclass(slots=True)
class Waiting:
    """A list that may still be clicked. read: when we read it, monotonic seconds. row: in the table of users.

    items: what it showed; a click on anything else is somebody's who sends their last request id with every click.
    """

    time: str
    read: float
    side: Side
    step: int
    row: int
    items: tuple[str, ...]
    clicked: bool = False
    counted: bool = False


class Users:
    """The table behind `Groups`: a row a user, step and group."""

    def __init__(self) -> None:
        self.rows: dict[tuple[str, int, bool], int] = {}
        self.numbers: dict[str, int] = {}
        self.columns = {
            name: array("q") for name in ("users", "steps", "candidate", "lists", "fallbacks", "ripe", "clicks")
        }

    def row(self, user: str, step: int, candidate: bool) -> int:
        known = self.rows.get((user, step, candidate))
        if known is None:
            known = self.rows[user, step, candidate] = len(self.rows)
            number = self.numbers.setdefault(user, len(self.numbers))
            for name, value in (("users", number), ("steps", step), ("candidate", int(candidate))):
                self.columns[name].append(value)
            for name in ("lists", "fallbacks", "ripe", "clicks"):
                self.columns[name].append(0)
        return known

    def groups(self, outcome: Outcome) -> Groups:
        lists, hits = ("ripe", "clicks") if outcome == "clicks" else ("lists", "fallbacks")
        table = {name: np.array(column, np.int64) for name, column in self.columns.items()}
        kept = table[lists] > 0
        return Groups(
            table["users"][kept],
            table["steps"][kept],
            table["candidate"][kept].astype(np.float64),
            table[lists][kept].astype(np.float64),
            table[hits][kept].astype(np.float64),
        )


class Evidence:
    """Of one rollout. Begins at its first record; a new engine reads all of it again."""

    def __init__(self, store: Store, rollout: Rollout, settings: Settings, at: datetime) -> None:
        self.store, self.sink = store, open_store(settings.log.sink) if settings.log.sink else store
        self.settings, self.rollout = settings, rollout
        self.sides = {CHAMPION: Side(), CANDIDATE: Side()}
        self.shadow = Shadow()
        self.users = Users()
        self.placed: dict[int, Counter[str]] = {}  # users of each step, by group
        self.unnamed = 0  # clicks without a request id, which no list can be given
        self.misplaced = 0  # lists for another group than the bucket says
        self.first_lists: dict[int, list[tuple[bool, tuple[str, ...]]]] = {}
        self.waiting: dict[str, Waiting] = {}
        self.ripening: deque[Waiting] = deque()
        self.early: dict[str, set[str]] = {}  # request -> items clicked
        self.segments: set[str] = set()
        self.since = datetime.fromisoformat(rollout.began)
        self.from_day = min(self.since, at) - BACK

    def look(self, rollout: Rollout, at: datetime) -> int:
        """Read what is new; how many records of this rollout there were."""
        self.rollout = rollout
        steps = rollout.epochs()
        count = 0
        for record in self._read(self.sink, PREDICTIONS, at, prediction_of):
            count += self.take(record, steps)
        for event in self._read(self.store, EVENTS, at, event_of):
            self.click(event)
        self._ripen(at)
        self.from_day = max(self.from_day, at - BACK)
        return count

    def take(self, record: Prediction, steps: list[tuple[int, float]]) -> bool:
        """Count a record, once; whether it belonged here."""
        if record.rollout != self.rollout.id:
            return False
        step = step_of(record.epoch, steps)
        if step < 0:
            return self.shadow.take(record)
        if record.variant not in self.sides or record.request_id in self.waiting:
            return False
        # Who has no id is a user of their own in each request.
        user, candidate = record.user or f"?{record.request_id}", record.variant == CANDIDATE
        if record.user:
            meant = variant_of(bucket(self.rollout.salt, record.user), steps[step][1])
            self.misplaced += meant != record.variant
        items = tuple(shown.item for shown in record.items)
        known = (user, step, candidate) in self.users.rows
        row = self.users.row(user, step, candidate)
        self.sides[record.variant].add(record, step)
        self.users.columns["lists"][row] += 1
        self.users.columns["fallbacks"][row] += fell_back(record)
        if not known:
            if record.user:
                self.placed.setdefault(step, Counter())[record.variant] += 1
            first = self.first_lists.setdefault(step, [])
            if len(first) < MOST_FIRST_LISTS:
                first.append((candidate, items))
        waiting = Waiting(record.time, time.monotonic(), self.sides[record.variant], step, row, items)
        self.waiting[record.request_id] = waiting
        self.ripening.append(waiting)
        for item in self.early.pop(record.request_id, ()):
            self._clicked(waiting, item)
        return True

    def click(self, event: dict[str, Any]) -> None:
        """An event; a list is clicked or not, however many events or copies of one say so."""
        request = event.get("request_id")
        if event.get("event", "interaction") not in self.settings.feedback.click_events:
            return
        if not request:
            self.unnamed += 1
            return
        item = str(event.get("item_id", ""))
        waiting = self.waiting.get(request)
        if waiting is not None:
            self._clicked(waiting, item)
        elif request in self.early:
            if len(self.early[request]) < MOST_EARLY_ITEMS:
                self.early[request].add(item)
        elif len(self.early) < MOST_EARLY_CLICKS:
            self.early[request] = {item}

    def groups(self, outcome: Outcome) -> Groups:
        return self.users.groups(outcome)

    def _clicked(self, waiting: Waiting, item: str) -> None:
        if item not in waiting.items:
            return
        if waiting.counted and not waiting.clicked:
            self.users.columns["clicks"][waiting.row] += 1
        waiting.clicked = True

    def _ripen(self, at: datetime) -> None:
        """Lists that had time to be clicked begin to count; those that can hardly be clicked any more are forgotten."""
        ripe = (at - timedelta(seconds=self.settings.rollout.click_seconds)).isoformat(timespec="microseconds")
        young: deque[Waiting] = deque()
        # Clicks travel in segments of their own, which may come a little later than the lists' whatever the loop's clock.
        settled = time.monotonic() - SETTLING * self.settings.log.segment_seconds
        for one in self.ripening:
            if one.time <= ripe and one.read <= settled:
                one.counted = True
                one.side.ripe[one.step] += 1
                self.users.columns["ripe"][one.row] += 1
                self.users.columns["clicks"][one.row] += one.clicked
            else:
                young.append(one)
        self.ripening = young
        old = (at - timedelta(seconds=self.settings.feedback.attribution_seconds)).isoformat(timespec="microseconds")
        while self.waiting and (first := next(iter(self.waiting.items())))[1].time < old and first[1].counted:
            del self.waiting[first[0]]

    def _read(self, store: Store, prefix: str, at: datetime, parse: Callable[[bytes], Row]) -> Iterator[Row]:
        """What segments not read before hold; what is damaged is left out and told."""
        day = self.from_day.date()
        while day <= (at + AHEAD).date():
            for key in store.list(f"{prefix}/{day.isoformat()}"):
                if key in self.segments or not key.endswith(ENDING):
                    continue
                read = records_of(store, key, parse)
                self.segments.add(key)
                if read.damaged:
                    log("a segment is damaged and left out", segment=key)
                if read.broken:
                    log("lines of a segment are unreadable and left out", segment=key, lines=read.broken)
                yield from read.rows
            day += timedelta(days=1)


def event_of(line: bytes) -> dict[str, Any]:
    """Raises ValueError for what is no event."""
    value = json.loads(line)
    if not isinstance(value, dict):
        raise ValueError("an event is an object")
    return value


def step_of(epoch: int, steps: list[tuple[int, float]]) -> int:
    """The step whose routes a record was made with; -1 for those of before."""
    return sum(first <= epoch for first, _ in steps) - 1


def fell_back(record: Prediction) -> bool:
    """A list that the model did not make, or an empty one; a failure is counted as such and not twice."""
    return not record.failed and (bool(record.fallback) or not record.items)
