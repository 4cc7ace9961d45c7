"""Time-decayed popularity: the model everybody must beat.

>>> Popularity(Popularity.Config(half_life_days=30)).fit(training)
"""

from typing import Any, ClassVar, Self

import numpy as np
from pydantic import Field

from components.recsys.frames import Floats, Histories
from components.recsys.models.base import Model, ModelConfig, Training, Weights

DAY = 86_400


class PopularityConfig(ModelConfig):
    half_life_days: float = Field(
        default=90.0, gt=0, description="Days after which an event counts half, measured back from the newest event."
    )


class Popularity(Model):
    """The same score for everyone: log1p of the decayed count of distinct users per item."""

    name: ClassVar[str] = "popularity"
    Config: ClassVar[type[ModelConfig]] = PopularityConfig

    def fit(self, training: Training) -> Self:
        interactions = training.interactions
        self.items = interactions.items
        age = (interactions.seconds.max(initial=0) - interactions.seconds) / DAY
        weights = interactions.histories.weights * np.exp2(-age / self.config.half_life_days)
        counts = np.bincount(interactions.histories.indices, weights=weights, minlength=len(self.items))
        self.scores = np.log1p(counts).astype(np.float32)
        return self

    def score(self, histories: Histories) -> Floats:
        return np.tile(self.scores, (len(histories), 1))

    def weights(self) -> dict[str, np.ndarray[Any, Any]]:
        return {"scores": self.scores}

    def load(self, weights: Weights) -> Self:
        self.scores = weights["scores"]
        return self
