"""The joined tables: a Parquet file a day of lists with what people did with them, kept up to date from the log.

>>> tables = JoinedTables(home, FeedbackSettings())
>>> tables.update(clock.now())          # reads new segments; call it as often as you like
Summary(segments=12, lists=480, ...)
>>> click_rates(tables.read(date(2026, 11, 1), date(2026, 11, 24)))

`log/joined/<day>.parquet` holds the lists of a day (columns `join.JOINED`). Late events restate days that are open. A day
is closed at the first midnight after every window of its lists has passed: `<day>.closed.json` then holds its sha256, and
it never changes again. Nothing else is remembered: a new process reads the segments of the open days anew. The log is
gone through day by day, so that from the same segments, in any order and however often, come the same bytes.
"""

import hashlib
import io
import json
from collections import Counter
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Any, cast

import polars as pl

from components.recsys.buckets import SHADOW, secret_of
from components.recsys.errors import NotFound, Refused
from components.recsys.feedback.folders import Folders
from components.recsys.feedback.frames import (
    EVENTS,
    IMPRESSIONS,
    distinct_events,
    distinct_lists,
    event_of,
    events_of,
    impressions_of,
)
from components.recsys.feedback.join import JOINED, SKEW, attributed, labelled, longest
from components.recsys.home import Home
from components.recsys.predictions import PREDICTIONS, prediction_of
from components.recsys.release import canonical
from components.recsys.settings import FeedbackSettings
from components.recsys.store import Store

TABLES = "log/joined"
DAY = timedelta(days=1)


@dataclass(frozen=True)
class Summary:
    """What an update did, and how things stand.

    segments, lists, events, broken: read by this update (lines that are no records are broken; shadows are no lists).
    late_lists, too_late: of them, lists and events that belong to a day that was closed already.
    open_lists, attributed, outside, unattributed: of the open days: lists, and events that count, that came after their
    window, that belong to no list. written, closed: days.
    """

    segments: int = 0
    lists: int = 0
    events: int = 0
    broken: int = 0
    late_lists: int = 0
    too_late: int = 0
    open_lists: int = 0
    attributed: int = 0
    outside: int = 0
    unattributed: int = 0
    written: tuple[date, ...] = ()
    closed: tuple[date, ...] = ()


