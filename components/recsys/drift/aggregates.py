"""Counts of what happened, a day and a shard of users at a time: all that drift needs, and as much memory for a million rows as for one.

>>> counts = Aggregates(width=120)
>>> counts.add(days, shards, cells)                # from any number of monitors, in any order
>>> counts.window(first=20_500, days=7).shape
(64, 120)

Counts are integers in units of 1 / UNIT, so sums do not depend on the order of rows, and those of two monitors add up to
what one would have counted. Users are spread over SHARDS by a hash: shards are independent of each other while the events
of one user are not, so a null made of whole shards knows how much the same people's weeks differ. Of days long ago only the
totals are kept, a SHARDS-th of the memory: enough for how far weeks of a year ago lay apart.
"""

import io
import zlib
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp

Longs = npt.NDArray[np.int64]

SHARDS = 64  # swaps of so many give 2^64 nulls; more would cost memory and find nothing else
UNIT = 2520  # the least number that 1 to 10 divide: an item with three genres gives each exactly a third


def shard_of(user: str) -> int:
    """The same in every process and version, unlike `hash`."""
    return zlib.crc32(user.encode()) % SHARDS


def shards_of(users: Iterable[str | None]) -> Longs:
    """(users,) shards; nobody is a user like any other."""
    return np.fromiter((shard_of(user or "") for user in users), np.int64)


class Aggregates:
    """days: (SHARDS, width) int64 by day since 1970. past: (width,) of days of which the shards are forgotten.

    Merging is associative and commutative; `==` compares all counts.
    """

    def __init__(self, width: int, days: dict[int, Longs] | None = None, past: dict[int, Longs] | None = None) -> None:
        self.width = width
        self.days: dict[int, Longs] = days or {}
        self.past: dict[int, Longs] = past or {}

    def add(self, days: Longs, shards: Longs, rows: Longs, of: Any, start: int) -> None:
        """Count rows. days, shards, rows: (n,), rows of `of`, the (kinds, columns) counts that one such row gives.

        start: the first column that they are for.
        """
        if not len(days):
            return
        present, place = np.unique(days, return_inverse=True)
        cells = sp.csr_array(
            (np.ones(len(rows), np.int64), (place * SHARDS + shards, rows)),
            shape=(len(present) * SHARDS, of.shape[0]),
        )
        counted = (cells @ of).toarray().reshape(len(present), SHARDS, of.shape[1])
        for day, counts in zip(present, counted, strict=True):
            self._day(int(day))[:, start : start + of.shape[1]] += counts

    def merge(self, other: "Aggregates") -> None:
        """Add what somebody else counted of other rows."""
        assert self.width == other.width, "counts of other features"
        for day, counts in other.days.items():
            self._day(day)[:] += counts
        for day, total in other.past.items():
            self.past[day] = self.past[day] + total if day in self.past else total.copy()

    def window(self, first: int, days: int) -> Longs:
        """(SHARDS, width) the sum of some days; days without rows are 0."""
        total = np.zeros((SHARDS, self.width), np.int64)
        for day in range(first, first + days):
            if day in self.days:
                total += self.days[day]
        return total

    def total(self, first: int, days: int) -> Longs:
        """(width,) the sum of some days over all users, days long ago included."""
        total = np.zeros(self.width, np.int64)
        for day in range(first, first + days):
            if day in self.days:
                total += self.days[day].sum(axis=0)
            if day in self.past:
                total += self.past[day]
        return total

    def first_day(self, columns: slice) -> int | None:
        """The first day on which these columns counted something, of those whose shards are kept."""
        with_rows = [day for day, counts in self.days.items() if counts[:, columns].any()]
        return min(with_rows) if with_rows else None

    def keep(self, wanted: Iterable[int], totals: range = range(0)) -> None:
        """Forget all other days, of those in `totals` only the shards."""
        wanted = set(wanted)
        for day in [day for day in self.days if day not in wanted]:
            counts = self.days.pop(day).sum(axis=0)
            if day in totals and counts.any():
                self.past[day] = self.past[day] + counts if day in self.past else counts
        self.past = {day: total for day, total in self.past.items() if day in totals}

    def to_bytes(self) -> bytes:
        """Compressed arrays without pickle."""
        file = io.BytesIO()
        order = sorted(self.days)
        stacked = np.stack([self.days[day] for day in order]) if order else np.zeros((0, SHARDS, self.width), np.int64)
        past = sorted(self.past)
        totals = np.stack([self.past[day] for day in past]) if past else np.zeros((0, self.width), np.int64)
        np.savez_compressed(
            file,
            days=np.array(order, np.int64),
            counts=stacked,
            past=np.array(past, np.int64),
            totals=totals,
            allow_pickle=False,
        )
        return file.getvalue()

    @classmethod
    def from_bytes(cls, data: bytes) -> "Aggregates":
        """The reverse. Raises ValueError, KeyError, OSError or zipfile's error for anything else."""
        with np.load(io.BytesIO(data), allow_pickle=False) as arrays:
            days, counts, past, totals = (arrays[name] for name in ("days", "counts", "past", "totals"))
        if counts.ndim != 3 or counts.shape[:2] != (len(days), SHARDS) or totals.shape != (len(past), counts.shape[2]):
            raise ValueError("not the counts of days")
        return cls(
            counts.shape[2],
            {int(day): count.copy() for day, count in zip(days, counts, strict=True)},
            {int(day): total.copy() for day, total in zip(past, totals, strict=True)},
        )

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Aggregates) or self.width != other.width:
            return NotImplemented if not isinstance(other, Aggregates) else False
        return all(
            mine.keys() == theirs.keys() and all(np.array_equal(mine[day], theirs[day]) for day in mine)
            for mine, theirs in (
                (_counted(self.days), _counted(other.days)),
                (_counted(self.past), _counted(other.past)),
            )
        )

    __hash__ = None  # type: ignore[assignment]  # it changes

    def _day(self, day: int) -> Longs:
        if day not in self.days:
            self.days[day] = np.zeros((SHARDS, self.width), np.int64)
        return self.days[day]


def merged(parts: Sequence[Aggregates]) -> Aggregates:
    """The counts of all, the parts untouched."""
    total = Aggregates(parts[0].width)
    for part in parts:
        total.merge(part)
    return total


def _counted(days: dict[int, Longs]) -> dict[int, Longs]:
    return {day: counts for day, counts in days.items() if counts.any()}
