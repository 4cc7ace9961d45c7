"""Facts of each batch, kept beside the tables: what arrived, what was left out and why.

>>> facts = read_facts(home, batch)
>>> facts["rows"], facts["per_day"]
(100000, 466.9)
"""

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import polars as pl

from components.recsys.errors import NotFound
from components.recsys.home import Home
from components.recsys.intake.cleaning import Cleaned
from components.recsys.intake.sources import File
from components.recsys.predictions import EVENTS
from components.recsys.release import canonical

Facts = dict[str, Any]
SHORT = 12  # characters of a batch id that people read
EXAMPLES = 3
SECONDS_PER_DAY = 86_400


def facts_of(home: Home, batch: str, files: Sequence[File], cleaned: Cleaned) -> Facts:
    """JSON-able. reasons: {check, column, reason, rows, examples}. days: rows per calendar day.

    segments: keys of those files that are segments of the home's own event log.
    """
    events = cleaned.events
    span = (
        events.select(pl.col("timestamp").min().alias("first"), pl.col("timestamp").max().alias("last")).row(0)
        if events.height
        else (None, None)
    )
    days = (span[1] - span[0]).total_seconds() / SECONDS_PER_DAY if span[0] is not None else 0.0
    values = events["value"].drop_nulls()
    return {
        "batch": batch,
        "created": datetime.now(UTC).isoformat(timespec="microseconds"),
        "sources": [file.label for file in files],
        "segments": segments_of(home, files),
        "rows": cleaned.rows,
        "usable": events.height,
        "columns": list(cleaned.columns),
        "counts": dict(sorted(cleaned.counts.items())),
        "reasons": reasons_of(cleaned.bad),
        "repeated": cleaned.repeated,
        "first": span[0].isoformat() if span[0] else None,
        "last": span[1].isoformat() if span[1] else None,
        "days": days,
        "per_day": events.height / max(days, 1.0),
        "kinds": dict(sorted(events["event"].value_counts().iter_rows())) if events.height else {},
        "values": [float(values.quantile(q) or 0.0) for q in (0.05, 0.5, 0.95)] if values.len() else None,
    }


def segments_of(home: Home, files: Sequence[File]) -> list[str]:
    origins = (file.origin or file.path for file in files)
    return [origin.removeprefix(f"{home.url}/") for origin in origins if origin.startswith(f"{home.url}/{EVENTS}/")]


def reasons_of(bad: pl.DataFrame) -> list[Facts]:
    """Why rows are in quarantine, most rows first, each with three examples."""
    grouped = (
        bad.group_by("check", "column", "reason", maintain_order=True)
        .agg(
            pl.len().alias("rows"),
            pl.col("source").head(EXAMPLES),
            pl.col("row").head(EXAMPLES),
            pl.col("raw").head(EXAMPLES),
        )
        .sort("rows", "check", "column", "reason", descending=[True, False, False, False])
    )
    return [
        {
            "check": each["check"],
            "column": each["column"],
            "reason": each["reason"],
            "rows": each["rows"],
            "examples": [
                _example(*parts, each["column"]) for parts in zip(each["source"], each["row"], each["raw"], strict=True)
            ],
        }
        for each in grouped.iter_rows(named=True)
    ]


def _example(source: str, row: int, raw: str, column: str) -> str:
    """`ratings.csv row 7: user_id ''`: the cell where it can be told, else the row."""
    try:
        cells = json.loads(raw)
        shown = f"{column} {cells[column]!r}" if column in cells else raw
    except (ValueError, TypeError):
        shown = raw
    return f"{source} row {row}: {shown if len(shown) <= 120 else shown[:117] + '...'}"


def write_facts(home: Home, facts: Mapping[str, Any]) -> None:
    home.store.write(_key(facts["batch"]), canonical(dict(facts)))


def read_facts(home: Home, batch: str) -> Facts | None:
    """None when there is no such batch."""
    try:
        return dict(json.loads(home.store.read(_key(batch))))
    except (NotFound, ValueError):
        return None


def kept_facts(home: Home) -> list[Facts]:
    """Facts of all batches that stayed in the table, oldest first."""
    keys = home.store.list("batches")
    known = [read_facts(home, key.rpartition("/")[2].removesuffix(".json")) for key in keys if key.endswith(".json")]
    return sorted((each for each in known if each and not each.get("withdrawn")), key=lambda each: str(each["created"]))


def former_facts(home: Home, facts: Mapping[str, Any]) -> list[Facts]:
    """Those of the batches before this one."""
    return [each for each in kept_facts(home) if each["created"] < facts["created"] and each["batch"] != facts["batch"]]


def _key(batch: str) -> str:
    return f"batches/{batch}.json"
