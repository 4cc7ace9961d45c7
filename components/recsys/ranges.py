"""Rows that are only seen to be wrong beside all others: values off the scale, users and items that changed places.

>>> out_of_range(pl.Series([1.0, 2.0, 3.0, 4.0, 5.0] * 50 + [999.0]), None).arg_true().to_list()
[250]
"""

import polars as pl

SPREADS = (
    1000  # distances of a value from the middle, in spreads, beyond which it is broken; heavy tails stay far below
)
SCALE_VALUES = 20  # distinct values of a rating scale at most
BODY_SHARE = 0.005  # a value of the scale is at least so frequent
BODY_LEAST = 0.85  # of the rows lie on the scale
LEAST_ROWS = 100  # with fewer, no scale can be told from chance
MIRROR_MOST = 0.1  # flipped signs are errors only while few


def out_of_range(values: pl.Series, limits: tuple[float, float] | None) -> pl.Series:
    """(rows,) bool: outside `limits`; without limits, so far from the others that no heavy tail explains it."""
    none = pl.Series([False]).new_from_index(0, len(values)) if len(values) else pl.Series([], dtype=pl.Boolean)
    known = values.drop_nulls()
    if known.is_empty():
        return none
    if limits is not None:
        return (~values.is_between(*limits)).fill_null(False)
    middle = float(known.median())  # type: ignore[arg-type]
    low, high = float(known.quantile(0.25) or 0.0), float(known.quantile(0.75) or 0.0)
    spread = (high - low) or max(abs(middle), 1.0)
    far = ((values - middle).abs() > SPREADS * spread).fill_null(False)
    if len(known) < LEAST_ROWS:
        return far
    return far | _off_scale(values, known)


def _off_scale(values: pl.Series, known: pl.Series) -> pl.Series:
    """Ratings: a few frequent values, nothing close around them, so that what lies apart is no tail of them."""
    none = pl.Series([False]).new_from_index(0, len(values))
    counts = known.alias("value").value_counts().with_columns(share=pl.col("count") / len(known))
    body = counts.filter(pl.col("share") >= BODY_SHARE)
    if not 2 <= body.height <= SCALE_VALUES or float(body["share"].sum()) < BODY_LEAST:
        return none
    flipped = _flipped(counts)
    if flipped:
        return values.is_in(pl.Series(flipped, dtype=pl.Float64)).fill_null(False)
    low, high = float(body["value"].min()), float(body["value"].max())  # type: ignore[arg-type]
    width = high - low
    outside = (values < low) | (values > high)
    apart = (values < low - width) | (values > high + width)
    shoulder = (outside & ~apart).fill_null(False)
    return none if shoulder.any() else apart.fill_null(False)


def _flipped(counts: pl.DataFrame) -> list[float]:
    """Negative values that mirror positive ones of a scale without zero: -4 among 1 to 5."""
    positive = set(counts.filter(pl.col("value") > 0)["value"])
    negative = counts.filter(pl.col("value") < 0)
    few = 0 < float(negative["share"].sum()) < MIRROR_MOST
    mirrored = all(-value in positive for value in negative["value"])
    has_zero = not counts.filter(pl.col("value") == 0).is_empty()
    return list(negative["value"]) if few and mirrored and len(positive) >= 3 and not has_zero else []


def swapped(users: pl.Series, items: pl.Series) -> pl.Series:
    """(rows,) bool: the user is an item elsewhere and the item a user, where ids do not overlap by nature."""
    none = pl.Series([False]).new_from_index(0, len(users)) if len(users) else pl.Series([], dtype=pl.Boolean)
    as_user = users.alias("id").value_counts(name="users")
    as_item = items.alias("id").value_counts(name="items")
    both = as_user.join(as_item, on="id", how="inner")
    if both.is_empty():
        return none
    really_items = both.filter(pl.col("items") > 3 * pl.col("users"))["id"]
    really_users = both.filter(pl.col("users") > 3 * pl.col("items"))["id"]
    turned = users.is_in(really_items.implode()) & items.is_in(really_users.implode())
    if not turned.any() or int(turned.sum()) > 0.2 * len(users):
        return none
    # Numbers from 1 are users and items alike by nature: then the overlap stays after these rows are gone.
    left = set(users.filter(~turned).unique()) & set(items.filter(~turned).unique())
    return turned if len(left) <= 0.01 * as_user.height else none
