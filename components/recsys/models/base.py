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
from typing import Annotated, Any, ClassVar, Literal, Self

import numpy as np
from pydantic import Field, field_validator

from components.recsys.frames import Catalogue, Floats, Histories, Interactions, Ints, Strings
from components.recsys.models.counting import count_people
from components.recsys.settings import Section

Weights = Mapping[str, np.ndarray[Any, Any]]
Auto = Literal["auto"]
AUTO: Auto = "auto"  # learnt on validation data
HalfLife = Annotated[float, Field(gt=0)] | Auto | None
NOTHING = -1  # no event of the history speaks for the item
PRIOR_HALF_LIFE = 90.0  # days; popularity of a season
DEFAULT_HALF_LIFE = (
    8.0  # events; without validation data: what MovieLens by time prefers, and what 5 to 10 recent events say
)


class ModelConfig(Section):
    """Settings of a model; each model defines its own beside itself. 'auto' is learnt on validation data."""

    @field_validator("*", mode="before")
    @classmethod
    def _spelled_null(cls, value: Any) -> Any:
        """'none' is null, spelt so that a pipeline's parameter can hold it."""
        return None if value == "none" else value


class HistoryConfig(ModelConfig):
    """Of the models whose scores are sums over the history."""

    half_life: HalfLife = Field(
        default="auto",
        description="Events after which an older one of a history counts half when asked; null: all count the same; "
        "auto: the best of a few on validation data, 8 without any.",
    )


@dataclass(frozen=True)
class Training:
    """What a model may learn from.

    validation: events held out from `interactions`, same vocabulary, for choosing settings; None: defaults are taken.
    """

    interactions: Interactions
    catalogue: Catalogue
    validation: Interactions | None = None
    seed: int = 42


@dataclass
class Model(ABC):
    """A recommender. `fit` or `load` give `items` and `prior`, then `score` answers.

    prior: (n_items,) the scores of somebody without history: time-decayed popularity. Subclasses write the methods with
    an underscore.
    `fit` puts a number in place of every 'auto' of `config`, so the config of a fitted model is its whole recipe.
    """

    config: Any
    items: Strings = field(default_factory=lambda: np.array([], dtype=object), repr=False)
    prior: Floats = field(default_factory=lambda: np.array([], dtype=np.float32), repr=False)
    chosen: dict[str, Any] = field(default_factory=dict, repr=False)

    name: ClassVar[str]
    Config: ClassVar[type[ModelConfig]]

    def fit(self, training: Training) -> Self:
        """Learn, deterministically under `training.seed`. Returns self."""
        self.items = training.interactions.items
        self.prior = count_people(training.interactions)(PRIOR_HALF_LIFE)
        self.chosen = {}
        self._fit(training)
        # From its own arrays in plain order, so that what is judged is to the last digit what a release will load.
        return self.load({name: np.ascontiguousarray(array) for name, array in self.weights().items()})

    def score(self, histories: Histories) -> Floats:
        """(rows, n_items) float32, finite, higher is better. An empty history gets the prior, seen items a score."""
        scores = self._score(histories)
        scores[histories.lengths == 0] = self.prior
        return scores

    def score_one(self, history: Ints, weights: Floats) -> Floats:
        """(n_items,) float32: `score` of one history without its fixed costs, for serving.

        history: positions in the vocabulary, oldest first. weights: as many, 1 unless an event says more or less.
        """
        return self._score_one(history, weights) if len(history) else self.prior.copy()

    def explain(self, history: Ints, items: Ints) -> Ints:
        """For each of `items` the position in `history` that speaks most for it, or -1 where none does."""
        if not len(history) or not len(items):
            return np.full(len(items), NOTHING, np.int32)
        return self._explain(history, items)

    def weights(self) -> dict[str, np.ndarray[Any, Any]]:
        """All that `load` needs to score again to the last digit."""
        return {"prior": self.prior, **self._weights()}

    def load(self, weights: Weights) -> Self:
        """Take over what `weights` gave; `items` and `config` are already set. Returns self."""
        self.prior = weights["prior"]
        self._load(weights)
        return self

    def learns(self) -> bool:
        """Whether validation data would choose a setting."""
        return AUTO in self.config.model_dump().values()

    def learnt(self) -> dict[str, Any]:
        """What validation data chose, as settings: `Config(**{**config, **learnt})` is the same recipe without it."""
        return self.chosen

    @abstractmethod
    def _fit(self, training: Training) -> None:
        """`items` and `prior` are set; learn the rest and leave no 'auto' in `config`."""

    @abstractmethod
    def _score(self, histories: Histories) -> Floats:
        """A fresh array; rows without history may hold anything."""

    def _score_one(self, history: Ints, weights: Floats) -> Floats:
        """At least one event."""
        scores: Floats = self._score(Histories(np.array([0, len(history)]), history, weights, len(self.items)))[0]
        return scores

    @abstractmethod
    def _weights(self) -> dict[str, np.ndarray[Any, Any]]:
        """Arrays by name, none with a row per user."""

    @abstractmethod
    def _load(self, weights: Weights) -> None:
        """The reverse."""

    def _explain(self, history: Ints, items: Ints) -> Ints:
        """At least one event and one item."""
        return np.full(len(items), NOTHING, np.int32)

    def configure(self, **settings: Any) -> None:
        """Put numbers in the place of 'auto'."""
        self.config = self.config.model_copy(update=settings)

    def choose(self, **settings: Any) -> None:
        """`configure` with what validation data said, so that `learnt` tells it."""
        self.configure(**settings)
        self.chosen = {**self.chosen, **settings}


def recency(events: int, half_life: float | None) -> Floats:
    """(events,) 1 for the newest and last, halved for every `half_life` events that came after."""
    if half_life is None:
        return np.ones(events, np.float32)
    weights: Floats = np.exp2(np.arange(1 - events, 1) / half_life).astype(np.float32)
    return weights


def newest(history: Ints, weights: Floats, half_life: float | None) -> tuple[Ints, Floats]:
    """One row of `Histories.matrix(half_life)`: distinct items in ascending order and their weights.

    >>> newest(np.array([7, 3, 7]), np.ones(3), half_life=1)
    (array([3, 7]), array([0.5, 1. ]))
    """
    weights = weights * recency(len(history), half_life)
    distinct, last = np.unique(history[::-1], return_index=True)
    return distinct, weights[len(history) - 1 - last]


def strongest(contributions: Floats, half_life: float | None) -> Ints:
    """For each column of (history, items) the row that contributes most, recent ones weighing more, or -1."""
    says = np.ascontiguousarray(contributions.T)  # argmax along memory is several times as fast
    says *= recency(len(contributions), half_life)
    best: Ints = says.argmax(axis=1).astype(np.int32)
    best[says[np.arange(len(best)), best] <= 0] = NOTHING
    return best
