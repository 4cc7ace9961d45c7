"""Log records as frames: a row per place of a list, a row per event.

>>> impressions = impressions_of(records)        # columns IMPRESSIONS
>>> events = events_of(event_of(line, secret) for line in lines)   # columns EVENTS; users as pseudonymous keys
"""

import json
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

import polars as pl

from components.recsys.buckets import SHADOW, user_key
from components.recsys.predictions import Prediction

TIME = pl.Datetime("us", "UTC")
IMPRESSIONS: dict[str, Any] = {
    "request_id": pl.String,
    "time": TIME,
    "user": pl.String,  # "" for nobody
    "variant": pl.String,  # who was meant to answer
    "release": pl.String,  # who did
    "rollout": pl.String,
    "epoch": pl.Int64,
    "fallback": pl.String,
    "failed": pl.String,
    "explored": pl.Boolean,
    "place": pl.Int32,  # from 1
    "item": pl.String,
    "score": pl.Float64,
    "propensity": pl.Float64,
}
EVENTS: dict[str, Any] = {
    "event_id": pl.String,
    "time": TIME,
    "user": pl.String,
    "item": pl.String,
    "kind": pl.String,
    "value": pl.Float64,
    "request_id": pl.String,  # "" for none
}


def impressions_of(records: Iterable[Prediction]) -> pl.DataFrame:
    """A row per place of the lists that people got: what a shadow would have shown nobody saw."""
    rows = [
        (
            record.request_id, moment(record.time), record.user, record.variant, record.release, record.rollout,
            record.epoch, record.fallback, record.failed, record.explored, place, shown.item, shown.score,
            shown.propensity,
        )
        for record in records
        if record.variant != SHADOW
        for place, shown in enumerate(record.items, start=1)
    ]  # fmt: skip
    return pl.DataFrame(rows, schema=IMPRESSIONS, orient="row")


def event_of(line: bytes, secret: bytes) -> tuple[Any, ...]:
    """A line of an event segment as a row of EVENTS. Raises ValueError, TypeError or KeyError for what is none."""
    raw = json.loads(line)
    value = raw.get("value")
    return (
        str(raw["event_id"]),
        moment(raw["timestamp"]),
        user_key(secret, str(raw["user_id"])),
        str(raw["item_id"]),
        str(raw.get("event") or "interaction"),
        None if value is None else float(value),
        str(raw.get("request_id") or ""),
    )


def events_of(rows: Iterable[tuple[Any, ...]]) -> pl.DataFrame:
    return pl.DataFrame(list(rows), schema=EVENTS, orient="row")


def distinct_lists(impressions: pl.DataFrame) -> pl.DataFrame:
    """One list a request id, one row a place, sorted: the same whatever came first or twice."""
    order = ["time", "request_id", "place"]
    lists = ["request_id", "time", "variant", "release"]
    first = impressions.select(lists).unique().sort(lists).unique("request_id", keep="first", maintain_order=True)
    rows = impressions.join(first, on=lists, how="semi").sort([*order, *(c for c in IMPRESSIONS if c not in order)])
    return rows.unique(["request_id", "place"], keep="first", maintain_order=True).rechunk()


def distinct_events(events: pl.DataFrame) -> pl.DataFrame:
    """One row an event id, sorted by time: the same whatever came first or twice."""
    order = ["time", "event_id", *(c for c in EVENTS if c not in ("time", "event_id"))]
    return events.sort(order, nulls_last=True).unique("event_id", keep="first", maintain_order=True).rechunk()


def moment(text: str) -> datetime:
    """ISO 8601; without a zone it is UTC."""
    time = datetime.fromisoformat(text)
    return time.replace(tzinfo=UTC) if time.tzinfo is None else time.astimezone(UTC)
