"""From the home's tables and logs into counts: everything once at first, then only what is new.

>>> reader = Reader(home, settings)
>>> memory, counter = reader.start(reference, today)     # counts the days that are needed, and makes the plan
>>> reader.go_on(memory, counter, today)                 # new segments; True when there were any
"""

import json
from collections.abc import Iterable, Iterator
from datetime import UTC, date, datetime, timedelta
from typing import Any

import polars as pl

from components.recsys.drift import Counter, Plan, make_plan
from components.recsys.drift.windows import YEAR
from components.recsys.home import Home
from components.recsys.intake import tables
from components.recsys.predictions import EVENTS, PREDICTIONS, day_of, prediction_of, records_of
from components.recsys.settings import Settings
from components.recsys.store import Store, open_store
from monitoring.watching.memory import Memory, id_of
from monitoring.watching.reference import DAY_SECONDS, Reference, vectors_of

EPOCH = date(1970, 1, 1)
LATE_DAYS = 3  # folders looked at again: uploads that waited in a spool
MANY_DAYS = 62  # from here on one listing of everything is cheaper than one a day
PIECE = 100_000  # rows at a time: 20 MB
COLUMNS = ("user_id", "item_id", "timestamp", "event", "value", "request_id", "event_id")
SCHEMA: dict[str, Any] = {
    "user_id": pl.String,
    "item_id": pl.String,
    "timestamp": pl.Datetime("us", "UTC"),
    "event": pl.String,
    "value": pl.Float64,
    "request_id": pl.String,
    "event_id": pl.String,
}


class Reader:
    """The event table gives what was before the log began, or never went through it; the log gives the rest."""

    def __init__(self, home: Home, settings: Settings) -> None:
        self.home, self.drift = home, settings.drift
        self.predictions: Store = open_store(settings.log.sink) if settings.log.sink else home.store
        self.note = ""  # why there is no embedding drift

    def start(self, reference: Reference, today: int) -> tuple[Memory, Counter]:
        """Everything from the beginning: a first start, another champion, more data in the tables, or a lost memory."""
        plan = self.plan(reference)
        counter = Counter(plan)
        memory = Memory(reference.key(self.drift), counter.counts, counter.exposure, looked=today)
        first, first_total = self._first_day(reference, today), self._first_total(reference, today)
        logged = self._count_segments(memory, counter, first, today, everything=True)
        self._count_table(memory, counter, reference, first_total, logged, first)
        self.forget(memory, counter, reference, today)
        return memory, counter

    def go_on(self, memory: Memory, counter: Counter, today: int) -> bool:
        """Count segments that are new. Whether there were any. Raises StoreError; what was counted then is not kept."""
        before = sum(map(len, memory.segments.values()))
        first = min(memory.looked, today) - LATE_DAYS
        self._count_segments(memory, counter, first, today, everything=False)
        memory.looked = today
        return sum(map(len, memory.segments.values())) != before

    def forget(self, memory: Memory, counter: Counter, reference: Reference, today: int) -> None:
        """Days that no comparison needs any more."""
        span = self.drift.window_days
        wanted: set[int] = set(range(today - (self.drift.baseline_windows + 2) * span, today + 2 * span))
        wanted |= set(
            range(reference.trained_until - self.drift.baseline_windows * span, reference.trained_until + 2 * span)
        )
        for stream in {feature.stream for feature in counter.plan.features}:
            first = counter.counts.first_day(counter.plan.columns_of(stream))
            if first is not None:
                wanted |= set(range(first, first + 2 * span))
        counter.counts.keep(wanted, totals=range(self._first_total(reference, today), today + 2 * span))
        counter.exposure.keep(range(today - 2 * span, today + 2 * span))
        memory.segments = {day: keys for day, keys in memory.segments.items() if day >= today - 2 * LATE_DAYS - span}

    def plan(self, reference: Reference) -> Plan:
        """The same from the same versions of the tables and the same champion, so a restart goes on with its counts."""
        span = self.drift.window_days * self.drift.baseline_windows
        rows = pl.concat(
            [
                pl.DataFrame(schema=SCHEMA),
                *self._table(reference, reference.trained_until - span, reference.trained_until),
            ]
        )
        items = tables.open_table(self.home, "items", reference.items) if reference.items >= 0 else None
        known = rows.select("item_id").unique().sort("item_id")
        frame = known
        if items is not None:
            frame = tables.frame_of(self.home, items)
            frame = pl.concat([frame, known.join(frame, on="item_id", how="anti")], how="diagonal")
        vectors, self.note = vectors_of(self.home, reference.release, frame["item_id"].to_list())
        return make_plan(frame, rows, self.drift, reference.release, vectors)

    def rows(self, first: int, last: int, reference: Reference) -> Iterator[pl.DataFrame]:
        """Events of days first to last - 1 in pieces, some of them perhaps twice (table and log): for reports."""
        yield from self._table(reference, first, last)
        for _, key in self._keys(self.home.store, EVENTS, first, last + LATE_DAYS):
            frame = _frame(records_of(self.home.store, key, _event).rows)
            days = pl.col("timestamp").dt.epoch("s") // DAY_SECONDS
            yield frame.filter((days >= first) & (days < last))

    def _first_day(self, reference: Reference, today: int) -> int:
        """The earliest day that a comparison needs: of the baseline of the champion, or of the weeks just before."""
        span, count = self.drift.window_days, self.drift.baseline_windows
        return min(reference.trained_until - span * count, today - span * (count + 2))

    def _first_total(self, reference: Reference, today: int) -> int:
        """The earliest day of which the totals are needed: of the same weeks a year before, one window to spare."""
        return min(reference.trained_until, today) - YEAR - 2 * self.drift.window_days

    def _table(self, reference: Reference, first: int, last: int) -> Iterator[pl.DataFrame]:
        """Rows of the event table, in pieces."""
        table = tables.open_table(self.home, "events", reference.events)
        begin, end = (datetime.fromtimestamp(max(day, 0) * DAY_SECONDS, UTC) for day in (first, last))
        with tables.told(self.home):
            scanned = tables.scan(self.home, table)
            there = [name for name in COLUMNS if name in scanned.collect_schema().names()]
            wanted = scanned.filter((pl.col("timestamp") >= begin) & (pl.col("timestamp") < end)).select(there)
            for piece in wanted.collect_batches(chunk_size=PIECE, maintain_order=False):
                yield pl.concat([pl.DataFrame(schema=SCHEMA), piece], how="diagonal_relaxed")

    def _count_table(
        self, memory: Memory, counter: Counter, reference: Reference, first: int, logged: set[int], whole: int
    ) -> None:
        """Rows whose event the log has not told. Of days before `whole` the totals alone are held, or a year would not be small."""
        for piece in self._table(reference, first, 100_000):
            if logged:
                new = [id_of(f"e:{event}") not in logged for event in piece["event_id"].fill_null("")]
                piece = piece.filter(pl.Series(new, dtype=pl.Boolean))
            counter.add_events(piece)
            counter.counts.keep([day for day in counter.counts.days if day >= whole], totals=range(first, whole))
            _newest(memory, "events", piece["timestamp"].max())

    def _count_segments(self, memory: Memory, counter: Counter, first: int, today: int, everything: bool) -> set[int]:
        """New segments of the folders of some days. Returns hashes of the events' ids when `everything` is read."""
        logged: set[int] = set()
        for day, key in self._keys(self.home.store, EVENTS, first, today + 2):
            if not self._first_read(memory, day, key):
                continue
            read = records_of(self.home.store, key, _event)
            fresh = [line for line in read.rows if memory.recent.first_time(f"e:{line['event_id']}")]
            if everything:
                logged |= {id_of(f"e:{line['event_id']}") for line in fresh}
            frame = _frame(fresh)
            counter.add_events(frame)
            memory.broken += read.faults
            _newest(memory, "events", frame["timestamp"].max())
        for day, key in self._keys(self.predictions, PREDICTIONS, first, today + 2):
            if not self._first_read(memory, day, key):
                continue
            lists = records_of(self.predictions, key, prediction_of)
            new = [one for one in lists.rows if memory.recent.first_time(f"p:{one.request_id}:{one.variant}")]
            counter.add_predictions(new)
            memory.broken += lists.faults
            times = [_moment(one.time) for one in new]
            _newest(memory, "lists", max((time for time in times if time is not None), default=None))
        return logged

    def _keys(self, store: Store, prefix: str, first: int, last: int) -> Iterator[tuple[int, str]]:
        """Keys of segments by the day of their folder, listed a day at a time, so that years of log cost nothing."""
        if last - first <= MANY_DAYS:
            listed = [store.list(f"{prefix}/{EPOCH + timedelta(days=day)}") for day in range(max(first, 0), last)]
        else:
            listed = [store.list(prefix)]
        for key in (key for keys in listed for key in keys):
            day = folder_day(key)
            if day is not None and first <= day < last:
                yield day, key

    def _first_read(self, memory: Memory, day: int, key: str) -> bool:
        one, seen = id_of(key), memory.segments.setdefault(day, set())
        if one in seen:
            return False
        seen.add(one)
        return True


