"""What chance does to distances: windows whose users' weeks were swapped at random.

>>> p, expected = swap_test(before, after, shared, measures, permutations=2000, seed=42)

If nothing changed, a user's week might as well have been the other one. So each shard of users keeps its events together and
swaps its two windows by the toss of a coin; the sample is as large, as sparse and as much the same people's as what was
seen. A permutation test for paired samples (Good, Permutation Tests, 2000), exact whatever the histograms look like.
"""

from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt

from components.recsys.drift.distances import Doubles

Longs = npt.NDArray[np.int64]
Measure = Callable[[Doubles, Doubles], Doubles]  # counts (..., width) of two windows to distances (..., features)


def swap_test(
    before: Longs, after: Longs, shared: Longs, measure: Measure, permutations: int, seed: int
) -> tuple[Doubles, Doubles, Doubles]:
    """(features,) p-values, p-values corrected for being many, and mean distances under the null.

    before, after, shared: (shards, width) counts of two windows and of the days that lie in both, which no swap moves.

    Corrected by the largest standardised distance over the features of each swap (max-T, Westfall and Young,
    Resampling-Based Multiple Testing, 1993): features that move together, as kind and class do, cost little, and the
    smallest p-value stays 1 / (permutations + 1), however many features there are.
    """
    old, new = (before - shared).astype(np.float64), (after - shared).astype(np.float64)
    common = shared.sum(axis=0).astype(np.float64)
    swaps = np.random.default_rng(seed).integers(0, 2, (permutations, len(before))).astype(np.float64)
    moved = swaps @ (old - new)
    drawn = measure(common + old.sum(axis=0) - moved, common + new.sum(axis=0) + moved)
    seen = measure(common + old.sum(axis=0), common + new.sum(axis=0))
    mean, spread = drawn.mean(axis=0), drawn.std(axis=0)
    # Without any spread there is nothing to test (no rows, or every day in both windows).
    scale = np.where(spread > 0, spread, np.inf)
    largest = ((drawn - mean) / scale).max(axis=1)
    p = _share_above(drawn, seen)
    corrected = (1 + (largest[:, None] >= ((seen - mean) / scale)[None, :]).sum(axis=0)) / (permutations + 1)
    untested = spread <= 0
    return np.where(untested, 1.0, p), np.where(untested, 1.0, np.maximum(corrected, p)), mean


def _share_above(drawn: Doubles, seen: Doubles) -> Doubles:
    """(1 + draws at least as large) / (1 + draws): never 0 (Phipson and Smyth, SAGMB 2010). Rounding counts as a tie."""
    return np.asarray((1 + (drawn >= seen - 1e-12).sum(axis=0)) / (len(drawn) + 1))


def measure_of(parts: Sequence[tuple[slice, Callable[[Doubles, Doubles], Doubles]]]) -> Measure:
    """One function for all features: each takes its own columns."""

    def measure(a: Doubles, b: Doubles) -> Doubles:
        return np.stack([distance(a[..., columns], b[..., columns]) for columns, distance in parts], axis=-1)

    return measure
