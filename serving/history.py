"""What each user did lately: the online history, so that a new event changes the next answer.

>>> history = open_history("sqlite:///data/.everloop/online/history.sqlite", limit=500)
>>> history.append([Feedback("42", "242", 1_700_000_000_000_000, "click", None, "", "e1")])
[True]
>>> history.read("42")
[('242', 'click')]

A backend is chosen by the URL's scheme. Events are kept whole in an append-only log beside the histories, so that the
next run can ingest them; an event id is taken once.
"""

import secrets
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

NEWEST = """
SELECT coalesce((SELECT max(rowid) FROM feedback), 0), coalesce((SELECT value FROM meta WHERE key = 'seeded'), -1)
"""

AFTER = """
SELECT rowid, user_id, item_id, timestamp, event, value, request_id, event_id FROM feedback
WHERE rowid > ? ORDER BY rowid LIMIT ?
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

    def changed(self) -> list[str] | None:
        """Whose history another writer changed since the last call; None: anybody's. For whoever keeps histories in memory."""

    def users(self, most: int) -> list[str]:
        """Some users with a history, in the order of their ids."""

    def feedback(self) -> pl.DataFrame:
        """Every event that came here, whole, in the columns of the event table: what the next run ingests."""

    def feedback_after(self, row: int, most: int) -> list[tuple[int, Feedback]]:
        """The oldest events kept after a row, each with its own row number; rows rise, and are never given again."""

    def identity(self) -> str:
        """A name that only this store has, for whoever remembers its rows: one made anew begins with row 1 again."""

    def close(self) -> None:
        """Give the store back."""


class SQLiteHistory:
    """One file (or memory). Commits are synced, so what was confirmed survives a power cut.

    Several processes may share a file; who keeps histories in memory asks `changed` before believing them.
    """

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
        self.looked: tuple[int, int, int] | None = None  # SQLite's version, newest row, data version at the last look

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
        newest = histories(events, self.limit)
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

    def changed(self) -> list[str] | None:
        with told(self.url), self.reading:
            # It counts the commits of all other connections, of any process.
            version = self.reader.execute("PRAGMA data_version").fetchone()[0]
            before = self.looked
            if before is not None and before[0] == version:
                return []
            newest, seed = self.reader.execute(NEWEST).fetchone()
            self.looked = version, newest, seed
            if before is None or before[2] != seed:
                return None
            rows = self.reader.execute("SELECT DISTINCT user_id FROM feedback WHERE rowid > ?", (before[1],))
            return [user for (user,) in rows.fetchall()]

    def users(self, most: int) -> list[str]:
        with told(self.url), self.reading:
            rows = self.reader.execute("SELECT user_id FROM histories ORDER BY user_id LIMIT ?", (most,)).fetchall()
        return [user for (user,) in rows]

    def feedback(self) -> pl.DataFrame:
        with told(self.url), self.lock:
            rows = self.writer.execute(f"SELECT {', '.join(FEEDBACK)} FROM feedback ORDER BY rowid").fetchall()
        frame = pl.DataFrame(rows, schema=FEEDBACK, orient="row")
        return frame.with_columns(pl.col("request_id").replace("", None))

    def feedback_after(self, row: int, most: int) -> list[tuple[int, Feedback]]:
        with told(self.url), self.reading:
            rows = self.reader.execute(AFTER, (row, most)).fetchall()
        return [(number, Feedback(*values)) for number, *values in rows]

    def identity(self) -> str:
        with self._transaction() as writer:
            writer.execute("INSERT OR IGNORE INTO meta VALUES ('identity', ?)", (secrets.randbits(48),))
            row = writer.execute("SELECT value FROM meta WHERE key = 'identity'").fetchone()
        return f"{row[0]:012x}"

    def close(self) -> None:
        with self.lock, suppress(sqlite3.Error):
            self.writer.close()
            self.reader.close()

    def _own(self, writer: sqlite3.Connection, user: str) -> list[Moment]:
        """What came as feedback, the newest that fit."""
        rows = writer.execute(OWN, (user, self.limit))
        return [list(row) for row in rows]

    def _put(self, writer: sqlite3.Connection, user: str, moments: Iterable[Moment], seed: int) -> None:
        events = orjson.dumps(merged(moments, self.limit))
        writer.execute("INSERT OR REPLACE INTO histories VALUES (?, ?, ?)", (user, events, seed))

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


def histories(events: pl.DataFrame, limit: int) -> pl.DataFrame:
    """The newest of the event table: a row a user, with lists timestamp (microseconds), item_id and event, oldest first."""
    return (
        events.select("user_id", "timestamp", "item_id", "event")
        .unique()
        .sort("timestamp", "item_id", "event")
        .group_by("user_id", maintain_order=True)
        .agg(
            pl.col("timestamp").cast(pl.Datetime("us", "UTC")).to_physical().tail(limit),
            pl.col("item_id", "event").tail(limit),
        )
    )


def merged(moments: Iterable[Sequence[int | str]], limit: int) -> list[Sequence[int | str]]:
    """The newest, sorted. The same event may come from the table and as feedback; time, item and kind tell that it is one."""
    return [*sorted({(moment[0], moment[1], moment[2]) for moment in moments})[-limit:]]


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


def _redis(url: str, limit: int) -> History:
    from serving.history_redis import RedisHistory  # an extra: only who names it needs it

    return RedisHistory(url, limit)


HISTORIES = {"sqlite": _sqlite, "memory": _memory, "redis": _redis, "rediss": _redis}


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
