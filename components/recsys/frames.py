"""Events as arrays: what models are trained on and what they score.

>>> histories = Histories.of([["a", "b"], []], items=np.array(["a", "b", "c"]))
>>> len(histories), histories.indices
(2, array([0, 1], dtype=int32))

An item is its position in the vocabulary (a sorted array of ids); a history is a list of positions, oldest first.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt
import polars as pl
import scipy.sparse as sp

Floats = npt.NDArray[np.float32]
Ints = npt.NDArray[np.int32]
Longs = npt.NDArray[np.int64]
Strings = npt.NDArray[np.object_]


@dataclass(frozen=True)
class Histories:
    """Rows of item positions, oldest first, in CSR form.

    indptr: (rows + 1,) int64. indices: (events,) int32, positions in the vocabulary, 0 <= index < n_items.
    weights: (events,) float32, how much an event says (1 unless the kind of event or its value say otherwise).
    """

    indptr: Longs
    indices: Ints
    weights: Floats
    n_items: int

    @classmethod
    def of(cls, lists: Sequence[Iterable[str]], items: Strings) -> "Histories":
        """From lists of ids; ids that the vocabulary lacks are left out."""
        position = {item: index for index, item in enumerate(items)}
        rows = [[position[item] for item in row if item in position] for row in lists]
        return cls.from_rows(rows, len(items))

    @classmethod
    def from_rows(cls, rows: Sequence[Sequence[int]], n_items: int) -> "Histories":
        indptr = np.cumsum([0, *(len(row) for row in rows)], dtype=np.int64)
        indices = np.fromiter((index for row in rows for index in row), np.int32, int(indptr[-1]))
        return cls(indptr, indices, np.ones(len(indices), np.float32), n_items)

    def __len__(self) -> int:
        return len(self.indptr) - 1

    def __getitem__(self, rows: slice) -> "Histories":
        """A run of rows, without copying the events."""
        start, stop, step = rows.indices(len(self))
        assert step == 1
        first, last = self.indptr[start], self.indptr[max(stop, start)]
        return Histories(
            self.indptr[start : max(stop, start) + 1] - first,
            self.indices[first:last],
            self.weights[first:last],
            self.n_items,
        )

    @cached_property
    def lengths(self) -> Longs:
        """(rows,) events in each row."""
        return np.diff(self.indptr)

    def recency(self, half_life: float | None) -> Floats:
        """(events,) the weights, halved for every `half_life` events that came after in the same row; None: as they are."""
        if half_life is None:
            return self.weights
        age = np.repeat(self.indptr[1:], self.lengths) - 1 - np.arange(len(self.indices))
        return (self.weights * np.exp2(-age / half_life)).astype(np.float32)

    def matrix(self, half_life: float | None = None, *, binary: bool = True) -> sp.csr_array:
        """(rows, n_items) float32. Of repeated items the newest counts when `binary`, else their sum."""
        values = self.recency(half_life)
        if binary:
            rows = np.repeat(np.arange(len(self)), self.lengths)
            key = rows * self.n_items + self.indices
            _, last = np.unique(key[::-1], return_index=True)
            last = len(key) - 1 - last
            counts = np.bincount(rows[last], minlength=len(self))
            indptr = np.concatenate([[0], np.cumsum(counts)])
            return sp.csr_array((values[last], self.indices[last], indptr), shape=(len(self), self.n_items))
        matrix = sp.csr_array((values, self.indices, self.indptr), shape=(len(self), self.n_items))
        matrix.sum_duplicates()
        return matrix


@dataclass(frozen=True)
class Interactions:
    """Who did what and when: the training form of events.

    users: (n_users,) ids, sorted. items: (n_items,) ids, sorted: the vocabulary. histories: a row per user.
    seconds: (events,) int64, Unix time, in step with histories.indices.
    """

    users: Strings
    items: Strings
    histories: Histories
    seconds: Longs

    @classmethod
    def from_frame(
        cls, events: pl.DataFrame, items: Strings | None = None, weights: dict[str, float] | None = None
    ) -> "Interactions":
        """From columns user_id, item_id, timestamp (and event). Without `items` the vocabulary is what occurs.

        Rows on items outside the vocabulary are left out; rows of one instant keep the order of their item ids,
        so the same events in any order give the same arrays.
        """
        if weights and "event" in events.columns:
            weight = pl.col("event").replace_strict(weights, default=1.0, return_dtype=pl.Float32)
        else:
            weight = pl.lit(1.0, dtype=pl.Float32)
        events = events.with_columns(weight.alias("weight")).filter(pl.col("weight") > 0)
        vocabulary = (
            events["item_id"].unique().sort() if items is None else pl.Series("item_id", items, dtype=pl.String)
        )
        positions = pl.DataFrame({"item_id": vocabulary, "index": np.arange(len(vocabulary), dtype=np.int32)})
        rows = events.join(positions, on="item_id", how="inner").sort("user_id", "timestamp", "item_id")
        counts = rows.group_by("user_id", maintain_order=True).len()
        indptr = np.concatenate([[0], np.cumsum(counts["len"].to_numpy())]).astype(np.int64)
        histories = Histories(
            indptr, rows["index"].to_numpy().astype(np.int32), rows["weight"].to_numpy(), len(vocabulary)
        )
        seconds = rows["timestamp"].dt.epoch("s").to_numpy().astype(np.int64)
        return cls(np.array(counts["user_id"], dtype=object), np.array(vocabulary, dtype=object), histories, seconds)

    def __len__(self) -> int:
        return len(self.users)


@dataclass(frozen=True)
class Catalogue:
    """What is known of the items, in the order of the vocabulary. frame: item_id plus any attributes (lists allowed)."""

    frame: pl.DataFrame

    @classmethod
    def empty(cls, items: Strings) -> "Catalogue":
        return cls(pl.DataFrame({"item_id": pl.Series(items, dtype=pl.String)}))

    @classmethod
    def align(cls, items: Strings, attributes: pl.DataFrame | None) -> "Catalogue":
        """`attributes` in the vocabulary's order; an item without a row gets nulls."""
        frame = pl.DataFrame({"item_id": pl.Series(items, dtype=pl.String)})
        if attributes is None or attributes.width == 1:
            return cls(frame)
        return cls(
            frame.join(
                attributes.unique("item_id", keep="last", maintain_order=True),
                on="item_id",
                how="left",
                maintain_order="left",
            )
        )

    @property
    def items(self) -> Strings:
        return np.array(self.frame["item_id"], dtype=object)

    def titles(self) -> list[str]:
        """What people read for each item: its title or name, else its id."""
        for column in ("title", "name"):
            if column in self.frame.columns:
                return [title or item for title, item in zip(self.frame[column], self.frame["item_id"], strict=True)]
        return self.frame["item_id"].to_list()

    def labels(self, column: str = "genres") -> list[list[str]]:
        """The labels of each item in a list column; empty lists where there is none."""
        if column not in self.frame.columns:
            return [[] for _ in range(self.frame.height)]
        return [list(value) if value is not None else [] for value in self.frame[column]]
