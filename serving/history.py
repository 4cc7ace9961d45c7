"""What each user did lately: the online history, so that a new event changes the next answer.

>>> history = open_history("sqlite:///data/.everloop/online/history.sqlite", limit=500)
>>> history.append([Feedback("42", "242", 1_700_000_000_000_000, "click", None, "", "e1")])
[True]
>>> history.read("42")
[('242', 'click')]

A backend is chosen by the URL's scheme. Events are kept whole in an append-only log beside the histories, so that the
next run can ingest them; an event id is taken once.
"""

import sqlite3
import threading
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Protocol
from urllib.parse import unquote, urlsplit

import orjson
import polars as pl

from components.recsys.errors import InputError, StoreError

CHUNK = 2_000  # users seeded in one transaction: 50 ms, so that feedback never waits long
BUSY_SECONDS = 10.0
SCHEMA = """
CREATE TABLE IF NOT EXISTS histories (
    user_id TEXT PRIMARY KEY, events BLOB NOT NULL, seed INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS feedback (
    event_id TEXT PRIMARY KEY, user_id TEXT NOT NULL, item_id TEXT NOT NULL, timestamp INTEGER NOT NULL,
    event TEXT NOT NULL, value REAL, request_id TEXT NOT NULL);
CREATE INDEX IF NOT EXISTS feedback_by_user ON feedback (user_id);
CREATE TABLE IF NOT EXISTS meta (key TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID;
"""
KEEP = """
INSERT OR IGNORE INTO feedback VALUES (:event_id, :user_id, :item_id, :timestamp, :event, :value, :request_id)
"""
FEEDBACK: dict[str, pl.DataType | type[pl.DataType]] = {
    "user_id": pl.String,
    "item_id": pl.String,
    "timestamp": pl.Datetime("us", "UTC"),
    "event": pl.String,
    "value": pl.Float64,
    "event_id": pl.String,
    "request_id": pl.String,
}
OWN = """
SELECT DISTINCT timestamp, item_id, event FROM feedback WHERE user_id = ?
ORDER BY timestamp DESC, item_id DESC, event DESC LIMIT ?
"""

Moment = list[int | str]  # [microseconds, item, kind of event]: one event in a history, sorted by time


@dataclass(frozen=True, slots=True)
class Feedback:
    """One event as the event table has it. timestamp: microseconds since 1970, UTC."""

    user_id: str
    item_id: str
    timestamp: int
    event: str
    value: float | None
    request_id: str
    event_id: str


class History(Protocol):
    """Every method may be called from any thread and raises StoreError when the store fails."""

    url: str

    def read(self, user: str) -> list[tuple[str, str]]:
        """(item, kind of event) of a user, oldest first; empty for somebody unknown."""

    def append(self, events: Sequence[Feedback]) -> list[bool]:
        """Keep events, durably. False where the event id is known already."""

    def seed(self, events: pl.DataFrame, version: int) -> bool:
        """Take over the event table as of a version, beneath the feedback. False when that or a newer one is there."""

    def seeded(self) -> int:
        """The version of the event table that was taken over last; -1 for none."""

    def feedback(self) -> pl.DataFrame:
        """Every event that came here, whole, in the columns of the event table: what the next run ingests."""

    def close(self) -> None:
        """Give the store back."""


