"""Which place of which list an event belongs to, and what that says of the list.

>>> hits = attributed(impressions, events, FeedbackSettings())
>>> joined(impressions, events, FeedbackSettings(), now).select("request_id", "place", "clicks", "clicked")

An event belongs to the list that its request id names, if that list showed the item and the event came within its kind's
maturity after it; else to the latest list that showed the item to the same user within `attribution_seconds` before it;
to one place of one list at most. It counts when it came within its kind's maturity. A label is null until that time has
passed: not known yet is not zero.
Pure functions; the order of rows and repeated rows change nothing, down to the last bit of a sum.
"""

import math
from datetime import datetime, timedelta

import polars as pl

from components.recsys.feedback.frames import IMPRESSIONS, distinct_events, distinct_lists
from components.recsys.settings import FeedbackSettings

SKEW = timedelta(days=1)  # a client's clock may be this slow: with a request id we know that the list came first
LABELS: dict[str, pl.DataType | type[pl.DataType]] = {
    "clicks": pl.Int32,
    "clicked": pl.Boolean,
    "conversions": pl.Int32,
    "converted": pl.Boolean,
    "value": pl.Float64,
}
JOINED: dict[str, pl.DataType | type[pl.DataType]] = {"day": pl.Date, **IMPRESSIONS, **LABELS}


def joined(impressions: pl.DataFrame, events: pl.DataFrame, settings: FeedbackSettings, now: datetime) -> pl.DataFrame:
    """One row per place of each list (columns JOINED), sorted by time, request id and place."""
    lists = distinct_lists(impressions)
    return labelled(lists, attributed(lists, distinct_events(events), settings), settings, now)


def attributed(lists: pl.DataFrame, events: pl.DataFrame, settings: FeedbackSettings) -> pl.DataFrame:
    """The events with what they hit: list (request id, null for none), place, shown (time), counts (in the window).

    lists, events: distinct, sorted by time.
    """
    places = lists.select("request_id", "item", "place", "user", shown="time")
    named = places.unique(["request_id", "item"], keep="first", maintain_order=True).drop("user")
    within = (pl.col("time") - pl.col("shown")).is_between(pl.lit(-SKEW), _maturity(settings))
    direct = (
        events.filter(pl.col("request_id") != "")
        .join(named.with_columns(list="request_id"), on=["request_id", "item"], how="inner")
        .filter(within)  # an older list may be long forgotten: it must make no difference whether it is
    )
    rest = events.join(direct.select("event_id"), on="event_id", how="anti").sort("time", "event_id")
    # Two lists at the very same moment: the greater request id, so that the order of arrival does not decide.
    last = (
        places.filter(pl.col("user") != "")
        .sort("shown", "request_id", "place", descending=[False, False, True])
        .unique(["user", "item", "shown"], keep="last", maintain_order=True)
        .rename({"request_id": "list"})
        .with_columns(moment="shown")
        .sort("moment")
    )
    latest = rest.join_asof(
        last,
        left_on="time",
        right_on="moment",
        by=["user", "item"],
        strategy="backward",
        tolerance=timedelta(seconds=settings.attribution_seconds),
        check_sortedness=False,  # polars cannot check it with `by`, and would warn
        coalesce=True,
    )
    columns = [*events.columns, "list", "place", "shown"]
    hits = pl.concat([direct.select(columns), latest.select(columns)]).sort("time", "event_id")
    return hits.with_columns(counts=pl.col("list").is_not_null() & within.fill_null(False))


def labelled(lists: pl.DataFrame, hits: pl.DataFrame, settings: FeedbackSettings, now: datetime) -> pl.DataFrame:
    """The lists with the labels that are final by `now`, and null for those that are not."""
    counted = hits.filter("counts").select(pl.col("list").alias("request_id"), "place", "kind", "value")
    of = {
        "clicks": counted.filter(pl.col("kind").is_in(settings.click_events)),
        "conversions": counted.filter(pl.col("kind").is_in(settings.conversion_events)),
    }
    rows = lists
    for name, part in of.items():
        sums = part.group_by("request_id", "place").agg(
            pl.len().cast(pl.Int32).alias(name), pl.col("value").drop_nulls().alias("values")
        )
        if name == "conversions":
            # Exact, so that the order of the addends is of no consequence.
            value = pl.Series("value", [math.fsum(values) for values in sums["values"]], dtype=pl.Float64)
            sums = sums.with_columns(value)
        rows = rows.join(sums.drop("values"), on=["request_id", "place"], how="left", maintain_order="left")
    clicks_final = _final(settings.click_events, settings, now)
    conversions_final = _final(settings.conversion_events, settings, now)
    return (
        rows.with_columns(
            pl.col("time").dt.date().alias("day"),
            pl.when(clicks_final).then(pl.col("clicks").fill_null(0)).alias("clicks"),
            pl.when(conversions_final).then(pl.col("conversions").fill_null(0)).alias("conversions"),
            pl.when(conversions_final).then(pl.col("value").fill_null(0.0)).alias("value"),
        )
        .with_columns(clicked=pl.col("clicks") > 0, converted=pl.col("conversions") > 0)
        .select(pl.col(name).cast(dtype) for name, dtype in JOINED.items())
        .sort("time", "request_id", "place")
        .rechunk()
    )


def click_rates(frame: pl.DataFrame) -> pl.DataFrame:
    """Per day, variant and release: lists, those with mature click labels, and those of them with a click.

    frame: columns JOINED. Returns day, variant, release, lists, mature, clicked, sorted.
    """
    lists = frame.group_by("day", "variant", "release", "request_id").agg(
        mature=pl.col("clicked").is_not_null().all(), clicked=pl.col("clicked").any()
    )
    return (
        lists.group_by("day", "variant", "release")
        .agg(
            lists=pl.len().cast(pl.Int64),
            mature=pl.col("mature").sum().cast(pl.Int64),
            clicked=(pl.col("mature") & pl.col("clicked")).sum().cast(pl.Int64),
        )
        .sort("day", "variant", "release")
    )


def maturity(kind: str, settings: FeedbackSettings) -> timedelta:
    """How long after a list an event of this kind still counts for it."""
    return timedelta(seconds=settings.maturity_seconds.get(kind, settings.default_maturity_seconds))


def longest(settings: FeedbackSettings) -> timedelta:
    """After this time nothing can change what is known of a list."""
    seconds = [*settings.maturity_seconds.values(), settings.default_maturity_seconds]
    return timedelta(seconds=max(seconds))


def _maturity(settings: FeedbackSettings) -> pl.Expr:
    seconds = pl.col("kind").replace_strict(
        dict(settings.maturity_seconds), default=settings.default_maturity_seconds, return_dtype=pl.Float64
    )
    return (seconds * 1e6).cast(pl.Duration("us"))


def _final(kinds: tuple[str, ...], settings: FeedbackSettings, now: datetime) -> pl.Expr:
    """Whether the slowest of these kinds can no longer come."""
    wait = max((maturity(kind, settings) for kind in kinds), default=timedelta(0))
    return pl.col("time") + pl.lit(wait) <= pl.lit(now)
