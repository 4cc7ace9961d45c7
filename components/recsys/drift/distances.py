"""How far apart two histograms are, from 0 (the same) to 1 (nothing in common).

>>> jensen_shannon(np.array([31.0, 69.0]), np.array([52.0, 48.0]))
array(0.18...)

All take counts (..., bins) and return (...): many pairs at once. An empty histogram is 0 from everything: nothing was seen.
"""

from typing import Any

import numpy as np
import numpy.typing as npt

Doubles = npt.NDArray[np.float64]
Counts = npt.NDArray[Any]


def shares(counts: Counts) -> Doubles:
    """Each row over its sum; all 0 where the sum is 0."""
    totals = counts.sum(axis=-1, keepdims=True)
    return np.asarray(counts / np.where(totals > 0, totals, 1))


def jensen_shannon(a: Counts, b: Counts) -> Doubles:
    """Square root of the Jensen-Shannon divergence in bits: a metric (Endres and Schindelin, IEEE Trans. Inf. Theory 2003).

    Defined where a bin is empty on one side, unlike Kullback-Leibler and the population stability index.
    """
    p, q = shares(a), shares(b)
    middle = (p + q) / 2
    divergence = (_bits(p, middle) + _bits(q, middle)).sum(axis=-1) / 2
    return _known(a, b, np.sqrt(np.clip(divergence, 0.0, 1.0)))


def energy(a: Counts, b: Counts, apart: Doubles) -> Doubles:
    """Square root of the energy coefficient (Székely and Rizzo, J. Stat. Plan. Inference 2013) of two clouds of vectors.

    The clouds are histograms over code vectors; apart: (bins, bins) Euclidean distances between those. Moves between
    codes that lie close count little, which a histogram's distance cannot know.
    """
    p, q = shares(a), shares(b)
    from_p, from_q = p @ apart, q @ apart
    across = 2 * (from_p * q).sum(axis=-1)
    within = (from_p * p).sum(axis=-1) + (from_q * q).sum(axis=-1)
    coefficient = np.clip(across - within, 0.0, None) / np.where(across > 0, across, 1.0)
    return _known(a, b, np.sqrt(np.clip(coefficient, 0.0, 1.0)))


def _bits(p: Doubles, middle: Doubles) -> Doubles:
    return np.asarray(p * np.log2(np.where(p > 0, p, 1.0) / np.where(p > 0, middle, 1.0)))


def _known(a: Counts, b: Counts, distance: Doubles) -> Doubles:
    return np.where((a.sum(axis=-1) > 0) & (b.sum(axis=-1) > 0), distance, 0.0)
