"""Lists for people without history, and for when nothing else can answer: what is popular, first in what they like.

>>> fallback = Fallback.of(release.model, release.catalogue)
>>> release.model.items[fallback.rank(10, likes=["Comedy"])]
"""

from collections.abc import Iterable, Sequence
from functools import cached_property
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from components.recsys.frames import Catalogue, Floats, Interactions, Ints
from components.recsys.models.base import PRIOR_HALF_LIFE, Model, Weights
from components.recsys.models.counting import count_people

LABELS = "genres"  # the list attribute that people are asked what they like of


class Fallback:
    """popularity: (n_items,). labels: those of each item, in any case. A list is full while items are left."""

    def __init__(self, popularity: Floats, labels: Sequence[Iterable[str]]) -> None:
        self.popularity = popularity
        self.order = np.argsort(-popularity, kind="stable").astype(np.int32)
        self.labels = labels

    @classmethod
    def fit(cls, interactions: Interactions, catalogue: Catalogue, column: str = LABELS) -> Self:
        """From events: the people of each item, counted down over time."""
        return cls(count_people(interactions)(PRIOR_HALF_LIFE), catalogue.labels(column))

    @classmethod
    def of(cls, model: Model, catalogue: Catalogue, column: str = LABELS) -> Self:
        """From a release: every model carries what it answers somebody without history."""
        return cls(model.prior, catalogue.labels(column))

    def arrays(self) -> dict[str, np.ndarray[Any, Any]]:
        """What `load` needs beside the catalogue."""
        return {"popularity": self.popularity}

    @classmethod
    def load(cls, arrays: Weights, catalogue: Catalogue, column: str = LABELS) -> Self:
        return cls(arrays["popularity"], catalogue.labels(column))

    @cached_property
    def _with_label(self) -> dict[str, Ints]:
        """Label -> its items, the most popular first."""
        found: dict[str, list[int]] = {}
        for item in self.order:
            for label in self.labels[item]:
                found.setdefault(label.casefold(), []).append(item)
        return {label: np.array(items, np.int32) for label, items in found.items()}

    @property
    def known_labels(self) -> list[str]:
        """What can be liked, in small letters."""
        return sorted(self._with_label)

    def rank(
        self,
        k: int,
        likes: Iterable[str] = (),
        excluded: Ints | None = None,
        allowed: npt.NDArray[np.bool_] | None = None,
    ) -> Ints:
        """Up to `k` positions: items with a liked label first, then all others, each by popularity; ties by position.

        excluded: positions left out, such as those seen. allowed: (n_items,), False never appears. Labels that nobody
        knows are as good as none.
        """
        open_ = np.ones(len(self.order), bool) if allowed is None else allowed.copy()
        if excluded is not None:
            open_[excluded] = False
        liked = np.zeros(len(self.order), bool)
        for label in likes:
            liked[self._with_label.get(label.casefold(), [])] = True
        order = self.order[open_[self.order]]
        wanted = order[liked[order]][:k]
        return np.concatenate([wanted, order[~liked[order]][: k - len(wanted)]]).astype(np.int32)
