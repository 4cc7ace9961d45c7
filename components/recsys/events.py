"""Files become the home's tables of events, items and users, each row exactly once; tables become frames.

>>> done = ingest(home, {"events": "ratings.csv", "items": "movies.csv"}, DataSettings(), print)
>>> done.added, done.data["events"]["version"]
(100004, 0)
>>> read_events(home, done.data).columns
['user_id', 'item_id', 'timestamp', 'event', 'value', 'event_id', 'request_id', 'batch']

A batch is the bytes of its files and how they are read: the same file twice adds nothing, and neither does a run that
was killed half way and is started again. Rows that cannot be used go to the quarantine table with a reason.
"""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Literal, cast

import polars as pl

from components.recsys.attributes import Attributes, clean_attributes, latest
from components.recsys.errors import InputError
from components.recsys.home import Home
from components.recsys.intake import batches, pending, tables
from components.recsys.intake.cleaning import BAD_SCHEMA, CHANGES, EVENT_SCHEMA, Cleaned, clean_events
from components.recsys.intake.columns import Kind
from components.recsys.intake.ids import clean_ids
from components.recsys.intake.readers import read as read_file
from components.recsys.intake.readers import row_as_json
from components.recsys.intake.sources import File, combined, fingerprint, local_files
from components.recsys.release import canonical
from components.recsys.settings import DataSettings

__all__ = [
    "EVENT_SCHEMA",
    "Ingested",
    "fingerprint",
    "ingest",
    "read_events",
    "read_items",
    "read_quarantine",
    "read_users",
    "withdraw",
]

Told = Callable[[str], None]
KINDS: tuple[Kind, ...] = ("events", "items", "users")
BATCH = batches.SHORT
TABLE_SCHEMA = {**EVENT_SCHEMA, "batch": pl.String()}
QUARANTINE_SCHEMA = {"kind": pl.String, **BAD_SCHEMA, "batch": pl.String}
COUNTS = ("rows_read", *CHANGES, "known_before", "added")


@dataclass(frozen=True)
class Ingested:
    """data: the data version {events, items, users}, each {version, rows, sha256} or None.

    batch: the id of what arrived. counts: every change that cleaning made. added: events that are new in the table.
    """

    data: dict[str, Any]
    batch: str
    counts: dict[str, int] = field(default_factory=dict)
    messages: list[str] = field(default_factory=list)
    added: int = 0


def ingest(
    home: Home,
    sources: Mapping[str, Sequence[str] | str],
    settings: DataSettings,
    told: Told = lambda text: None,
    now: datetime | None = None,
) -> Ingested:
    """Read files (paths, globs, s3:// URLs, Delta tables) into the home.

    sources: paths for events, and for items and users where there are any. now: later events are broken.
    Raises InputError for files that cannot be used as they are, before anything is written; StoreError when the home
    cannot be written.
    """
    unknown = sorted(set(sources) - set(KINDS))
    if unknown:
        raise InputError(f"unknown kind of data '{unknown[0]}'; known are {', '.join(KINDS)}")
    now = now or datetime.now(UTC)
    messages: list[str] = []

    def say(text: str) -> None:
        messages.append(text)
        told(text)

    counts = dict.fromkeys(COUNTS, 0)
    attributes = {kind: _read_attributes(sources[kind], kind, settings) for kind in _attribute_kinds(sources)}
    batch, added = "", 0
    if sources.get("events"):
        with local_files(sources["events"]) as files:
            batch = _batch_of(files, settings)
            write = _prepared(home, files, batch, settings, now, counts, say)
        pending.begin(home, batch)
    for kind, cleaned in attributes.items():
        _write_attributes(home, kind, cleaned, counts, say)
    if sources.get("events"):
        added = write()
    data: dict[str, Any] = {kind: tables.version_of(home, kind) for kind in KINDS}
    if data["events"] is None:
        raise InputError("there are no events yet: name a file of events")
    return Ingested(data, batch, counts, messages, added)


def _attribute_kinds(sources: Mapping[str, Any]) -> list[Literal["items", "users"]]:
    return [kind for kind in ("items", "users") if sources.get(kind)]


