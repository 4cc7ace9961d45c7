"""Where the controller's states lie: a SQLite file, or PostgreSQL by URL.

>>> database = open_database("sqlite:////data/.everloop/controller/controller.sqlite")
>>> with database.transaction() as sql:
...     sql("SELECT state FROM everloop_triggers WHERE id = ?", 1)
[('RECEIVED',)]

Both take the same SQL with `?` for values. A commit is on disk when the block ends (SQLite: synchronous FULL; PostgreSQL:
its own default). One writer at a time, in any process. Every method raises StoreError when the database fails.
"""

import fcntl
import os
import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import unquote, urlsplit

from components.recsys.errors import InputError, StoreError

Row = tuple[Any, ...]
Sql = Callable[..., list[Row]]
BUSY_SECONDS = 10.0
TURN, WRITER = 0x65766C, 0x65766D  # advisory locks of PostgreSQL: any two numbers that nobody else takes ("evl", "evm")

SCHEMA = """
CREATE TABLE IF NOT EXISTS everloop_triggers (
    id {serial}, key TEXT NOT NULL, run_key TEXT UNIQUE, model TEXT NOT NULL, reason_class TEXT NOT NULL,
    asked_by TEXT NOT NULL, state TEXT NOT NULL, received {real} NOT NULL, updated {real} NOT NULL, admitted {real},
    ended {real}, reason TEXT NOT NULL DEFAULT '', detail TEXT NOT NULL DEFAULT '', outcome TEXT NOT NULL DEFAULT '',
    release TEXT NOT NULL DEFAULT '', stage TEXT NOT NULL DEFAULT '', handle TEXT NOT NULL DEFAULT '', forced INTEGER NOT NULL DEFAULT 0,
    overridden TEXT NOT NULL DEFAULT '', copies INTEGER NOT NULL DEFAULT 1, resolved {real},
    evidence TEXT NOT NULL DEFAULT '{{}}');
CREATE INDEX IF NOT EXISTS everloop_triggers_by_state ON everloop_triggers (state);
CREATE INDEX IF NOT EXISTS everloop_triggers_by_key ON everloop_triggers (key, state);
CREATE INDEX IF NOT EXISTS everloop_triggers_by_time ON everloop_triggers (admitted);
CREATE TABLE IF NOT EXISTS everloop_blocks (
    key TEXT PRIMARY KEY, name TEXT NOT NULL, labels TEXT NOT NULL, opened {real} NOT NULL, closed {real});
CREATE TABLE IF NOT EXISTS everloop_switches (
    name TEXT PRIMARY KEY, value TEXT NOT NULL, by TEXT NOT NULL, time {real} NOT NULL);
CREATE TABLE IF NOT EXISTS everloop_journal (
    id {serial}, trigger_id INTEGER, what TEXT NOT NULL, detail TEXT NOT NULL, time {real} NOT NULL,
    machine_time {real} NOT NULL);
CREATE INDEX IF NOT EXISTS everloop_journal_by_what ON everloop_journal (what, machine_time);
"""


class Database(Protocol):
    """url: without its password, for people."""

    url: str

    def transaction(self) -> Any:
        """A block with a function `sql(statement, *values) -> rows`; all of it is kept, or, after an error, none."""

    def alone(self) -> Any:
        """A block that gets True in one process at a time, and False in the others."""

    def close(self) -> None:
        """Give the connection back."""


