"""Time-decayed popularity: the model everybody must beat.

>>> Popularity(Popularity.Config(half_life_days=30)).fit(training)
"""

from typing import Any, ClassVar

import numpy as np
from pydantic import Field

from components.recsys.frames import Floats, Histories, Ints
from components.recsys.models.base import PRIOR_HALF_LIFE, HalfLife, Model, ModelConfig, Training, Weights
from components.recsys.models.counting import count_people
from components.recsys.models.validation import choose

HALF_LIVES = (None, 365.0, 90.0, 30.0, 7.0)  # days


class PopularityConfig(ModelConfig):
    half_life_days: HalfLife = Field(
        default="auto",
        description="Days after which a person counts half, back from the newest event; null: all count the same; "
        "auto: the best of a few on validation data, 90 without any.",
    )


class Popularity(Model):
    """The same score for everyone: log1p of the decayed count of distinct people per item."""

    name: ClassVar[str] = "popularity"
    Config: ClassVar[type[ModelConfig]] = PopularityConfig

    def _fit(self, training: Training) -> None:
        count = count_people(training.interactions)

        def score(histories: Histories) -> Floats:
            return np.tile(count(self.config.half_life_days), (len(histories), 1))

        choose(self, training, "half_life_days", HALF_LIVES, PRIOR_HALF_LIFE, score)
        self.prior = count(self.config.half_life_days)

    def _score(self, histories: Histories) -> Floats:
        return np.tile(self.prior, (len(histories), 1))

    def _score_one(self, history: Ints, weights: Floats) -> Floats:
        return self.prior.copy()

    def _weights(self) -> dict[str, np.ndarray[Any, Any]]:
        return {}

    def _load(self, weights: Weights) -> None:
        """The prior is all there is."""
