"""What is shown: how much of the catalogue, how evenly, and how much of it is exploration.

>>> exposure.of(first=20_590, days=7)
Exposed(lists=1200, shown=12000, gini=0.81, coverage=0.64, exploration=0.05)

Memory grows with the catalogue and the days kept, not with the lists. Gini over all items, shown or not (as in Fleder and
Hosanagar, Management Science 2009): 0 is even, 1 is one item for everybody.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

Longs = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Exposed:
    """lists: given. shown: places filled. gini, coverage, exploration: None when nothing was shown."""

    lists: int
    shown: int
    gini: float | None
    coverage: float | None
    exploration: float | None


@dataclass
class Exposure:
    """items: how many the catalogue has. days: (items + 3,) a day: times shown, then unknown items, lists, explored lists."""

    items: int
    days: dict[int, Longs] = field(default_factory=dict)

    def add(self, day: int, places: Sequence[int], explored: bool) -> None:
        """One list. places: of its items in the catalogue; `items` for one that is not in it."""
        row = self.days.setdefault(day, np.zeros(self.items + 3, np.int64))
        np.add.at(row, np.asarray(places, np.int64), 1)
        row[-2] += 1
        row[-1] += explored

    def merge(self, other: "Exposure") -> None:
        for day, row in other.days.items():
            self.days[day] = self.days[day] + row if day in self.days else row.copy()

    def keep(self, wanted: Iterable[int]) -> None:
        wanted = set(wanted)
        self.days = {day: row for day, row in self.days.items() if day in wanted}

    def of(self, first: int, days: int) -> Exposed:
        """Of some days together."""
        rows = [self.days[day] for day in range(first, first + days) if day in self.days]
        total = np.sum(rows, axis=0) if rows else np.zeros(self.items + 3, np.int64)
        counts, lists = total[: self.items], int(total[-2])
        if not lists or not counts.sum():
            return Exposed(lists, int(counts.sum()), None, None, None)
        return Exposed(
            lists, int(counts.sum()), gini(counts), float((counts > 0).mean()), round(float(total[-1]) / lists, 6)
        )


def gini(counts: Longs) -> float:
    """Half the mean absolute difference over the mean, of counts that sum to more than 0."""
    ordered = np.sort(counts).astype(np.float64)
    n = len(ordered)
    return float(((2 * np.arange(1, n + 1) - n - 1) * ordered).sum() / (n * ordered.sum()))
