"""Degree-normalised SVD: the smooth part of the user-item graph (GF-CF's low-pass filter, Shen et al., CIKM 2021).

>>> SVD(SVD.Config(factors=40)).fit(training).score(histories)

Few factors say what EASE cannot: tastes shared by items that nobody took together. Middling alone, it adds to a blend.
"""

from typing import Any, ClassVar

import numpy as np
import scipy.sparse as sp
from pydantic import Field

from components.recsys.frames import Floats, Histories, Ints
from components.recsys.models.base import HistoryConfig, Model, Training, Weights, newest, strongest
from components.recsys.models.validation import choose_half_life

SPARE = 10  # vectors iterated beyond those kept, which the kept ones converge by
ITERATIONS = 8  # after which lists no longer change


class SVDConfig(HistoryConfig):
    factors: int = Field(default=40, ge=1, description="Singular vectors kept; more turn the filter into memory.")


class SVD(Model):
    """score = x D^-1/2 V V' D^1/2 with V the right singular vectors of the degree-normalised matrix, D the degrees."""

    name: ClassVar[str] = "svd"
    Config: ClassVar[type[HistoryConfig]] = SVDConfig

    def _fit(self, training: Training) -> None:
        x = training.interactions.histories.matrix()
        x.data[:] = 1.0
        x = x.astype(np.float64)
        users, items = np.asarray(x.sum(axis=1)), np.asarray(x.sum(axis=0))
        normalised = sp.diags_array(_root(users)) @ x @ sp.diags_array(_root(items))
        vectors = _right_vectors(normalised, min(self.config.factors, min(x.shape)), training.seed)
        self.into = (vectors * _root(items)[:, None]).astype(np.float32)
        self.out = (vectors * np.sqrt(items)[:, None]).T.astype(np.float32)
        choose_half_life(self, training)

    def _score(self, histories: Histories) -> Floats:
        return np.asarray(histories.matrix(self.config.half_life) @ self.into @ self.out, np.float32)

    def _score_one(self, history: Ints, weights: Floats) -> Floats:
        items, values = newest(history, weights, self.config.half_life)
        scores: Floats = values @ self.into[items] @ self.out
        return scores

    def _weights(self) -> dict[str, np.ndarray[Any, Any]]:
        return {"into": self.into, "out": self.out}

    def _load(self, weights: Weights) -> None:
        self.into, self.out = weights["into"], weights["out"]

    def _explain(self, history: Ints, items: Ints) -> Ints:
        return strongest(self.into[history] @ self.out[:, items], self.config.half_life)


def _root(degrees: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """1 / sqrt, and 0 for an item that nobody took."""
    return np.where(degrees > 0, 1 / np.sqrt(np.maximum(degrees, 1)), 0.0)


def _right_vectors(matrix: sp.csr_array, count: int, seed: int) -> np.ndarray[Any, Any]:
    """(columns, count) right singular vectors of the largest values, by randomised subspace iteration (Halko et al.,
    SIAM Review 2011): a fixed amount of work, where a Lanczos solver takes ten times as long on data without structure.
    """
    guess = np.random.default_rng(seed).standard_normal((matrix.shape[1], min(count + SPARE, *matrix.shape)))
    for _ in range(ITERATIONS):
        guess, _ = np.linalg.qr(matrix.T @ (matrix @ guess))
    _, _, inner = np.linalg.svd(matrix @ guess, full_matrices=False)
    vectors: np.ndarray[Any, Any] = (guess @ inner.T)[:, :count]
    return vectors
