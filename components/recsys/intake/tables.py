"""The home's Delta tables: appended exactly once, replaced only when they differ, read at any version.

>>> append_once(home, "events", "ingest/3f2a", 1, lambda table: frame)
Appended(version=4, rows=1200)

Each append carries an application transaction (Delta protocol, "Transaction Identifiers"): it and the rows are one
commit, so a replay finds it and adds nothing. Commits are optimistic: of two writers at once the
second reads again and retries.
"""

import contextlib
import random
import time
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple
from urllib.parse import unquote

import polars as pl

from components.recsys.errors import Refused, StoreError, is_panic
from components.recsys.home import Home
from components.recsys.intake.text import content_hash
from components.recsys.store import told_as_store_error

KEYS = {"events": "event_id", "items": "item_id", "users": "user_id"}
TRIES = 50  # lost races in a row before we call it a fault
# A release names the version it was trained on, and `reproduce` reads it years later: the log is never cleaned up.
KEPT = {"delta.enableExpiredLogCleanup": "false", "delta.logRetentionDuration": "interval 36500 days"}


class Appended(NamedTuple):
    """version: of the table that holds the rows. rows: added by this call (0 when they were there already)."""

    version: int
    rows: int


def open_table(home: Home, name: str, version: int | None = None) -> Any:
    """The deltalake.DeltaTable, or None when there is none yet."""
    from deltalake import DeltaTable
    from deltalake.exceptions import TableNotFoundError

    with told(home):
        try:
            return DeltaTable(home.table(name), version=version, storage_options=home.storage_options)
        except TableNotFoundError:
            return None


def attempt_of(table: Any, transaction: str) -> int:
    """The last attempt of an application transaction that was committed; 0 when none was."""
    return int(table.transaction_version(transaction) or 0) if table is not None else 0


def append_once(
    home: Home,
    name: str,
    transaction: str,
    attempt: int,
    rows: Callable[[Any], pl.DataFrame],
    note: dict[str, str] | None = None,
) -> Appended:
    """Append what `rows(table)` gives, unless that attempt of the transaction is in the table already.

    rows is called anew after a lost race, with the table as it is then (None when there is none).
    """
    for turn in range(TRIES):
        table = open_table(home, name)
        if attempt_of(table, transaction) >= attempt:
            return Appended(int(table.version()), 0)
        frame, version = rows(table), _next_version(table)
        if _committed(home, name, table, frame, (transaction, attempt), note):
            return Appended(version, frame.height)
        time.sleep(random.uniform(0, 0.02 * min(turn + 1, 10)))
    raise StoreError(f"the {name} table of {home.url} was written {TRIES} times by others while we tried; run again")


def replace(home: Home, name: str, rows: Callable[[pl.DataFrame | None], pl.DataFrame]) -> Appended:
    """Put `rows(current)` in place of a table's rows; nothing is written when they are the same."""
    for turn in range(TRIES):
        table = open_table(home, name)
        current = None if table is None else frame_of(home, table)
        frame = rows(current)
        version = _next_version(table)
        if current is not None and content_of(current, name) == content_of(frame, name):
            return Appended(int(table.version()), 0)
        if _committed(home, name, table, frame, None, None, mode="overwrite"):
            return Appended(version, frame.height)
        time.sleep(random.uniform(0, 0.02 * min(turn + 1, 10)))
    raise StoreError(f"the {name} table of {home.url} was written {TRIES} times by others while we tried; run again")


def remove(home: Home, name: str, predicate: str, transaction: str, attempt: int) -> None:
    """Delete the rows that fit a SQL predicate, once for each attempt of the transaction."""
    from deltalake import CommitProperties, Transaction
    from deltalake.exceptions import CommitFailedError

    for turn in range(TRIES):
        table = open_table(home, name)
        if table is None or attempt_of(table, transaction) >= attempt:
            return
        properties = CommitProperties(max_commit_retries=0, app_transactions=[Transaction(transaction, attempt)])
        with told(home):
            try:
                table.delete(predicate, commit_properties=properties)
            except CommitFailedError:
                time.sleep(random.uniform(0, 0.02 * min(turn + 1, 10)))
                continue
            if attempt_of(open_table(home, name), transaction) >= attempt:
                return
            # No row fitted, so nothing was committed: the transaction is noted alone.
            append_once(home, name, transaction, attempt, lambda table: frame_of(home, table).head(0))
            return
    raise StoreError(f"the {name} table of {home.url} was written {TRIES} times by others while we tried; run again")


