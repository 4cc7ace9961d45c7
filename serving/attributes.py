"""Which items have which attribute value: what the `where` filter asks.

>>> attributes = Attributes(release.catalogue)
>>> attributes.mask({"genres": ["Drama"], "year": ["1995"]})
array([False, True, ...])
"""

import difflib
from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt
import polars as pl

from components.recsys.errors import InputError
from components.recsys.frames import Catalogue, Longs

Mask = npt.NDArray[np.bool_]
UNFIT = (pl.Binary, pl.Struct, pl.Object)  # no client can write these as a JSON value


class Attributes:
    """One index a column: value -> positions. A list column has a value for each of its parts."""

    def __init__(self, catalogue: Catalogue) -> None:
        self.size = catalogue.frame.height
        self.columns = {
            name: index(catalogue.frame[name]) for name in catalogue.frame.columns if fits(catalogue.frame[name])
        }

    def mask(self, where: Mapping[str, Sequence[str]]) -> Mask:
        """(n_items,) True for items that have one of the values of every attribute named.

        Raises InputError for an unknown attribute.
        """
        mask = np.ones(self.size, bool)
        for name, values in where.items():
            column = self.columns.get(name)
            if column is None:
                near = difflib.get_close_matches(name[:100], list(self.columns), n=1, cutoff=0.5)
                hint = f"did you mean '{near[0]}'?" if near else "known are " + ", ".join(sorted(self.columns))
                raise InputError(f"filters.where: items have no attribute '{name[:40]}'; {hint}")
            one = np.zeros(self.size, bool)
            for value in values:
                if value in column:
                    one[column[value]] = True
            mask &= one
        return mask


def fits(column: pl.Series) -> bool:
    inner = column.dtype.inner if isinstance(column.dtype, pl.List) else column.dtype
    return not isinstance(inner, UNFIT) and not isinstance(inner, pl.List)


def index(column: pl.Series) -> dict[str, Longs]:
    """Value, as `asks.spelled` writes it -> the positions that have it."""
    rows = pl.DataFrame({"position": np.arange(len(column)), "value": column})
    if isinstance(column.dtype, pl.List):
        rows = rows.explode("value")
    value = pl.col("value")
    text = value.cast(pl.String)
    if rows["value"].dtype.is_float():
        text = pl.when(value == value.round()).then(value.cast(pl.Int64, strict=False).cast(pl.String)).otherwise(text)
    groups = rows.select("position", text.alias("value")).drop_nulls().group_by("value", maintain_order=True).all()
    return {value: positions.to_numpy() for value, positions in zip(groups["value"], groups["position"], strict=True)}
