"""A candidate that answers unseen: its lists against those that the same requests got from the champion.

>>> overlap(("a", "b", "c"), ("a", "c", "d"))
0.61
>>> shadow.figures()
{'lists': 200, 'rank_overlap': 0.43, 'jaccard': 0.31, 'score_shift': 0.02, ...}

Rank overlap is RBO with the extrapolation of Webber, Moffat and Zobel (ACM TOIS 2010, eq. 32 for equal lengths): 1 for
the same order, 0 for nothing in common, the first places counting most.
"""

import math
from dataclasses import dataclass, field
from typing import Any

from components.recsys.buckets import CHAMPION, SHADOW
from components.recsys.predictions import Prediction
from serving.rollout.quantiles import Sketch

PERSISTENCE = 0.9  # the chance that a reader looks at the next place: ten places carry 86 % of the weight
MOST_UNPAIRED = 10_000  # lists whose other half has not been read yet


def overlap(one: tuple[str, ...], other: tuple[str, ...], persistence: float = PERSISTENCE) -> float:
    """RBO of two rankings, 0 to 1; the longer one is cut. Two empty ones agree."""
    depth = min(len(one), len(other))
    if depth == 0:
        return float(len(one) == len(other))
    common, total = 0, 0.0
    seen_one: set[str] = set()
    seen_other: set[str] = set()
    for place in range(depth):
        a, b = one[place], other[place]
        common += (a == b) + (a != b and a in seen_other) + (a != b and b in seen_one)
        seen_one.add(a)
        seen_other.add(b)
        total += common / (place + 1) * persistence ** (place + 1)
    return (1 - persistence) / persistence * total + common / depth * persistence**depth


def jaccard(one: tuple[str, ...], other: tuple[str, ...]) -> float:
    """Items in common among those in either."""
    union = set(one) | set(other)
    return len(set(one) & set(other)) / len(union) if union else 1.0


@dataclass
class Shadow:
    """Pairs of lists. Sums only, and halves of pairs."""

    pairs: int = 0
    lists: int = 0
    failed: int = 0
    overlaps: float = 0.0
    jaccards: float = 0.0
    shifts: float = 0.0
    latency: Sketch = field(default_factory=Sketch)
    beside: Sketch = field(default_factory=Sketch)
    halves: dict[str, Prediction] = field(default_factory=dict)
    counted: dict[str, None] = field(default_factory=dict)

    def take(self, record: Prediction) -> bool:
        """A record of either side; False for any other, and for a copy."""
        if record.variant not in (CHAMPION, SHADOW) or record.request_id in self.counted:
            return False
        other = self.halves.get(record.request_id)
        if other is None or other.variant == record.variant:
            if other is None and len(self.halves) < MOST_UNPAIRED:
                self.halves[record.request_id] = record
            return False
        del self.halves[record.request_id]
        self.counted[record.request_id] = None
        if len(self.counted) > MOST_UNPAIRED:
            del self.counted[next(iter(self.counted))]
        self._pair(*((record, other) if record.variant == SHADOW else (other, record)))
        return True

    def _pair(self, shadow: Prediction, champion: Prediction) -> None:
        self.lists += 1
        self.latency.add(shadow.latency_ms)
        self.beside.add(champion.latency_ms)
        if shadow.failed:
            self.failed += 1
        if shadow.failed or champion.failed:
            return
        mine, theirs = (tuple(shown.item for shown in record.items) for record in (shadow, champion))
        self.pairs += 1
        self.overlaps += overlap(mine, theirs)
        self.jaccards += jaccard(mine, theirs)
        if shadow.items and champion.items:
            self.shifts += shadow.items[0].score - champion.items[0].score

    def figures(self) -> dict[str, Any]:
        """Means over pairs; None where there are none."""

        def mean(total: float) -> float | None:
            return round(total / self.pairs, 4) if self.pairs else None

        def shown(value: float) -> float | None:
            return None if math.isnan(value) else round(value, 2)

        return {
            "lists": self.lists,
            "failed": self.failed,
            "rank_overlap": mean(self.overlaps),
            "jaccard": mean(self.jaccards),
            "score_shift": mean(self.shifts),
            "p95_ms": shown(self.latency.quantile(0.95)),
            "champion_p95_ms": shown(self.beside.quantile(0.95)),
        }
