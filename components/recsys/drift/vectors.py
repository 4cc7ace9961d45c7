"""Items as vectors, and vectors as a few codes: how drift sees what no attribute says.

>>> vectors = item_vectors(release)                       # (items, dimensions) of the champion's own model
>>> codes = codebook(vectors, weights, codes=32, seed=42)
>>> codes.nearest.shape, codes.apart.shape
((300,), (32, 32))

A histogram over code vectors and the distances between them give the energy statistic (Székely and Rizzo 2013) of the two
clouds up to the error of the code, in constant memory and with the same null as every other histogram.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from threadpoolctl import threadpool_limits

from components.recsys.drift.distances import Doubles
from components.recsys.frames import Ints
from components.recsys.models.attributes import describe
from components.recsys.release import Release

DIMENSIONS = 16  # what people's tastes mostly lie in; more only makes clouds look equally far apart
ROUNDS = 15  # of k-means, after which codes hardly move
# Names under which models keep a row per item, the best first. EASE's are rows of an items x items matrix.
FACTORS = ("vectors", "into", "b")


@dataclass(frozen=True)
class Codebook:
    """nearest: (items,) code of each item. apart: (codes, codes) distances between code vectors."""

    nearest: Ints
    apart: Doubles


def item_vectors(release: Release) -> Doubles:
    """(items, dimensions) from the model's own item factors where it has them, else from the items' attributes."""
    arrays = release.model.weights()
    taken = next((arrays[name] for name in arrays if name.rpartition(".")[2] == "taken"), None)
    for name in FACTORS:
        for key in sorted(arrays):
            array = arrays[key]
            if key.rpartition(".")[2] != name or array.ndim != 2:
                continue
            rows = np.zeros((len(release.model.items), array.shape[1]))
            if len(array) == len(rows):
                return project(np.asarray(array, np.float64))
            if taken is not None and len(array) == len(taken):
                rows[taken] = array
                return project(rows)
    return project(describe(release.catalogue, text_weight=0.0, most_features=2_000).matrix().toarray())


def codebook(vectors: Doubles, weights: Doubles, codes: int, seed: int) -> Codebook:
    """k-means (Lloyd, from k-means++ seeds: Arthur and Vassilvitskii, SODA 2007). weights: (items,) how often acted on."""
    rng, importance = np.random.default_rng(seed), weights + 1.0
    distinct = len(np.unique(vectors.round(9), axis=0))
    centres = vectors[rng.choice(len(vectors), 1, p=importance / importance.sum())]
    while len(centres) < min(codes, distinct):
        far = importance * _squares(vectors, centres).min(axis=1)
        centres = np.vstack([centres, vectors[rng.choice(len(vectors), 1, p=far / far.sum())]])
    for _ in range(ROUNDS):
        nearest = _squares(vectors, centres).argmin(axis=1)
        total = np.bincount(nearest, importance, len(centres))
        sums = np.stack([np.bincount(nearest, importance * column, len(centres)) for column in vectors.T], axis=1)
        centres = np.where(total[:, None] > 0, sums / np.maximum(total, 1e-12)[:, None], centres)
    nearest = _squares(vectors, centres).argmin(axis=1).astype(np.int32)
    return Codebook(nearest, np.sqrt(_squares(centres, centres)))


def project(rows: Doubles) -> Doubles:
    """To DIMENSIONS by a random projection, which keeps distances (Johnson and Lindenstrauss 1984), rows of length 1."""
    if rows.shape[1] > DIMENSIONS:
        rng = np.random.default_rng([20, rows.shape[1]])
        # One thread: the same sums, to the last digit, on every machine of one kind.
        with threadpool_limits(1):
            rows = rows @ rng.standard_normal((rows.shape[1], DIMENSIONS)) / np.sqrt(DIMENSIONS)
    length = np.linalg.norm(rows, axis=1, keepdims=True)
    return np.asarray(rows / np.where(length > 0, length, 1.0))


def _squares(a: Doubles, b: Doubles) -> Any:
    return np.maximum((a**2).sum(axis=1)[:, None] - 2 * a @ b.T + (b**2).sum(axis=1)[None, :], 0.0)