def _batch_of(files: Sequence[File], settings: DataSettings) -> str:
    """The bytes and how they are read; not the names, so that a renamed copy is the same batch."""
    reading = settings.model_dump(mode="json", exclude={"items", "users"})
    return hashlib.sha256(combined([file.sha256() for file in files]).encode() + canonical(reading)).hexdigest()


def _prepared(
    home: Home,
    files: Sequence[File],
    batch: str,
    settings: DataSettings,
    now: datetime,
    counts: dict[str, int],
    say: Told,
) -> Callable[[], int]:
    """All that can be wrong with the events is found here; what is returned writes them and counts what was added."""
    label = files[0].label if len(files) == 1 else f"{files[0].label} and {len(files) - 1} more"
    table = tables.open_table(home, "events")
    attempt = tables.attempt_of(table, f"withdraw/{batch}") + 1
    if tables.attempt_of(table, f"ingest/{batch}") >= attempt:
        version = (batches.read_facts(home, batch) or {}).get("version", table.version())
        say(f"{label} was ingested before (batch {batch[:BATCH]}, version {version}): nothing added")
        return lambda: 0
    cleaned = clean_events([read_file(file, "events", settings.events) for file in files], settings, now)
    for message in cleaned.messages:
        say(message)
    return lambda: _write_events(home, label, batch, attempt, cleaned, files, counts, say)


def _write_events(
    home: Home,
    label: str,
    batch: str,
    attempt: int,
    cleaned: Cleaned,
    files: Sequence[File],
    counts: dict[str, int],
    say: Told,
) -> int:
    """Quarantine, then facts, then events: whoever sees the events finds the rest, and a rerun repairs a crash."""
    counts.update(cleaned.counts)
    counts["rows_read"] = cleaned.rows
    if cleaned.bad.height:
        _quarantine(home, "events", cleaned.bad, batch, f"ingest/{batch}", 1)  # the same rows whatever the attempt
    facts = batches.facts_of(home, batch, files, cleaned)
    batches.write_facts(home, facts)
    known = 0

    def new_rows(table: Any) -> pl.DataFrame:
        nonlocal known
        rows = cleaned.events
        if table is not None and rows.height:
            # Only events of the same time can be the same event.
            first, last = rows["timestamp"].min(), rows["timestamp"].max()
            there = tables.scan(home, table).filter(pl.col("timestamp").is_between(first, last)).select("event_id")
            with tables.told(home):
                rows = rows.join(there.collect(), on="event_id", how="anti", maintain_order="left")
        known = cleaned.events.height - rows.height
        return rows.with_columns(pl.lit(batch).alias("batch")).select(list(TABLE_SCHEMA)).cast(cast(Any, TABLE_SCHEMA))

    done = tables.append_once(home, "events", f"ingest/{batch}", attempt, new_rows, {"batch": batch})
    counts["known_before"], counts["added"] = known, done.rows
    batches.write_facts(home, {**facts, "version": done.version, "added": done.rows})
    where = f"batch {batch[:BATCH]}, version {done.version}"
    say(f"{label}: {cleaned.rows:,} rows read, {done.rows:,} events added ({where})")
    for key, text in _TOLD.items():
        if counts[key]:
            say(text.format(f"{counts[key]:,}"))
    return done.rows


_TOLD = {
    "quarantined": "{} rows went to quarantine, each with a reason",
    "exact_duplicates": "{} rows repeated another exactly and were dropped",
    "near_duplicates": "{} rows were double clicks (an equal event within moments) and were dropped",
    "known_before": "{} events were in the table already and were not added again",
}


def _read_attributes(paths: Sequence[str] | str, kind: Literal["items", "users"], settings: DataSettings) -> Attributes:
    with local_files(paths) as files:
        return clean_attributes([read_file(file, kind, getattr(settings, kind)) for file in files], kind, settings)


def _write_attributes(
    home: Home, kind: Literal["items", "users"], cleaned: Attributes, counts: dict[str, int], say: Told
) -> None:
    """The latest row of each id; ids that this file lacks keep the row they have."""
    key = tables.KEYS[kind]
    for message in cleaned.messages:
        say(message)
    done = tables.replace(
        home, kind, lambda current: latest([current, cleaned.frame] if current is not None else [cleaned.frame], key)
    )
    counts.update(cleaned.counts)
    counts[f"{kind}_written"] = done.rows
    if cleaned.bad.height:
        batch = hashlib.sha256("\n".join(cleaned.bad["raw"]).encode()).hexdigest()
        _quarantine(home, kind, cleaned.bad, batch, f"{kind}/{batch}", 1)
    if done.rows:
        say(f"{done.rows:,} {kind} (version {done.version})")
    else:
        say(f"{kind}: nothing new")


