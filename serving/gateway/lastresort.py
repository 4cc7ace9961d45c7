"""The gateway's own list, for when no predictor answers: what is popular, from a release of the home.

>>> last = LastResort.load(home, digest)
>>> last.answer(Ask(user="42", k=3), history=[("242", "click")])
{'release': '9f2c...', 'items': [{'id': '50', 'score': 508.0, 'reason': 'popular now', ...}, ...], 'fallback': 'no_predictor'}

It honours what predictors honour: seen items stay out, filters hold, genres of the context come first.
"""

from collections.abc import Iterable
from dataclasses import replace
from typing import Any, Self

from components.recsys.home import Home
from components.recsys.models.popularity import Popularity
from components.recsys.release import Release, load, releases_of
from serving.asks import Ask
from serving.predictor import Predictor

Json = dict[str, Any]
NO_PREDICTOR = "no_predictor"


class LastResort:
    """release: as loaded, for what else its manifest says."""

    def __init__(self, release: Release) -> None:
        # The release without its model: the weights would take memory that nobody uses.
        model = Popularity(
            Popularity.Config.model_validate({"half_life_days": None}),
            items=release.model.items,
            prior=release.model.prior,
        )
        self.predictor = Predictor(replace(release, model=model))
        self.digest = release.digest

    @classmethod
    def load(cls, home: Home, digest: str) -> Self:
        """Raises NotFound, Refused or StoreError."""
        return cls(load(releases_of(home), digest))

    def answer(self, ask: Ask, history: Iterable[tuple[str, str]]) -> Json:
        """Raises InputError for a filter on an attribute that items do not have."""
        prepared = self.predictor.prepare(ask, self.predictor.past(history), NO_PREDICTOR)
        answer = self.predictor.answer(prepared, None)
        for item in answer["items"]:
            item["score"] = float(item["score"])
        return answer

    def title(self, item: str) -> str:
        """The item's id where nothing better is known."""
        position = self.predictor.positions.get(item)
        return item if position is None else str(self.predictor.titles[position])
