"""Scores become lists: seen items out, filters applied, the best first.

>>> indices, scores = rank(model, Histories.of([["242"]], model.items), k=10)
>>> model.items[indices[0]]
array(['302', '286', ...], dtype=object)
"""

from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from components.recsys.frames import Floats, Histories, Ints

if TYPE_CHECKING:
    from components.recsys.models.base import Model

NOBODY = -1  # pads a list when fewer items are allowed than asked for


def rank(
    model: "Model",
    histories: Histories,
    k: int,
    exclude_seen: bool = True,
    allowed: npt.NDArray[np.bool_] | None = None,
    batch: int = 1024,
) -> tuple[Ints, Floats]:
    """The best `k` items of every history: (rows, k) positions, padded with -1, and their scores, padded with -inf.

    allowed: (n_items,) for all, or (rows, n_items); False never appears. batch: histories scored at once, for memory.
    """
    indices = np.full((len(histories), k), NOBODY, np.int32)
    best = np.full((len(histories), k), -np.inf, np.float32)
    for start in range(0, len(histories), batch):
        part = histories[start : start + batch]
        scores = model.score(part)
        if exclude_seen:
            scores[np.repeat(np.arange(len(part)), part.lengths), part.indices] = -np.inf
        if allowed is not None:
            scores[
                ~np.broadcast_to(allowed if allowed.ndim == 1 else allowed[start : start + batch], scores.shape)
            ] = -np.inf
        found, values = top_k(scores, k)
        indices[start : start + batch, : found.shape[1]] = found
        best[start : start + batch, : found.shape[1]] = values
    return indices, best


def top_k(scores: Floats, k: int) -> tuple[Ints, Floats]:
    """(rows, min(k, items)) positions and scores, the best first; equal scores by position; -inf becomes -1.

    >>> top_k(np.array([[1, 3, 3, -np.inf]], np.float32), 4)
    (array([[ 1,  2,  0, -1]], dtype=int32), array([[  3.,   3.,   1., -inf]], dtype=float32))
    """
    rows, items = scores.shape
    k = min(k, items)
    if not k or not rows:
        return np.zeros((rows, k), np.int32), np.zeros((rows, k), np.float32)
    if k < items:
        least = np.partition(scores, items - k, axis=1)[:, items - k, None]
        row, item = np.nonzero(scores >= least)  # at least k a row; more where the last place is tied
    else:
        row, item = np.repeat(np.arange(rows), items), np.tile(np.arange(items), rows)
    order = np.lexsort((-scores[row, item], row))  # stable, so equal scores stay in the order of positions
    first = np.searchsorted(row, np.arange(rows))
    found = item[order][first[:, None] + np.arange(k)].astype(np.int32)
    values = np.take_along_axis(scores, found, axis=1)
    found[np.isneginf(values)] = NOBODY
    return found, values