def folder_day(key: str) -> int | None:
    """Days from 1970 to the day of a segment's folder; None for what is no segment."""
    day = day_of(key)
    return None if day is None else (day - EPOCH).days


def _event(line: bytes) -> dict[str, Any]:
    """A line of an event segment. Raises what `predictions.BROKEN` names for what is none."""
    raw = json.loads(line)
    value = raw.get("value")
    moment = _moment(str(raw["timestamp"]))
    if moment is None:
        raise ValueError("no time")
    return {
        "user_id": str(raw["user_id"]),
        "item_id": str(raw["item_id"]),
        "timestamp": moment,
        "event": str(raw.get("event") or "interaction"),
        "value": None if value is None else float(value),
        "request_id": raw.get("request_id") and str(raw["request_id"]),
        "event_id": str(raw.get("event_id") or f"{raw['user_id']}/{raw['item_id']}/{raw['timestamp']}"),
    }


def _frame(rows: Iterable[dict[str, Any]]) -> pl.DataFrame:
    return pl.DataFrame(list(rows), schema=SCHEMA)


def _moment(text: str) -> datetime | None:
    """ISO 8601; without a zone it is UTC."""
    try:
        time = datetime.fromisoformat(text)
        return time.replace(tzinfo=UTC) if time.tzinfo is None else time.astimezone(UTC)
    except (ValueError, OverflowError):
        return None


def _newest(memory: Memory, kind: str, moment: Any) -> None:
    if moment is not None:
        memory.newest[kind] = max(memory.newest.get(kind, 0.0), moment.timestamp())