def _next_version(table: Any) -> int:
    return 0 if table is None else int(table.version()) + 1


def _committed(
    home: Home,
    name: str,
    table: Any,
    frame: pl.DataFrame,
    transaction: tuple[str, int] | None,
    note: dict[str, str] | None,
    mode: Any = "append",
) -> bool:
    """One commit right after the version that `table` is at; False when somebody else made that commit."""
    from deltalake import CommitProperties, Transaction, write_deltalake
    from deltalake.exceptions import CommitFailedError

    properties = CommitProperties(
        custom_metadata=note,
        max_commit_retries=0,
        app_transactions=[Transaction(*transaction)] if transaction else None,
    )
    options: dict[str, Any] = {"mode": mode, "commit_properties": properties}
    if mode == "overwrite":
        options["schema_mode"] = "overwrite"
    if table is None:
        options |= {"configuration": KEPT, "storage_options": home.storage_options}
    with told(home):
        try:
            write_deltalake(home.table(name) if table is None else table, frame, **options)
        except CommitFailedError:
            return False
    return True


def content_of(frame: pl.DataFrame, name: str) -> str:
    """The hash of what the rows say; by which file an event came is not part of it."""
    return content_hash(frame.drop("batch", strict=False), KEYS[name])


def scan(home: Home, table: Any) -> pl.LazyFrame:
    """A table's rows at its version."""
    uris = table.file_uris()
    files = [unquote(uri) for uri in uris]
    if home.local is None or files == uris:
        return pl.scan_delta(table, storage_options=home.storage_options)
    # polars 2.1 takes the escaped URIs for paths, and would find nothing in a folder with a blank in its name. Our tables
    # have neither partitions nor deletion vectors, so their files are their rows.
    return pl.scan_parquet(files, schema=pl.Schema(table.schema()), missing_columns="insert", glob=False)


def frame_of(home: Home, table: Any) -> pl.DataFrame:
    with told(home):
        return scan(home, table).collect()


def read_at(home: Home, name: str, part: Any) -> pl.DataFrame:
    """A table as a data version names it: {version, rows, sha256}. Raises Refused when the rows are not those."""
    version, expected = int(part["version"]), str(part["sha256"])
    table = open_table(home, name, version)
    if table is None:
        raise StoreError(f"{home.url} has no {name} table; ingest the data first, or name the right --home")
    frame = frame_of(home, table)
    if content_of(frame, name) != expected:
        raise Refused(
            f"version {version} of the {name} table is not what was recorded (its hash differs): "
            "the table was changed by hand"
        )
    return frame


def version_of(home: Home, name: str) -> dict[str, Any] | None:
    """A table's part of the data version now; None when there is no such table."""
    table = open_table(home, name)
    if table is None:
        return None
    frame = frame_of(home, table)
    if not frame.height and name != "events":
        return None  # its rows were taken back
    return {"version": int(table.version()), "rows": frame.height, "sha256": content_of(frame, name)}


@contextlib.contextmanager
def told(home: Home) -> Iterator[None]:
    """deltalake's and polars' errors as one sentence each; lost races pass through."""
    from deltalake.exceptions import CommitFailedError, DeltaError, TableNotFoundError

    try:
        with told_as_store_error(home.url):
            yield
    except (CommitFailedError, TableNotFoundError):
        raise
    except (DeltaError, pl.exceptions.PolarsError, OSError) as error:
        raise StoreError(_sentence(home.url, str(error))) from None
    except StoreError as error:
        raise StoreError(_sentence(home.url, str(error))) from None
    except BaseException as error:
        if not is_panic(error):
            raise
        raise StoreError(f"{home.url}: a table's files are damaged and cannot be read") from None


def _sentence(url: str, text: str) -> str:
    low = text.lower()
    if any(
        sign in low
        for sign in ("no space left", "storagefull", "file too large", "filetoolarge", "os error 27", "quota")
    ):
        return f"no space left under {url}: nothing was changed; free some and run again"
    if any(sign in low for sign in ("permission denied", "read-only file system", "readonlyfilesystem")):
        return f"{url} cannot be written (read-only or not yours); choose another --home"
    if text.startswith(url):
        return text.splitlines()[0][:300]
    return f"{url}: {(text.strip().splitlines() or ['the table cannot be read'])[0][:300]}"