class JoinedTables:
    """One writer a home. In memory are the lists of open days and the events that may still concern them."""

    def __init__(self, home: Home, settings: FeedbackSettings, predictions: Store | None = None) -> None:
        """predictions: where the prediction log lies when `log.sink` is not the home."""
        self.store, self.settings = home.store, settings
        self.folders = Folders(predictions or home.store, home.store)
        self.secret = secret_of(home.store)
        self.lists: dict[date, pl.DataFrame] = {}
        self.events = pl.DataFrame(schema=EVENTS)
        self.fates: dict[str, bool] = {}  # of events that belong to a closed day: whether they came too late for it
        self.sought: dict[bool, set[str]] = {
            True: set(),
            False: set(),
        }  # events looked up in closed days: by id, by user
        self.told: set[str] = set()  # events that were counted as too late
        self.hashes: dict[date, str] = {}  # of what is written, to write only what has changed
        self.markers: dict[date, dict[str, Any]] = {}
        self.first: date | None = None  # the first folder that is still looked at; None before the first update

    def update(self, now: datetime) -> Summary:
        """Read what is new, write the days that it changes, close those that are over. now: of the loop's clock.

        Raises StoreError; the next call goes on.
        """
        counts: Counter[str] = Counter()
        self.markers = self._markers()
        unread = self.folders.unread(self.first, now.date() + DAY)
        if self.first is None:
            unread = self._after_closed(unread)
        closed: list[date] = []
        for day, keys in unread:
            # What a folder holds came when the days before it were over: so late is late, also when all is read anew.
            closed += self._close(min(midnight_of(day), midnight_of(now.date())))
            self._take(day, keys, counts)
            self._seek(self.events.filter(~pl.col("request_id").is_in(list(self._open_ids()))), named=True)
        closed += self._close(midnight_of(now.date()))
        written = self._write(now, counts)
        self._forget(now)
        return Summary(**counts, written=tuple(written), closed=tuple(closed))

    def read(self, from_day: date, to_day: date) -> pl.DataFrame:
        """The joined lists of days, both ends included. Raises Refused when a closed day is not what it was."""
        self.markers = self._markers()
        frames = [pl.DataFrame(schema=JOINED)]
        for day in (from_day + DAY * ahead for ahead in range((to_day - from_day).days + 1)):
            data = self._bytes_of(day)
            if data is not None:
                frames.append(pl.read_parquet(io.BytesIO(data)))
        return pl.concat(frames)

    def days(self) -> dict[date, bool]:
        """The days that have a table, and whether each is closed."""
        keys = self.store.list(TABLES)
        closed = {key for key in keys if key.endswith(".closed.json")}
        names = sorted(key.rpartition("/")[2].removesuffix(".parquet") for key in keys if key.endswith(".parquet"))
        return {date.fromisoformat(name): f"{TABLES}/{name}.closed.json" in closed for name in names}

    def _after_closed(self, unread: list[tuple[date, list[str]]]) -> list[tuple[date, list[str]]]:
        """At the start: without what only closed days were made of. Events come after the lists that they concern."""
        still = [
            day for day, keys in unread if day not in self.markers and any(key.startswith(PREDICTIONS) for key in keys)
        ]
        if not self.markers:
            return unread
        first = min(still, default=max(self.markers) + DAY) - DAY
        for day, keys in unread:
            self.folders.mark(
                key for key in keys if day < first or (day in self.markers and key.startswith(PREDICTIONS))
            )
        return [(day, [key for key in keys if key not in self.folders.seen]) for day, keys in unread if day >= first]

    def _take(self, folder: date, keys: list[str], counts: Counter[str]) -> None:
        """A day's new segments into memory, all or, when the store fails, none. Raises StoreError."""
        lists, events, broken = [], [], 0
        for key in keys:
            if key.startswith(PREDICTIONS):
                records, bad = self.folders.rows(key, prediction_of)
                lists.append(impressions_of(records))
                counts["lists"] += sum(record.variant != SHADOW for record in records)
            else:
                rows, bad = self.folders.rows(key, lambda line: event_of(line, self.secret))
                events.append(events_of(rows))
                counts["events"] += len(rows)
            broken += bad
        if events:
            self.events = distinct_events(pl.concat([self.events, *events]))
        if lists:
            self._take_lists(folder, pl.concat(lists), counts)
        self.folders.mark(keys)
        counts["segments"] += len(keys)
        counts["broken"] += broken

    def _take_lists(self, folder: date, frame: pl.DataFrame, counts: Counter[str]) -> None:
        parts = frame.with_columns(day=pl.col("time").dt.date()).partition_by("day", as_dict=True, include_key=False)
        by_day = {day: part for (day,), part in parts.items()}
        if folder not in self.markers:
            by_day.setdefault(folder, frame.clear())  # also a day on which nobody saw anything is closed one day
        for day, part in by_day.items():
            if day in self.markers:
                counts["late_lists"] += part["request_id"].n_unique()
            else:
                known = self.lists.get(day, part.clear())
                self.lists[day] = distinct_lists(pl.concat([known, part]))

    def _close(self, midnight: datetime) -> list[date]:
        """Write the days that are over by a midnight for the last time."""
        wait = longest(self.settings)
        over = sorted(day for day in self.lists if midnight_of(day + DAY) + wait <= midnight)
        if not over:
            return []
        hits = self._hits()
        for day in over:
            self._write_day(day, hits, midnight)
            lists = self.lists.pop(day)
            frame = pl.read_parquet(io.BytesIO(self.store.read(key_of(day))))
            marker = {
                "day": day.isoformat(),
                "sha256": self.hashes.pop(day),
                "lists": lists["request_id"].n_unique(),
                "impressions": frame.height,
                "clicks": int(frame["clicks"].sum()),
                "conversions": int(frame["conversions"].sum()),
            }
            self.store.create(marker_of(day), canonical(marker))
            self.markers[day] = marker
        mine = hits.filter(pl.col("shown").dt.date().is_in(over))
        self.fates.update(dict.fromkeys(mine["event_id"], False))
        return over

    def _write(self, now: datetime, counts: Counter[str]) -> list[date]:
        """The open days that have changed."""
        hits = self._hits()
        written = [day for day in sorted(self.lists) if self._write_day(day, hits, now)]
        found = hits["list"].is_not_null()
        counts["open_lists"] = len(self._open_ids())
        counts["attributed"] = int(hits["counts"].sum())
        counts["outside"] = int(found.sum()) - counts["attributed"]
        self._seek(hits.filter(~found).select(list(EVENTS)), named=False)
        counts["unattributed"] = len(set(hits.filter(~found)["event_id"]) - self.fates.keys())
        late = {event for event, late in self.fates.items() if late}
        counts["too_late"] = len(late - self.told)
        self.told = late
        return written

    def _open_ids(self) -> pl.Series:
        return pl.concat(
            [pl.Series("request_id", [], pl.String), *(part["request_id"] for part in self.lists.values())]
        ).unique()

    def _hits(self) -> pl.DataFrame:
        """The events in memory with what they belong to; those of closed days stay with these."""
        events = self.events.filter(~pl.col("event_id").is_in(list(self.fates)))
        lists = pl.concat([pl.DataFrame(schema=IMPRESSIONS), *(self.lists[day] for day in sorted(self.lists))])
        return attributed(lists.sort("time", "request_id", "place"), events, self.settings)

    def _write_day(self, day: date, hits: pl.DataFrame, now: datetime) -> bool:
        """Whether the day's table has changed."""
        data = parquet(labelled(self.lists[day], hits, self.settings, now))
        digest = hashlib.sha256(data).hexdigest()
        if self.hashes.get(day) == digest:
            return False
        self.store.write(key_of(day), data)
        self.hashes[day] = digest
        return True

    def _seek(self, events: pl.DataFrame, named: bool) -> None:
        """Find the events that belong to closed days, by the request id that they name or else by user and item.

        A place that has its label anyway lost nothing: the event was counted then, or repeats one that was. Each event is
        sought once, since what belongs to a day that closes later is known then.
        """
        new = ~pl.col("event_id").is_in([*self.fates, *self.sought[named]])
        events = events.filter(new & (pl.col("request_id") != "") if named else new)
        self.sought[named].update(events["event_id"])
        if events.is_empty() or not self.markers:
            return
        first, last = cast(datetime, events["time"].min()), cast(datetime, events["time"].max())
        span = (first - longest(self.settings) - DAY).date(), (last + SKEW).date()
        for day in sorted(day for day in self.markers if span[0] <= day <= span[1]):
            frame = self.read(day, day)
            hits = attributed(frame.select(list(IMPRESSIONS)), events, self.settings)
            hits = hits.filter(pl.col("list") == pl.col("request_id") if named else pl.col("list").is_not_null())
            labels = frame.select("place", "clicks", "conversions", list="request_id")
            for row in hits.join(labels, on=["list", "place"]).iter_rows(named=True):
                click = row["kind"] in self.settings.click_events and not row["clicks"]
                conversion = row["kind"] in self.settings.conversion_events and not row["conversions"]
                self.fates[row["event_id"]] = bool(row["counts"] and (click or conversion))

    def _forget(self, now: datetime) -> None:
        """What can concern open days no more."""
        today = min(self.lists, default=now.date())
        oldest = min(midnight_of(today), midnight_of(now.date()) - longest(self.settings) - DAY) - SKEW
        self.events = self.events.filter(pl.col("time") >= oldest)
        kept = set(self.events["event_id"])
        self.fates = {event: late for event, late in self.fates.items() if event in kept}
        self.sought = {named: events & kept for named, events in self.sought.items()}
        self.first = min(today, now.date()) - DAY
        self.folders.forget(self.first)

    def _markers(self) -> dict[date, dict[str, Any]]:
        """What is known of each closed day; those known before are not read again."""
        found = {}
        for key in self.store.list(TABLES):
            if key.endswith(".closed.json"):
                day = date.fromisoformat(key.rpartition("/")[2].removesuffix(".closed.json"))
                found[day] = self.markers.get(day) or json.loads(self.store.read(key))
        return found

    def _bytes_of(self, day: date) -> bytes | None:
        try:
            data = self.store.read(key_of(day))
        except NotFound:
            return None
        marker = self.markers.get(day)
        if marker and hashlib.sha256(data).hexdigest() != marker["sha256"]:
            raise Refused(
                f"{self.store.url}/{key_of(day)} was changed after it was closed; "
                f"delete it and {marker_of(day)} to have both made anew from the log"
            )
        return data


def parquet(frame: pl.DataFrame) -> bytes:
    """The same rows give the same bytes."""
    buffer = io.BytesIO()
    frame.rechunk().write_parquet(buffer, compression="zstd", row_group_size=100_000)
    return buffer.getvalue()


def key_of(day: date) -> str:
    return f"{TABLES}/{day}.parquet"


def marker_of(day: date) -> str:
    return f"{TABLES}/{day}.closed.json"


def midnight_of(day: date) -> datetime:
    """With which a day begins, UTC."""
    return datetime.combine(day, time(), UTC)
