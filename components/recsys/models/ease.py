"""EASE: a linear item-item model with a closed form (Steck, WWW 2019, https://arxiv.org/abs/1905.03375).

>>> EASE(EASE.Config(l2=500, half_life=8)).fit(training).score(histories)
"""

from typing import Any, ClassVar

import numpy as np
from pydantic import Field
from scipy.linalg import lapack

from components.recsys.errors import InputError
from components.recsys.frames import Floats, Histories, Ints
from components.recsys.models.base import HistoryConfig, Model, Training, Weights, newest, strongest
from components.recsys.models.validation import choose_half_life

MOST_ITEMS = 10_000  # the fit takes half a minute there, and eight times that at twice as many
GATHER = 64  # rows of B summed at once: they stay in the cache, and a long history asks for no large block of memory


class EASEConfig(HistoryConfig):
    l2: float = Field(default=500.0, gt=0, description="Ridge penalty on the Gram matrix; more for sparser data.")


class EASE(Model):
    """B = I - P / diag(P) with P = (X'X + l2 I)^-1, zero diagonal; a history's score is the sum of its items' rows of B.

    Memory: two (n_items, n_items) matrices of float64 while fitting, one of float32 after. Time: n_items cubed.
    """

    name: ClassVar[str] = "ease"
    Config: ClassVar[type[HistoryConfig]] = EASEConfig

    def _fit(self, training: Training) -> None:
        x = training.interactions.histories.matrix()
        x.data[:] = 1.0  # the closed form is for who chose what; weights act on histories at query time
        gram = (x.T @ x).toarray().astype(np.float64)
        gram[np.diag_indices_from(gram)] += self.config.l2
        b = _inverse(gram)
        b /= -np.diag(b).copy()
        np.fill_diagonal(b, 0.0)
        self.b = b.astype(np.float32)
        choose_half_life(self, training)

    def _score(self, histories: Histories) -> Floats:
        return np.asarray(histories.matrix(self.config.half_life) @ self.b, dtype=np.float32)

    def _score_one(self, history: Ints, weights: Floats) -> Floats:
        items, values = newest(history, weights, self.config.half_life)
        scores: Floats = values[:GATHER] @ self.b[items[:GATHER]]
        for start in range(GATHER, len(items), GATHER):
            scores += values[start : start + GATHER] @ self.b[items[start : start + GATHER]]
        return scores

    def _weights(self) -> dict[str, np.ndarray[Any, Any]]:
        return {"b": self.b}

    def _load(self, weights: Weights) -> None:
        self.b = weights["b"]

    def _explain(self, history: Ints, items: Ints) -> Ints:
        return strongest(self.b[np.ix_(history, items)], self.config.half_life)


def _inverse(gram: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Of a symmetric positive definite matrix, by Cholesky: half the work of a general inverse. `gram` is overwritten."""
    factor, failed = lapack.dpotrf(gram, lower=1, clean=0, overwrite_a=1)
    if not failed:
        lower, failed = lapack.dpotri(factor, lower=1, overwrite_c=1)
    if failed:
        raise InputError("EASE: the items' Gram matrix cannot be inverted; raise train.models.ease.l2")
    lower = np.tril(lower)
    full: np.ndarray[Any, Any] = lower + np.tril(lower, -1).T
    return full
