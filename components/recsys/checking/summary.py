"""What a report shows of the data: sizes, time, shapes, and what cleaning did.

>>> summarise(events, items, facts)["density"]
0.063
"""

from datetime import timedelta
from typing import Any

import numpy as np
import polars as pl

from components.recsys.intake.batches import Facts

MOST_BUCKETS = 60
MOST_POINTS = 1000  # of the popularity curve
TOP = 10


def summarise(events: pl.DataFrame, items: pl.DataFrame | None, facts: Facts) -> dict[str, Any]:
    """JSON-able, sized for a page whatever the number of events.

    per_day: events by the first day of each bucket, at most 60. history_lengths: users by events. popularity: events
    per item, most popular first, thinned to 1,000 points. quarantine: rows by reason. cleaning: rows by change.
    """
    popularity = events["item_id"].value_counts(name="events").sort("events", "item_id", descending=[True, False])
    users, n_items = events["user_id"].n_unique(), popularity.height
    first, last = (events["timestamp"].min(), events["timestamp"].max()) if events.height else (None, None)
    counts = popularity["events"].to_numpy()
    return {
        "rows": events.height,
        "users": users,
        "items": n_items,
        "first": first.isoformat() if first is not None else None,  # type: ignore[union-attr]
        "last": last.isoformat() if last is not None else None,  # type: ignore[union-attr]
        "density": events.select("user_id", "item_id").unique().height / max(users * n_items, 1),
        "events": dict(events["event"].value_counts(sort=True).head(TOP).iter_rows()),
        "per_day": _per_day(events),
        "history_lengths": _history_lengths(events),
        "popularity": counts[
            np.unique(np.linspace(0, n_items - 1, min(n_items, MOST_POINTS)).round().astype(int))
        ].tolist()
        if n_items
        else [],
        "gini": _gini(counts),
        "top_items": _top(popularity, items),
        "quarantine": {f"{each['reason']} ({each['column']})": each["rows"] for each in facts["reasons"]},
        "cleaning": dict(facts["counts"]),
        "batch": {
            name: facts.get(name)
            for name in ("batch", "sources", "rows", "usable", "first", "last", "days", "per_day", "columns")
        },
    }


def _per_day(events: pl.DataFrame) -> dict[str, int]:
    if not events.height:
        return {}
    days = events.select(pl.col("timestamp").dt.date().alias("day"))
    first, last = days["day"].min(), days["day"].max()
    width = -(-((last - first).days + 1) // MOST_BUCKETS)  # type: ignore[operator, union-attr]
    bucket = ((pl.col("day") - first).dt.total_days() // width).alias("bucket")
    counts = dict(days.group_by(bucket).len().iter_rows())
    return {str(first + timedelta(days=number * width)): counts.get(number, 0) for number in range(max(counts) + 1)}  # type: ignore[operator]


def _history_lengths(events: pl.DataFrame) -> dict[str, int]:
    """Users by number of events, in buckets that double."""
    lengths = events["user_id"].value_counts(name="events")["events"].to_numpy()
    if not len(lengths):
        return {}
    power = np.floor(np.log2(lengths)).astype(int)
    named = {}
    for exponent in range(int(power.min()), int(power.max()) + 1):
        low, high = 2**exponent, 2 ** (exponent + 1) - 1
        named[str(low) if low == high else f"{low}-{high}"] = int((power == exponent).sum())
    return named


def _gini(counts: Any) -> float:
    """0: all items alike; 1: one item has everything. Of the items that occur."""
    if not len(counts):
        return 0.0
    ascending = np.sort(counts).astype(np.float64)
    n = len(ascending)
    return float((2 * np.arange(1, n + 1) - n - 1) @ ascending / (n * ascending.sum()))


def _top(popularity: pl.DataFrame, items: pl.DataFrame | None) -> list[dict[str, Any]]:
    top = popularity.head(TOP)
    titles: dict[str, Any] = {}
    if items is not None and "title" in items.columns:
        titles = dict(
            items.join(top, on="item_id", how="semi").select("item_id", pl.col("title").cast(pl.String)).iter_rows()
        )
    return [{"item": titles.get(item) or item, "events": count} for item, count in top.iter_rows()]
