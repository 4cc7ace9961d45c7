"""Rows that are only seen to be wrong beside all others: values off the scale, users and items that changed places.

>>> out_of_range(pl.Series([1.0, 2.0, 3.0, 4.0, 5.0] * 50 + [999.0]), None).arg_true().to_list()
[250]
"""

import numpy as np
import polars as pl

SPREADS = 1000  # a value is broken that is so many spreads away from the middle,
GAP = 1000  # and so many times farther than the next one: a heavy tail thins out without such a gap
SCALE_VALUES = 20  # distinct values of a rating scale at most
END_SHARE = 0.005  # of the rows lie on each end of a scale, and at least END_ROWS: a tail thins out instead
END_ROWS = 5
EMPTY = 0.5  # widths of the scale that must be empty beyond its ends
LEAST_ROWS = 100  # with fewer, no scale can be told from chance
MOST_SWAPPED = 0.2  # of the rows; beyond, nobody can say which way round is right
NATURAL_OVERLAP = (
    0.5  # of the ids that are users and items remain both without the swapped rows: no error, one numbering
)
MIRROR_MOST = 0.1  # flipped signs are errors only while few


def out_of_range(values: pl.Series, limits: tuple[float, float] | None, items: pl.Series | None = None) -> pl.Series:
    """(rows,) bool: outside `limits`; without limits, so far from the others that no heavy tail explains it.

    items: of the same rows; where every item has one value of its own it is a price, not a rating on a scale.
    """
    none = pl.Series([False]).new_from_index(0, len(values)) if len(values) else pl.Series([], dtype=pl.Boolean)
    known = values.drop_nulls()
    if known.is_empty():
        return none
    if limits is not None:
        return (~values.is_between(*limits)).fill_null(False)
    far = _far(values, known)
    if len(known) < LEAST_ROWS or (items is not None and _is_price(values, items)):
        return far
    return far | _off_scale(values, known)


def _far(values: pl.Series, known: pl.Series) -> pl.Series:
    middle = float(known.median())  # type: ignore[arg-type]
    spread = _quantile(known, 0.75) - _quantile(known, 0.25) or max(abs(middle), 1.0)
    away = np.maximum((known - middle).abs().unique().sort().to_numpy(), spread)
    alone = (away[1:] > SPREADS * spread) & (away[1:] > GAP * away[:-1])
    if not alone.any():
        return pl.Series([False]).new_from_index(0, len(values))
    return ((values - middle).abs() >= float(away[1:][alone][0])).fill_null(False)


def _quantile(known: pl.Series, share: float) -> float:
    return float(known.quantile(share, "nearest") or 0.0)


def _is_price(values: pl.Series, items: pl.Series) -> bool:
    pairs = pl.DataFrame({"item": items, "value": values}).drop_nulls()
    return pairs.unique().height == pairs["item"].n_unique()


def _off_scale(values: pl.Series, known: pl.Series) -> pl.Series:
    """Ratings: few distinct values, both ends in use, emptiness beyond them; what lies behind that is no tail."""
    none = pl.Series([False]).new_from_index(0, len(values))
    low, high = _quantile(known, 0.1), _quantile(known, 0.9)
    width = high - low
    counts = known.alias("value").value_counts(name="rows").sort("value")
    flipped = _flipped(counts)
    if flipped:
        return values.is_in(flipped).fill_null(False)
    scale = counts.filter(pl.col("value").is_between(low - width, high + width))
    if width <= 0 or scale.height > SCALE_VALUES:
        return none
    least = max(END_ROWS, END_SHARE * len(known))
    (first, first_rows), (last, last_rows) = scale.row(0), scale.row(-1)
    ends = min(first_rows, last_rows) >= least
    empty = low - width <= first - EMPTY * width and last + EMPTY * width <= high + width
    if not (ends and empty):
        return none
    return (~values.is_between(low - width, high + width)).fill_null(False)


def _flipped(counts: pl.DataFrame) -> list[float]:
    """Negative values that mirror positive ones of a scale without zero: -4 among 1 to 5."""
    positive = set(counts.filter(pl.col("value") > 0)["value"])
    negative = counts.filter(pl.col("value") < 0)
    few = 0 < int(negative["rows"].sum()) < MIRROR_MOST * int(counts["rows"].sum())
    mirrored = all(-value in positive for value in negative["value"])
    has_zero = not counts.filter(pl.col("value") == 0).is_empty()
    is_scale = 3 <= len(positive) <= SCALE_VALUES
    return list(negative["value"]) if few and mirrored and is_scale and not has_zero else []


def swapped(users: pl.Series, items: pl.Series) -> pl.Series:
    """(rows,) bool: the user is an item elsewhere and the item a user, where ids do not overlap by nature."""
    none = pl.Series([False]).new_from_index(0, len(users)) if len(users) else pl.Series([], dtype=pl.Boolean)
    as_user = users.alias("id").value_counts(name="users")
    as_item = items.alias("id").value_counts(name="items")
    both = as_user.join(as_item, on="id", how="inner")
    if both.is_empty():
        return none
    really_items = both.filter(pl.col("items") > pl.col("users"))["id"]
    really_users = both.filter(pl.col("users") > pl.col("items"))["id"]
    turned = users.is_in(really_items.implode()) & items.is_in(really_users.implode())
    if not turned.any() or int(turned.sum()) > MOST_SWAPPED * len(users):
        return none
    # Numbers from 1 are users and items alike by nature: then the overlap stays after these rows are gone.
    left = set(users.filter(~turned).unique()) & set(items.filter(~turned).unique())
    return turned if len(left) < NATURAL_OVERLAP * both.height else none