def _quarantine(home: Home, kind: str, bad: pl.DataFrame, batch: str, transaction: str, attempt: int) -> None:
    rows = bad.with_columns(pl.lit(kind).alias("kind"), pl.lit(batch).alias("batch")).select(list(QUARANTINE_SCHEMA))
    tables.append_once(home, "quarantine", transaction, attempt, lambda table: rows)


def withdraw(home: Home, batch: str, reason: str) -> int:
    """Take a batch that the gate stopped out of the event table; its rows go to quarantine with the reason.

    The same file can be ingested again afterwards. Returns how many rows were taken out; a second call takes none.
    """
    table = tables.open_table(home, "events")
    attempt = tables.attempt_of(table, f"ingest/{batch}")
    if table is None or attempt <= tables.attempt_of(table, f"withdraw/{batch}"):
        return 0
    facts = batches.read_facts(home, batch)
    if facts:
        batches.write_facts(home, {**facts, "withdrawn": reason})
    with tables.told(home):
        rows = tables.scan(home, table).filter(pl.col("batch") == batch).collect()
    if rows.height:
        bad = pl.DataFrame(
            {
                "source": ["events"] * rows.height,
                "row": range(1, rows.height + 1),
                "check": ["gate"] * rows.height,
                "column": [""] * rows.height,
                "reason": [reason] * rows.height,
                "raw": row_as_json(rows.drop("batch")),
            },
            schema=BAD_SCHEMA,
        )
        _quarantine(home, "events", bad, batch, f"withdraw/{batch}", attempt)
    tables.remove(home, "events", f"batch = '{batch}'", f"withdraw/{batch}", attempt)
    return rows.height


def read_events(home: Home, data: Mapping[str, Any]) -> pl.DataFrame:
    """The events of a data version, their content checked. Raises Refused when it differs from what was recorded."""
    return tables.read_at(home, "events", data["events"])


def read_items(home: Home, data: Mapping[str, Any]) -> pl.DataFrame | None:
    """The items of a data version: item_id plus any attributes; None when there are none."""
    return tables.read_at(home, "items", data["items"]) if data.get("items") else None


def read_users(home: Home, data: Mapping[str, Any]) -> pl.DataFrame | None:
    """The users of a data version: user_id plus any attributes; None when there are none."""
    return tables.read_at(home, "users", data["users"]) if data.get("users") else None


def read_quarantine(home: Home, batch: str | None = None) -> pl.DataFrame:
    """Rows that were left out: kind, source, row, check, column, reason, raw (JSON), batch."""
    table = tables.open_table(home, "quarantine")
    if table is None:
        return pl.DataFrame(schema=QUARANTINE_SCHEMA)
    frame = tables.frame_of(home, table)
    return frame if batch is None else frame.filter(pl.col("batch") == batch)


def read_latest_events(home: Home) -> pl.DataFrame:
    """The event table as it is now; no rows when there is none."""
    table = tables.open_table(home, "events")
    return pl.DataFrame(schema=TABLE_SCHEMA) if table is None else tables.frame_of(home, table)


def read_user_ids(path: str, settings: DataSettings) -> list[str]:
    """The distinct users of a file, in its order: a file of users, of events, or anything with a column for user_id."""
    with local_files(path) as files:
        read = [read_file(file, "users", settings.users) for file in files]
        ids = [clean_ids(table.frame["user_id"], "user_id", settings, table).values for table in read]
    return list(pl.concat(ids).drop_nulls().unique(maintain_order=True))


def try_read_events_file(path: str, settings: DataSettings) -> pl.DataFrame | None:
    """The clean events of a file, or None when it has no columns for events."""
    with local_files(path) as files:
        try:
            tables_ = [read_file(file, "events", settings.events) for file in files]
        except InputError:
            return None
        return clean_events(tables_, settings, datetime.now(UTC)).events
