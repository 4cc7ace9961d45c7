"""An attribute of the items that knows the future: it would lift every offline number and help nobody.

>>> leaking_attribute(events, items.with_columns(total_clicks=...)).column
'total_clicks'
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import polars as pl

LAST = 0.8  # the future is what happened after this share of the events
LEAST_ITEMS = 30  # with fewer, a high correlation is chance
LEAST_SPREAD = 1e-9
EXAMPLES = 3

Numbers = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Leak:
    """correlation: of the attribute with future popularity, past popularity held fixed (values or ranks)."""

    column: str
    correlation: float
    items: int
    examples: list[str]


def leaking_attribute(events: pl.DataFrame, items: pl.DataFrame) -> Leak | None:
    """The numeric attribute that tells most about future popularity, or None when there is none to judge.

    What the popularity before explains does not count: 'clicks last year' may well tell how popular an item will be.
    """
    numeric = [name for name, dtype in items.schema.items() if dtype.is_numeric()]
    if not numeric or events.height < LEAST_ITEMS:
        return None
    cut = events["timestamp"].sort()[int(LAST * (events.height - 1))]
    counts = events.group_by("item_id").agg(
        (pl.col("timestamp") > cut).sum().cast(pl.Float64).alias("__future"),
        (pl.col("timestamp") <= cut).sum().cast(pl.Float64).alias("__past"),
    )
    joined = items.join(counts, on="item_id", how="inner").sort("item_id")
    best: Leak | None = None
    for name in numeric:
        rows = (
            joined.select("item_id", pl.col(name).cast(pl.Float64), "__future", "__past")
            .drop_nulls()
            .filter(pl.col(name).is_finite())
        )
        if rows.height < LEAST_ITEMS:
            continue
        found = max(
            _partial(*(rows[column].to_numpy() for column in (name, "__future", "__past"))),
            _partial(*(rows[column].rank().to_numpy() for column in (name, "__future", "__past"))),
        )
        if best is None or found > best.correlation:
            top = rows.sort("__future", "item_id", descending=[True, False]).head(EXAMPLES)
            examples = [
                f"item {item!r}: {name} {value:g}, {future:.0f} later events"
                for item, value, future, _ in top.iter_rows()
            ]
            best = Leak(name, found, rows.height, examples)
    return best


def _partial(x: Numbers, y: Numbers, given: Numbers) -> float:
    """|correlation| of x and y after a straight line in `given` is taken off both."""
    design = np.column_stack([np.ones_like(given), given])
    left = x - design @ np.linalg.lstsq(design, x, rcond=None)[0]
    right = y - design @ np.linalg.lstsq(design, y, rcond=None)[0]
    scale = float(np.linalg.norm(left) * np.linalg.norm(right))
    # What `given` explains to the last digit leaves only rounding errors, whose correlation means nothing.
    if np.linalg.norm(left) < LEAST_SPREAD * max(float(np.linalg.norm(x)), 1.0) or scale < LEAST_SPREAD:
        return 0.0
    return abs(float(left @ right)) / scale
