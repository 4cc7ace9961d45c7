"""Attributes of items as bins that are fixed once, so that counts of other days and other monitors add up.

>>> bins = bins_of(items, weights, max_bins=32)      # weights: (items,) how often each was acted on lately
>>> [one.name for one in bins], bins[0].matrix.shape
(['genres', 'kind', 'class', 'price', 'climate', 'region', 'city'], (301, 12))

The last row of a matrix is for items that are not known. Each row sums to UNIT: lists are shared out among their values.
"""

from collections import defaultdict
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import polars as pl
import scipy.sparse as sp

from components.recsys.drift.aggregates import UNIT
from components.recsys.drift.distances import Doubles

UNKNOWN, OTHER = "unknown", "other"
NUMBER_BINS = 10  # quantiles: finer ones only add noise to the distance
NAMES = 0.5  # distinct values, as a share of the items, from which a column of strings holds names and not categories
TEXT = ("title", "name", "description")


@dataclass(frozen=True)
class Bins:
    """labels: (bins,) what people read. matrix: (items + 1, bins) int64, sparse."""

    name: str
    labels: tuple[str, ...]
    matrix: Any


def bins_of(items: pl.DataFrame, weights: Doubles, max_bins: int) -> list[Bins]:
    """One for each column that says something of a kind: lists, categories and numbers; not ids, titles, links, dates."""
    made = [_bins(items[name], weights, max_bins) for name in items.columns if name != "item_id" and name not in TEXT]
    return [bins for bins in made if bins is not None]


def _bins(column: pl.Series, weights: Doubles, max_bins: int) -> Bins | None:
    known = column.drop_nulls()
    if not len(known):
        return None
    if column.dtype.is_numeric():
        return _numbers(column, weights)
    if isinstance(column.dtype, pl.List):
        return _lists(column.name, [list(map(str, value or ())) for value in column.to_list()], weights, max_bins)
    if column.dtype not in (pl.String, pl.Boolean, pl.Categorical, pl.Enum):
        return None
    if known.n_unique() > max(max_bins, NAMES * len(known)):
        return None
    return _lists(column.name, [[] if v is None else [str(v)] for v in column.to_list()], weights, max_bins)


def _lists(name: str, values: list[list[str]], weights: Doubles, max_bins: int) -> Bins:
    frequent: dict[str, float] = defaultdict(float)
    for own, weight in zip(values, weights, strict=True):
        for value in own:
            frequent[value] += (1.0 + weight) / len(own)  # a listed item counts once even if nobody took it
    kept = sorted(sorted(frequent), key=lambda value: -frequent[value])[: max(1, max_bins - 2)]
    place = {value: index for index, value in enumerate(sorted(kept))}
    labels = (*sorted(kept), OTHER, UNKNOWN)
    rows = [sorted(place.get(value, len(kept)) for value in own) or [len(kept) + 1] for own in values]
    return Bins(name, labels, _matrix([*rows, [len(kept) + 1]], len(labels)))


def _numbers(column: pl.Series, weights: Doubles) -> Bins | None:
    values = column.cast(pl.Float64).fill_null(float("nan")).to_numpy()
    finite = np.isfinite(values)
    if not finite.any():
        return None
    edges = weighted_quantiles(values[finite], 1.0 + weights[finite], NUMBER_BINS)
    labels = (*number_labels(edges), UNKNOWN)
    places = np.where(finite, np.searchsorted(edges, np.where(finite, values, 0.0), side="right"), len(labels) - 1)
    rows = [[int(place)] for place in places]
    return Bins(column.name, labels, _matrix([*rows, [len(labels) - 1]], len(labels)))


def weighted_quantiles(values: Doubles, weights: Doubles, bins: int) -> Doubles:
    """At most bins - 1 distinct edges that part the weight evenly."""
    order = np.argsort(values, kind="stable")
    reached = np.cumsum(weights[order]) / weights.sum()
    wanted = np.searchsorted(reached, np.arange(1, bins) / bins)
    return np.asarray(np.unique(values[order][np.minimum(wanted, len(values) - 1)]))


def number_labels(edges: Doubles) -> tuple[str, ...]:
    if not len(edges):
        return ("any",)
    inner = (f"{low:.4g} to {high:.4g}" for low, high in pairwise(edges))
    return (f"below {edges[0]:.4g}", *inner, f"from {edges[-1]:.4g}")


def _matrix(rows: list[list[int]], width: int) -> Any:
    indptr = np.cumsum([0, *(len(row) for row in rows)])
    indices = np.fromiter((index for row in rows for index in row), np.int64, int(indptr[-1]))
    data = np.fromiter((UNIT // len(row) for row in rows for _ in row), np.int64, int(indptr[-1]))
    matrix = sp.csr_array((data, indices, indptr), shape=(len(rows), width))
    matrix.sum_duplicates()
    return matrix
