"""The one interface that every model implements.

>>> model = EASE(EASE.Config(l2=500)).fit(Training(interactions, catalogue))
>>> model.score(Histories.of([["242", "302"]], model.items)).shape
(1, 1682)

A model is a function from histories of items to scores of all items. It holds no row for a user: a new user is
served after the first click, a new event changes the next answer, and forgetting a user means deleting events.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, Self

import numpy as np

from components.recsys.frames import Catalogue, Floats, Histories, Interactions, Ints, Strings
from components.recsys.settings import Section

Weights = Mapping[str, np.ndarray[Any, Any]]


class ModelConfig(Section):
    """Settings of a model; each model defines its own beside itself."""


@dataclass(frozen=True)
class Training:
    """What a model may learn from.

    validation: events held out after `interactions`, same vocabulary, for learning weights or stopping; None: learn none.
    """

    interactions: Interactions
    catalogue: Catalogue
    validation: Interactions | None = None
    seed: int = 42


@dataclass
class Model(ABC):
    """A recommender. `fit` or `load` give `items`, then `score` answers."""

    config: Any
    items: Strings = field(default_factory=lambda: np.array([], dtype=object), repr=False)

    name: ClassVar[str]
    Config: ClassVar[type[ModelConfig]]

    @abstractmethod
    def fit(self, training: Training) -> Self:
        """Learn, deterministically under `training.seed`. Returns self."""

    @abstractmethod
    def score(self, histories: Histories) -> Floats:
        """(rows, n_items) float32, higher is better, finite, also for an empty history. Seen items are scored as well."""

    @abstractmethod
    def weights(self) -> dict[str, np.ndarray[Any, Any]]:
        """All that `load` needs to score again to the last digit."""

    @abstractmethod
    def load(self, weights: Weights) -> Self:
        """Take over what `weights` gave; `items` is already set. Returns self."""

    def explain(self, history: Ints, items: Ints) -> Ints:
        """For each of `items` the position in `history` that speaks most for it, or -1 where none does."""
        return np.full(len(items), -1, np.int32)

    def learnt(self) -> dict[str, Any]:
        """What was chosen on validation data, as settings: `Config(**{**config, **learnt})` fits the same recipe without validation."""
        return {}
