"""Sparse rows as three plain arrays: quick to add up for one history, and safetensors can hold them.

>>> rows = Rows.of(np.array([0, 0, 1]), np.array([1, 2, 0]), np.array([.5, .2, .5]), (2, 3))
>>> rows.sum(np.array([0, 1]), np.array([1, 2]))
array([1. , 0.5, 0.2], dtype=float32)
"""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import scipy.sparse as sp

from components.recsys.frames import Floats, Ints, Longs
from components.recsys.models.base import Weights


@dataclass(frozen=True)
class Rows:
    """CSR. indptr: (rows + 1,) int64. indices: (cells,) int32, ascending in a row. data: (cells,) float32."""

    indptr: Longs
    indices: Ints
    data: Floats
    columns: int

    @classmethod
    def of(cls, rows: Ints, columns: Ints, data: Floats, shape: tuple[int, int]) -> "Rows":
        """From triplets, no two of one place."""
        order = np.lexsort((columns, rows))
        indptr = np.concatenate([[0], np.cumsum(np.bincount(rows, minlength=shape[0]))]).astype(np.int64)
        return cls(indptr, columns[order].astype(np.int32), data[order].astype(np.float32), shape[1])

    def arrays(self, name: str) -> dict[str, np.ndarray[Any, Any]]:
        return {f"{name}.indptr": self.indptr, f"{name}.indices": self.indices, f"{name}.data": self.data}

    @classmethod
    def load(cls, weights: Weights, name: str, columns: int) -> "Rows":
        return cls(weights[f"{name}.indptr"], weights[f"{name}.indices"], weights[f"{name}.data"], columns)

    def matrix(self) -> sp.csr_array:
        return sp.csr_array((self.data, self.indices, self.indptr), shape=(len(self.indptr) - 1, self.columns))

    def cells(self, rows: Ints) -> tuple[Longs, Longs]:
        """Where the cells of `rows` lie in `indices` and `data`, and how many each row has."""
        counts = self.indptr[rows + 1] - self.indptr[rows]
        ends = np.cumsum(counts)
        return np.arange(counts.sum()) + np.repeat(self.indptr[rows] - ends + counts, counts), counts

    def sum(self, rows: Ints, weights: Floats) -> Floats:
        """(columns,) the weighted sum of some rows."""
        cells, counts = self.cells(rows)
        values = self.data[cells] * np.repeat(weights, counts)
        return np.bincount(self.indices[cells], values, self.columns).astype(np.float32)

    @cached_property
    def row_of_cell(self) -> Longs:
        return np.repeat(np.arange(len(self.indptr) - 1), np.diff(self.indptr))

    def dot(self, vector: Floats) -> Floats:
        """(rows,) each row times `vector`."""
        return np.bincount(self.row_of_cell, self.data * vector[self.indices], len(self.indptr) - 1).astype(np.float32)

    def dense(self, rows: Ints) -> Floats:
        """(rows, columns) some rows, written out."""
        cells, counts = self.cells(rows)
        written = np.zeros((len(rows), self.columns), np.float32)
        written[np.repeat(np.arange(len(rows)), counts), self.indices[cells]] = self.data[cells]
        return written


def dense_times(histories: sp.csr_array, rows: Rows) -> Floats:
    """(histories, columns) the weighted sums of rows of many histories at once."""
    return np.asarray((histories @ rows.matrix()).toarray(), np.float32)