class SQLite:
    """One file in write-ahead mode."""

    def __init__(self, path: Path) -> None:
        self.url, self.path = f"sqlite://{path}", path
        self.lock = threading.RLock()
        with told(self.url, sqlite3.Error):
            path.parent.mkdir(parents=True, exist_ok=True)
            self.connection = sqlite3.connect(path, timeout=BUSY_SECONDS, isolation_level=None, check_same_thread=False)
            self.connection.execute("PRAGMA journal_mode = WAL")
            self.connection.execute("PRAGMA synchronous = FULL")
            self.connection.executescript(SCHEMA.format(serial="INTEGER PRIMARY KEY AUTOINCREMENT", real="REAL"))
            self.turn = os.open(path.with_suffix(".lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)

    @contextmanager
    def transaction(self) -> Iterator[Sql]:
        def sql(statement: str, *values: Any) -> list[Row]:
            return list(self.connection.execute(statement, values))

        with told(self.url, sqlite3.Error), self.lock:
            self.connection.execute("BEGIN IMMEDIATE")
            try:
                yield sql
                self.connection.execute("COMMIT")
            except BaseException:
                with suppress(sqlite3.Error):  # a full disk may have rolled back already
                    self.connection.execute("ROLLBACK")
                raise

    @contextmanager
    def alone(self) -> Iterator[bool]:
        try:
            fcntl.flock(self.turn, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
            return
        try:
            yield True
        finally:
            fcntl.flock(self.turn, fcntl.LOCK_UN)

    def close(self) -> None:
        with self.lock, suppress(sqlite3.Error, OSError):
            self.connection.close()
            os.close(self.turn)


class PostgreSQL:
    """One database, or one schema of it (`?options=-csearch_path%3Dtravel`), a home. A lost connection is opened anew."""

    def __init__(self, url: str) -> None:
        try:
            import psycopg
        except ImportError:
            raise InputError("PostgreSQL needs its driver: pip install 'everloop[postgres]'") from None
        self.given, self.errors = url, psycopg.Error
        parts = urlsplit(url)
        self.url = f"postgresql://{parts.hostname or ''}{f':{parts.port}' if parts.port else ''}{parts.path}"
        self.lock = threading.RLock()
        self.connection: Any = None
        self.turning = False
        with self.transaction() as sql:
            for statement in SCHEMA.format(
                serial="BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY", real="DOUBLE PRECISION"
            ).split(";"):
                if statement.strip():
                    sql(statement)

    def _connected(self) -> Any:
        import psycopg

        if self.connection is not None and not self.turning:
            with suppress(self.errors):  # a server that was restarted is noticed here, where nothing is lost by it
                self.connection.execute("SELECT 1")
        if self.connection is None or self.connection.closed:
            if self.turning:  # the lock of the turn went with the connection: somebody else may be in his
                raise StoreError(f"the controller's database {self.url} was lost; the next turn goes on")
            self.connection = psycopg.connect(self.given, autocommit=True, connect_timeout=int(BUSY_SECONDS))
        return self.connection

    @contextmanager
    def transaction(self) -> Iterator[Sql]:
        with told(self.url, self.errors), self.lock:
            connection = self._connected()

            def sql(statement: str, *values: Any) -> list[Row]:
                cursor = connection.execute(statement.replace("?", "%s"), values or None)
                return cursor.fetchall() if cursor.description else []

            with connection.transaction():
                # Guards read what others write: with one writer at a time no two can pass the same guard at once.
                sql("SELECT pg_advisory_xact_lock(?)", WRITER)
                yield sql

    @contextmanager
    def alone(self) -> Iterator[bool]:
        with told(self.url, self.errors), self.lock:
            holder = self._connected()
            ((mine,),) = holder.execute("SELECT pg_try_advisory_lock(%s)", (TURN,)).fetchall()
            self.turning = bool(mine)
        try:
            yield bool(mine)
        finally:
            self.turning = False
            # A connection that was lost meanwhile took its lock along.
            with suppress(self.errors), self.lock:
                if mine and not holder.closed:
                    holder.execute("SELECT pg_advisory_unlock(%s)", (TURN,))

    def close(self) -> None:
        with self.lock, suppress(self.errors):
            if self.connection is not None:
                self.connection.close()


@contextmanager
def told(url: str, errors: type[Exception]) -> Iterator[None]:
    """The driver's errors as one sentence."""
    try:
        yield
    except (errors, OSError) as error:
        text = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise StoreError(f"the controller's database {url} failed: {text}") from None


def _sqlite(url: str) -> Database:
    path = unquote(urlsplit(url).path)
    if not path:
        raise InputError(f"{url}: name a file, as in sqlite:///var/lib/everloop/controller.sqlite")
    return SQLite(Path(path))


DATABASES: dict[str, Callable[[str], Database]] = {
    "sqlite": _sqlite,
    "postgresql": PostgreSQL,
    "postgres": PostgreSQL,
}


def open_database(url: str) -> Database:
    """Raises InputError for an unknown scheme, StoreError when it cannot be opened."""
    scheme = urlsplit(url).scheme
    if scheme not in DATABASES:
        raise InputError(f"retrain.database: no database for '{scheme}://'; known are sqlite:// and postgresql://")
    return DATABASES[scheme](url)