class SQLiteHistory:
    """One file (or memory). Commits are synced, so what was confirmed survives a power cut. One server a file."""

    def __init__(self, path: Path | None, limit: int) -> None:
        self.url = f"sqlite://{path}" if path else "memory://"
        self.limit = limit
        self.lock = threading.Lock()  # one writer at a time
        with told(self.url):
            if path:
                path.parent.mkdir(parents=True, exist_ok=True)
            self.writer = connect(path)
            self.writer.executescript(SCHEMA)
            # In write-ahead mode a reader never waits for a writer; memory has one connection and no log.
            self.reader = connect(path) if path else self.writer
            self.reading = threading.Lock() if path else self.lock

    def read(self, user: str) -> list[tuple[str, str]]:
        with told(self.url), self.reading:
            row = self.reader.execute("SELECT events FROM histories WHERE user_id = ?", (user,)).fetchone()
        return [(item, kind) for _, item, kind in orjson.loads(row[0])] if row else []

    def append(self, events: Sequence[Feedback]) -> list[bool]:
        with self._transaction() as writer:
            fresh = [writer.execute(KEEP, asdict(event)).rowcount == 1 for event in events]
            touched: dict[str, list[Moment]] = {}
            for event, new in zip(events, fresh, strict=True):
                if new:
                    touched.setdefault(event.user_id, []).append([event.timestamp, event.item_id, event.event])
            for user, moments in touched.items():
                row = writer.execute("SELECT events, seed FROM histories WHERE user_id = ?", (user,)).fetchone()
                known, seed = (orjson.loads(row[0]), row[1]) if row else ([], -1)
                self._put(writer, user, [*known, *moments], seed)
        return fresh

    def seed(self, events: pl.DataFrame, version: int) -> bool:
        if self.seeded() >= version:
            return False
        newest = (
            events.select("user_id", "timestamp", "item_id", "event")
            .unique()
            .sort("timestamp", "item_id", "event")
            .group_by("user_id", maintain_order=True)
            .agg(
                pl.col("timestamp").cast(pl.Datetime("us", "UTC")).to_physical().tail(self.limit),
                pl.col("item_id", "event").tail(self.limit),
            )
        )
        for start in range(0, newest.height, CHUNK):
            part = newest.slice(start, CHUNK)
            with self._transaction() as writer:
                for user, times, items, kinds in part.iter_rows():
                    seeds: list[Moment] = [[t, item, kind] for t, item, kind in zip(times, items, kinds, strict=True)]
                    self._put(writer, user, [*seeds, *self._own(writer, user)], version)
        with self._transaction() as writer:
            # Who is no longer in the event table keeps what came here directly, and nothing else.
            gone = [
                user
                for (user,) in writer.execute("SELECT user_id FROM histories WHERE seed <> ?", (version,)).fetchall()
            ]
            for user in gone:
                own = self._own(writer, user)
                if own:
                    self._put(writer, user, own, version)
                else:
                    writer.execute("DELETE FROM histories WHERE user_id = ?", (user,))
            writer.execute("INSERT OR REPLACE INTO meta VALUES ('seeded', ?)", (version,))
        return True

    def seeded(self) -> int:
        with told(self.url), self.lock:
            row = self.writer.execute("SELECT value FROM meta WHERE key = 'seeded'").fetchone()
        return int(row[0]) if row else -1

    def feedback(self) -> pl.DataFrame:
        with told(self.url), self.lock:
            rows = self.writer.execute(f"SELECT {', '.join(FEEDBACK)} FROM feedback ORDER BY rowid").fetchall()
        frame = pl.DataFrame(rows, schema=FEEDBACK, orient="row")
        return frame.with_columns(pl.col("request_id").replace("", None))

    def close(self) -> None:
        with self.lock, suppress(sqlite3.Error):
            self.writer.close()
            self.reader.close()

    def _own(self, writer: sqlite3.Connection, user: str) -> list[Moment]:
        """What came as feedback, the newest that fit."""
        rows = writer.execute(OWN, (user, self.limit))
        return [list(row) for row in rows]

    def _put(self, writer: sqlite3.Connection, user: str, moments: Iterable[Moment], seed: int) -> None:
        # The same event may come from the table and as feedback; time, item and kind tell that it is one.
        distinct = sorted({(moment[0], moment[1], moment[2]) for moment in moments})
        writer.execute(
            "INSERT OR REPLACE INTO histories VALUES (?, ?, ?)", (user, orjson.dumps(distinct[-self.limit :]), seed)
        )

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        with told(self.url), self.lock:
            self.writer.execute("BEGIN IMMEDIATE")
            try:
                yield self.writer
                self.writer.execute("COMMIT")
            except BaseException:
                with suppress(sqlite3.Error):  # a full disk may have rolled back already
                    self.writer.execute("ROLLBACK")
                raise


def connect(path: Path | None) -> sqlite3.Connection:
    connection = sqlite3.connect(
        path or ":memory:", timeout=BUSY_SECONDS, isolation_level=None, check_same_thread=False
    )
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = FULL")
    return connection


@contextmanager
def told(url: str) -> Iterator[None]:
    """SQLite's errors as one sentence."""
    try:
        yield
    except (sqlite3.Error, OSError, ValueError) as error:
        raise StoreError(f"the online history {url} failed: {error}") from None


def _sqlite(url: str, limit: int) -> History:
    path = unquote(urlsplit(url).path)
    if not path:
        raise InputError(f"{url}: name a file, as in sqlite:///var/lib/everloop/history.sqlite")
    return SQLiteHistory(Path(path), limit)


def _memory(url: str, limit: int) -> History:
    return SQLiteHistory(None, limit)


HISTORIES = {"sqlite": _sqlite, "memory": _memory}


def open_history(url: str, limit: int) -> History:
    """The online history at a URL. limit: newest events kept a user.

    Raises InputError for an unknown scheme, StoreError when it cannot be opened.
    """
    scheme = urlsplit(url).scheme
    if scheme not in HISTORIES:
        raise InputError(
            f"{url}: no online history for '{scheme}://'; known are {', '.join(f'{s}://' for s in HISTORIES)}"
        )
    return HISTORIES[scheme](url, limit)
