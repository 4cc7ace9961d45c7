"""How well a model tells what people take next from all else they could have: the ROC curve of its full rankings.

>>> curve = discriminate(model, parts, seed=42)
>>> curve.sentence()
'Area under the ROC curve 0.921 (943 people): a list of 10 holds 16.9% of what they took next, and 0.5% of all else.'

Everything that somebody has not had yet is ranked, as serving would; what the person then took is positive, the rest is
negative. A point of the curve is a length of list: scores of two people cannot be compared, places in their lists can.
Items that the model does not know are left out. Fawcett, "An introduction to ROC analysis", Pattern Recognition Letters
2006.
"""

from dataclasses import dataclass

import numpy as np

from components.recsys.heldout import HeldOut
from components.recsys.metrics import Counts
from components.recsys.models.base import Model
from components.recsys.splits import Split
from components.recsys.stats import Doubles

MOST_PEOPLE = 2000  # drawn evenly: what that costs is a hundredth of the curve, and a large catalogue stays affordable
POINTS = 40  # closer together where lists are short
TOLD = 10  # length of the list in the sentence


@dataclass(frozen=True)
class Curve:
    """lengths: of lists, rising from 0. found, shown: the shares of positives and of negatives that such lists hold.

    area: the chance that an item which somebody took stands above one which the person did not; exact.
    """

    lengths: Counts
    found: Doubles
    shown: Doubles
    area: float
    people: int

    def thresholds(self) -> Doubles:
        """Share of the longest list that is *not* shown: 1 shows nothing, 0 everything, as a threshold on a score does."""
        return np.asarray(1 - self.lengths / max(int(self.lengths[-1]), 1))

    def sentence(self) -> str:
        point = int(np.searchsorted(self.lengths, TOLD, side="right")) - 1
        return (
            f"Area under the ROC curve {self.area:.3f} ({self.people:,} people): a list of {self.lengths[point]} holds "
            f"{self.found[point]:.1%} of what they took next, and {self.shown[point]:.1%} of all else."
        )


def discriminate(model: Model, split: Split, seed: int, part: str = "test") -> Curve | None:
    """The curve on a held-out part; None where nobody took anything new that the model knows, or took all there was."""
    held = HeldOut.of(split, model.items, part)
    asked = np.flatnonzero(held.truth.lengths > 0)
    if len(asked) > MOST_PEOPLE:
        asked = np.sort(np.random.default_rng(seed).choice(asked, MOST_PEOPLE, replace=False))
    ranked = [(places_of(model, held, row), _unseen(held, row)) for row in asked.tolist()]
    ranked = [(places, unseen) for places, unseen in ranked if unseen > len(places)]
    return _curve(ranked) if ranked else None


def places_of(model: Model, held: HeldOut, row: int) -> Counts:
    """Places, from 0 and rising, of what a person took, among all that the person had not had."""
    history, taken = held.histories[row : row + 1], held.truth[row : row + 1].indices
    scores = model.score_one(history.indices, history.weights)
    scores[history.indices] = -np.inf
    own = scores[taken][:, None]
    # Equal scores stand in the order of positions, as in every list (ranking.top_k).
    before = (scores > own) | ((scores == own) & (np.arange(len(scores)) < taken[:, None]))
    return np.sort(before.sum(axis=1))


def _unseen(held: HeldOut, row: int) -> int:
    return held.histories.n_items - len(np.unique(held.histories[row : row + 1].indices))


def _curve(ranked: list[tuple[Counts, int]]) -> Curve:
    longest = max(unseen for _, unseen in ranked)
    lengths = np.unique(np.concatenate([[0], np.geomspace(1, longest, POINTS).round()])).astype(np.int64)
    found, shown, below = np.zeros(len(lengths)), np.zeros(len(lengths)), []
    for places, unseen in ranked:
        inside = np.searchsorted(places, lengths)  # of what was taken, on the first `length` places
        found += inside
        shown += np.minimum(lengths, unseen) - inside
        negatives_above = places - np.arange(len(places))
        below.append(1 - negatives_above / (unseen - len(places)))
    positives = sum(len(places) for places, _ in ranked)
    negatives = sum(unseen for _, unseen in ranked) - positives
    area = float(np.concatenate(below).mean())
    return Curve(lengths, found / positives, shown / negatives, area, len(ranked))
