"""EASE: a linear item-item model with a closed form (Steck, WWW 2019, https://arxiv.org/abs/1905.03375).

>>> EASE(EASE.Config(l2=500, half_life=8)).fit(training).score(histories)
"""

from typing import Any, ClassVar, Self

import numpy as np
from pydantic import Field

from components.recsys.frames import Floats, Histories, Ints
from components.recsys.models.base import Model, ModelConfig, Training, Weights


class EASEConfig(ModelConfig):
    l2: float = Field(default=500.0, gt=0, description="Ridge penalty on the Gram matrix; more for sparser data.")
    half_life: float | None = Field(
        default=8.0, gt=0, description="Events after which an older one in a history counts half, at query time; null: all count the same."
    )


class EASE(Model):
    """B = I - P / diag(P) with P = (X'X + l2 I)^-1, zero diagonal; a history's score is the sum of its items' rows of B."""

    name: ClassVar[str] = "ease"
    Config: ClassVar[type[ModelConfig]] = EASEConfig

    def fit(self, training: Training) -> Self:
        self.items = training.interactions.items
        x = training.interactions.histories.matrix()
        x.data[:] = 1.0  # the closed form is for who chose what; weights act on histories at query time
        gram = (x.T @ x).toarray().astype(np.float64)
        gram[np.diag_indices_from(gram)] += self.config.l2
        inverse = np.linalg.inv(gram)
        b = inverse / -np.diag(inverse)
        np.fill_diagonal(b, 0.0)
        self.b = b.astype(np.float32)
        return self

    def score(self, histories: Histories) -> Floats:
        return np.asarray(histories.matrix(self.config.half_life) @ self.b, dtype=np.float32)

    def weights(self) -> dict[str, np.ndarray[Any, Any]]:
        return {"b": self.b}

    def load(self, weights: Weights) -> Self:
        self.b = weights["b"]
        return self

    def explain(self, history: Ints, items: Ints) -> Ints:
        if not len(history):
            return super().explain(history, items)
        contribution = self.b[np.ix_(history, items)]
        best = contribution.argmax(axis=0).astype(np.int32)
        best[contribution.max(axis=0) <= 0] = -1
        return best
