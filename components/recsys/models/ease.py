"""EASE: a linear item-item model with a closed form (Steck, WWW 2019, https://arxiv.org/abs/1905.03375).

>>> EASE(EASE.Config(l2=500, half_life=8)).fit(training).score(histories)
"""

from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp
from pydantic import Field
from scipy import linalg
from scipy.linalg import lapack

from components.recsys.errors import InputError
from components.recsys.frames import Floats, Histories, Ints
from components.recsys.models.base import HistoryConfig, Model, Training, Weights, newest, strongest
from components.recsys.models.validation import choose_half_life

MOST_ITEMS = 10_000  # the fit takes half a minute there, and eight times that at twice as many
Doubles = npt.NDArray[np.float64]
BLOCK = 512  # rows of B made at once, from the users' side
NOWHERE = -1  # the place of an item that nobody took
GATHER = 64  # rows of B summed at once: they stay in the cache, and a long history asks for no large block of memory


class EASEConfig(HistoryConfig):
    l2: float = Field(
        default=300.0,
        gt=0,
        description="Ridge penalty of an item of average popularity, in events; more for sparser data.",
    )
    frequency_power: float = Field(
        default=0.3,
        ge=0,
        le=1,
        description="The penalty grows with an item's people to this power; 0: the same for all, as published.",
    )
    activity_power: float = Field(
        default=0.5,
        ge=0,
        le=1,
        description="A user weighs their events to minus this power: few heavy users must not decide; 0: as published.",
    )
    debias: float = Field(
        default=0.15,
        ge=0,
        le=1,
        description="Scores are divided by an item's people to this power, against the pull of the popular; 0: not.",
    )


class EASE(Model):
    """B = I - P / diag(P) with P = (X'WX + L)^-1, zero diagonal; a history's score is the sum of its items' rows of B.

    Published are W = I and L = l2 I; the powers add 0.007 nDCG@10 on MovieLens 100K (mean of three random splits).
    Only items that somebody took have a row; the others score 0. Time: the smaller of items and users, times items
    squared. Memory: two square matrices of float64 while fitting, one of float32 after; with fewer users than items,
    little more than the latter.
    """

    name: ClassVar[str] = "ease"
    Config: ClassVar[type[HistoryConfig]] = EASEConfig

    def _fit(self, training: Training) -> None:
        x = training.interactions.histories.matrix().astype(np.float64)
        x.data[:] = 1.0  # the closed form is for who chose what; weights act on histories at query time
        self.taken = np.unique(x.indices).astype(np.int32)
        self._place_items()
        self.b = self._solve(x[:, self.taken]) if len(self.taken) else np.zeros((0, 0), np.float32)
        choose_half_life(self, training)

    def _solve(self, x: Any) -> Floats:
        people = np.asarray(x.sum(axis=0))
        user_weight = np.maximum(np.asarray(x.sum(axis=1)), 1.0) ** -self.config.activity_power
        popularity = x.T @ user_weight
        penalty = self.config.l2 * user_weight.mean() * (popularity / popularity.mean()) ** self.config.frequency_power
        solve = _by_items if x.shape[1] <= x.shape[0] else _by_users
        return solve(x, user_weight, penalty, (people + 1) ** -self.config.debias)

    def _place_items(self) -> None:
        self.all_taken = len(self.taken) == len(self.items)
        self.place = np.full(len(self.items), NOWHERE, np.int32)
        self.place[self.taken] = np.arange(len(self.taken))

    def _score(self, histories: Histories) -> Floats:
        x = histories.matrix(self.config.half_life)
        if self.all_taken:
            return np.asarray(x @ self.b, np.float32)
        scores = np.zeros(x.shape, np.float32)
        scores[:, self.taken] = x[:, self.taken] @ self.b
        return scores

    def _score_one(self, history: Ints, weights: Floats) -> Floats:
        items, values = newest(history, weights, self.config.half_life)
        if self.all_taken:
            return _sum_rows(self.b, items, values)
        rows = self.place[items]
        scores = np.zeros(len(self.items), np.float32)
        scores[self.taken] = _sum_rows(self.b, rows[rows >= 0], values[rows >= 0])
        return scores

    def _weights(self) -> dict[str, np.ndarray[Any, Any]]:
        return {"b": self.b, "taken": self.taken}

    def _load(self, weights: Weights) -> None:
        self.b, self.taken = weights["b"], weights["taken"]
        self._place_items()

    def _explain(self, history: Ints, items: Ints) -> Ints:
        if self.all_taken:
            return strongest(self.b[history[:, None], items], self.config.half_life)
        rows, columns = self.place[history], self.place[items]
        says = np.zeros((len(history), len(items)), np.float32)
        says[np.ix_(rows >= 0, columns >= 0)] = self.b[np.ix_(rows[rows >= 0], columns[columns >= 0])]
        return strongest(says, self.config.half_life)


def _sum_rows(matrix: Floats, rows: Ints, weights: Floats) -> Floats:
    total: Floats = weights[:GATHER] @ matrix[rows[:GATHER]]
    for start in range(GATHER, len(rows), GATHER):
        total += weights[start : start + GATHER] @ matrix[rows[start : start + GATHER]]
    return total


def _by_items(x: Any, user_weight: Doubles, penalty: Doubles, scale: Doubles) -> Floats:
    """B from the inverse of the items' Gram matrix."""
    gram = (x.T @ (sp.diags_array(user_weight) @ x)).toarray()
    gram[np.diag_indices_from(gram)] += penalty
    gram = _inverse(gram)
    gram *= -scale / np.diag(gram)
    np.fill_diagonal(gram, 0.0)
    return np.ascontiguousarray(gram, np.float32)


def _by_users(x: Any, user_weight: Doubles, penalty: Doubles, scale: Doubles) -> Floats:
    """The same from the users' side, for fewer users than items: P = 1/L - Z'Z with Z = chol(1/W + X 1/L X')^-1 X 1/L (Woodbury)."""
    scaled = sp.csr_array(x @ sp.diags_array(1.0 / penalty))
    kernel = (scaled @ x.T).toarray()
    kernel[np.diag_indices_from(kernel)] += 1.0 / user_weight
    z = linalg.solve_triangular(linalg.cholesky(kernel, lower=True), scaled.toarray(), lower=True)
    columns = scale / (1.0 / penalty - np.einsum("ui,ui->i", z, z))
    b = np.empty((x.shape[1], x.shape[1]), np.float32)
    for start in range(0, len(b), BLOCK):
        b[start : start + BLOCK] = (z[:, start : start + BLOCK].T @ z) * columns
    np.fill_diagonal(b, 0.0)
    return b


def _inverse(gram: Doubles) -> Doubles:
    """Of a symmetric positive definite matrix by Cholesky: half the work of a general one. `gram` is overwritten."""
    factor, failed = lapack.dpotrf(gram.T, lower=1, clean=0, overwrite_a=1)  # transposed: LAPACK's order, so no copy
    if not failed:
        inverse, failed = lapack.dpotri(factor, lower=1, overwrite_c=1)
    if failed:
        raise InputError("EASE: the items' Gram matrix cannot be inverted; raise train.models.ease.l2")
    lower: Doubles = np.tril(inverse)
    lower += np.tril(inverse, -1).T
    return lower
