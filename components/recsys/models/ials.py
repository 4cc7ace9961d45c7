"""iALS: implicit matrix factorisation (Hu, Koren, Volinsky, ICDM 2008, https://doi.org/10.1109/ICDM.2008.22), with the
regularisation by frequency that made it strong again (Rendle et al., RecSys 2022, https://arxiv.org/abs/2110.14037).

>>> IALS(IALS.Config(factors=64, alpha=0.5, l2=0.01)).fit(training).score(histories)

Time grows with the events and the users, not with the items cubed: the model for large catalogues.
"""

from typing import Any, ClassVar

import numpy as np
import scipy.sparse as sp
from pydantic import Field
from scipy.linalg import lapack
from threadpoolctl import threadpool_limits

from components.recsys.frames import Floats, Histories, Ints
from components.recsys.models.base import HistoryConfig, Model, Training, Weights, newest, strongest
from components.recsys.models.validation import choose_half_life


class IALSConfig(HistoryConfig):
    factors: int = Field(default=64, ge=1, description="Length of an item's vector.")
    alpha: float = Field(
        default=0.5, gt=0, description="Weight of the items that a user did not take, against 1 for one that was taken."
    )
    l2: float = Field(
        default=0.01, gt=0, description="Penalty, per event of a user or item plus alpha for every possible one."
    )
    sweeps: int = Field(
        default=8, ge=1, description="Rounds of solving for users, then items; more hardly change the lists."
    )


class IALS(Model):
    """Minimises sum over events w (x - 1)^2 + alpha * sum over all cells x^2 + l2 * frequency * |vectors|^2.

    x is the product of a user's and an item's vector, w the event's weight.

    Only the items' vectors are kept: a user's vector is one small solve from the history, when it is asked for.
    """

    name: ClassVar[str] = "ials"
    Config: ClassVar[type[HistoryConfig]] = IALSConfig

    def _fit(self, training: Training) -> None:
        by_user = training.interactions.histories.matrix()
        by_item = by_user.T.tocsr()
        shape = (len(self.items), self.config.factors)
        vectors = np.random.default_rng(training.seed).standard_normal(shape) * (0.1 / np.sqrt(self.config.factors))
        self.vectors = vectors.astype(np.float32)
        # Thousands of tiny solves: a second thread costs forty times what it gives.
        with threadpool_limits(1):
            for _ in range(self.config.sweeps):
                users = self._solve(by_user, self.vectors)
                self.vectors = self._solve(by_item, users)
        self._prepare()
        choose_half_life(self, training)

    def _prepare(self) -> None:
        self.ground = _ground(self.vectors, self.config.alpha)
        self.known = _known(self.vectors)

    def _solve(self, rows: sp.csr_array, others: Floats) -> Floats:
        """The vectors of all rows, given those of the columns."""
        ground, known = _ground(others, self.config.alpha), _known(others)
        solved = np.zeros((rows.shape[0], others.shape[1]), np.float32)
        for row, (start, end) in enumerate(zip(rows.indptr[:-1], rows.indptr[1:], strict=True)):
            if start < end:
                solved[row] = self._fold_in(others[rows.indices[start:end]], rows.data[start:end], ground, known)
        return solved

    def _fold_in(self, taken: Floats, weights: Floats, ground: Floats, known: int) -> Floats:
        """The vector of one row from those that it took: (ground + taken' W taken + penalty I)^-1 taken' weights."""
        weighted = taken * weights[:, None]
        system = ground + taken.T @ weighted
        system.flat[:: len(system) + 1] += self.config.l2 * (weights.sum() + self.config.alpha * known)
        _, vector, _ = lapack.sposv(system, weighted.sum(axis=0), lower=1, overwrite_a=1)
        return np.asarray(vector, np.float32)

    def _score(self, histories: Histories) -> Floats:
        with threadpool_limits(1):
            users = self._solve(histories.matrix(self.config.half_life), self.vectors)
        scores: Floats = users @ self.vectors.T
        return scores

    def _score_one(self, history: Ints, weights: Floats) -> Floats:
        items, values = newest(history, weights, self.config.half_life)
        scores: Floats = self.vectors @ self._fold_in(self.vectors[items], values, self.ground, self.known)
        return scores

    def _weights(self) -> dict[str, np.ndarray[Any, Any]]:
        return {"vectors": self.vectors}

    def _load(self, weights: Weights) -> None:
        self.vectors = weights["vectors"]
        self._prepare()

    def _explain(self, history: Ints, items: Ints) -> Ints:
        """The score is a sum over the history of item' A^-1 taken, A the fold-in's system (Hu et al., section 5)."""
        distinct, values = newest(history, np.ones(len(history), np.float32), self.config.half_life)
        taken = self.vectors[distinct]
        system = self.ground + taken.T @ (taken * values[:, None])
        system.flat[:: len(system) + 1] += self.config.l2 * (values.sum() + self.config.alpha * self.known)
        towards = np.linalg.solve(system, self.vectors[items].T)
        return strongest(self.vectors[history] @ towards, self.config.half_life)


def _ground(vectors: Floats, alpha: float) -> Floats:
    """What every row's system shares: alpha times the Gram matrix of the vectors."""
    return (alpha * (vectors.T @ vectors)).astype(np.float32)


def _known(vectors: Floats) -> int:
    """How many rows or columns have events; the others have no vector and nothing to penalise."""
    return int(np.count_nonzero(vectors.any(axis=1)))
