"""Item-kNN: people who took this also took that (Sarwar et al., WWW 2001; shrinkage as in Dacrema et al., RecSys 2019).

>>> ItemKNN(ItemKNN.Config(neighbours=200, shrink=10)).fit(training).score(histories)
"""

from typing import Any, ClassVar

import numpy as np
import scipy.sparse as sp
from pydantic import Field

from components.recsys.frames import Floats, Histories, Ints
from components.recsys.models.base import HistoryConfig, Model, Training, Weights, newest, strongest
from components.recsys.models.sparse import Rows, dense_times
from components.recsys.models.validation import choose_half_life
from components.recsys.ranking import top_k

BLOCK_CELLS = 16_000_000  # similarities held at once: 64 MB


class ItemKNNConfig(HistoryConfig):
    neighbours: int = Field(default=200, ge=1, description="Most similar items kept for each item.")
    shrink: float = Field(
        default=10.0,
        ge=0,
        description="Added to the cosine's denominator: two items that few people share are not called alike.",
    )


class ItemKNN(Model):
    """score(i) = sum over the history's items j of cosine(i, j), where j is among the neighbours of i."""

    name: ClassVar[str] = "item_knn"
    Config: ClassVar[type[HistoryConfig]] = ItemKNNConfig

    def _fit(self, training: Training) -> None:
        x = training.interactions.histories.matrix()
        x.data[:] = 1.0
        self.similar = self._neighbours(x.tocsc())
        choose_half_life(self, training)

    def _neighbours(self, x: sp.csc_array) -> Rows:
        """Row j holds the items whose neighbour j is, so that a history adds up rows."""
        n_items = x.shape[1]
        norm = np.sqrt(np.asarray(x.sum(axis=0), np.float32))
        kept: list[tuple[Ints, Ints, Floats]] = []
        block = max(1, BLOCK_CELLS // max(1, n_items))
        for start in range(0, n_items, block):
            cosine = (x[:, start : start + block].T @ x).toarray()
            cosine /= norm[start : start + block, None] * norm[None, :] + self.config.shrink + np.float32(1e-9)
            here = np.arange(len(cosine))
            cosine[here, start + here] = 0.0
            neighbour, value = top_k(cosine, self.config.neighbours)
            near = value > 0
            kept.append(((start + np.nonzero(near)[0]).astype(np.int32), neighbour[near], value[near]))
        item, neighbour, value = (np.concatenate(part) for part in zip(*kept, strict=True))
        return Rows.of(neighbour, item, value, (n_items, n_items))

    def _score(self, histories: Histories) -> Floats:
        return dense_times(histories.matrix(self.config.half_life), self.similar)

    def _score_one(self, history: Ints, weights: Floats) -> Floats:
        return self.similar.sum(*newest(history, weights, self.config.half_life))

    def _weights(self) -> dict[str, np.ndarray[Any, Any]]:
        return self.similar.arrays("similar")

    def _load(self, weights: Weights) -> None:
        self.similar = Rows.load(weights, "similar", len(self.items))

    def _explain(self, history: Ints, items: Ints) -> Ints:
        return strongest(self.similar.dense(history)[:, items], self.config.half_life)
