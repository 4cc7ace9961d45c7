"""Quantiles of latencies in constant memory.

>>> sketch = Sketch()
>>> for milliseconds in answers: sketch.add(milliseconds)
>>> sketch.at(rank=950)
(11.8, 12.04)

Buckets grow by 2 % each, so a value is known to 2 % and a million years fit into two thousand buckets (as DDSketch:
Masson, Rim and Lee, VLDB 2019).
"""

import math

GROWTH = 1.02
SMALLEST = 0.001  # milliseconds; less is as good


class Sketch:
    """Counts of values by bucket. Values in milliseconds."""

    def __init__(self) -> None:
        self.buckets: dict[int, int] = {}
        self.n = 0

    def add(self, value: float) -> None:
        bucket = math.ceil(math.log(max(value, SMALLEST)) / math.log(GROWTH))
        self.buckets[bucket] = self.buckets.get(bucket, 0) + 1
        self.n += 1

    def at(self, rank: int) -> tuple[float, float]:
        """The edges of the bucket that holds the rank-th smallest; (0, 0) below the first, infinite beyond the last."""
        if rank < 1:
            return 0.0, 0.0
        passed = 0
        for bucket in sorted(self.buckets):
            passed += self.buckets[bucket]
            if passed >= rank:
                return GROWTH ** (bucket - 1), GROWTH**bucket
        return math.inf, math.inf

    def quantile(self, level: float) -> float:
        """NaN of nothing."""
        return self.at(max(1, math.ceil(level * self.n)))[1] if self.n else math.nan
