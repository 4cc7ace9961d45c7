"""Content-based: what is described like the things in the history, by the cosine of TF-IDF vectors.

>>> Content(Content.Config(text_weight=0.3)).fit(training).score(histories)

The only model that can show an item which nobody has taken yet.
"""

from typing import Any, ClassVar

import numpy as np
from pydantic import Field

from components.recsys.frames import Floats, Histories, Ints
from components.recsys.models.attributes import describe
from components.recsys.models.base import HistoryConfig, Model, Training, Weights, newest, strongest
from components.recsys.models.sparse import Rows
from components.recsys.models.validation import choose_half_life


class ContentConfig(HistoryConfig):
    text_weight: float = Field(
        default=0.3,
        ge=0,
        description="Weight of a column of words (title, description) against one of labels, categories or numbers.",
    )
    most_features: int = Field(
        default=20_000, ge=1, description="Labels, categories and words kept, those of most items first."
    )


class Content(Model):
    """A history is the weighted sum of its items' vectors; an item scores the cosine between the two."""

    name: ClassVar[str] = "content"
    Config: ClassVar[type[HistoryConfig]] = ContentConfig

    def _fit(self, training: Training) -> None:
        self.described = describe(training.catalogue, self.config.text_weight, self.config.most_features)
        choose_half_life(self, training)

    def _score(self, histories: Histories) -> Floats:
        vectors = self.described.matrix()
        profiles = histories.matrix(self.config.half_life) @ vectors
        length = np.sqrt(np.asarray(profiles.power(2).sum(axis=1), np.float32))
        scores = np.asarray((profiles @ vectors.T).toarray(), np.float32)
        scores /= np.where(length > 0, length, np.float32(1))[:, None]
        return scores

    def _score_one(self, history: Ints, weights: Floats) -> Floats:
        profile = self.described.sum(*newest(history, weights, self.config.half_life))
        length = np.sqrt(profile @ profile)
        return self.described.dot(profile / length if length > 0 else profile)

    def _weights(self) -> dict[str, np.ndarray[Any, Any]]:
        return {**self.described.arrays("described"), "features": np.array([self.described.columns])}

    def _load(self, weights: Weights) -> None:
        self.described = Rows.load(weights, "described", int(weights["features"][0]))

    def _explain(self, history: Ints, items: Ints) -> Ints:
        return strongest(self.described.dense(history) @ self.described.dense(items).T, self.config.half_life)
