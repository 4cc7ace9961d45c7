"""A weighted blend of other models, its weights learnt on validation data.

>>> Hybrid(Hybrid.Config(parts={"ease": {}, "content": {}, "popularity": {}})).fit(training).config.weights
{'ease': 0.8, 'content': 0.05, 'popularity': 0.15}

The parts' scores are standardised over the items of each list, so that their units do not matter. Someone without
history gets the popularity that was learnt.
"""

import difflib
from collections.abc import Callable, Mapping
from typing import Annotated, Any, ClassVar

import numpy as np
from pydantic import Field

from components.recsys.errors import InputError
from components.recsys.frames import Floats, Histories, Ints
from components.recsys.models.base import AUTO, Auto, Model, ModelConfig, Training, Weights
from components.recsys.models.ease import MOST_ITEMS
from components.recsys.models.validation import GAIN, Judge
from components.recsys.settings import parse

# With these and no learning the blend is on MovieLens within a thousandth of the best that learning finds: the search
# starts here and leaves only for a gain that validation data can show.
DEFAULT_WEIGHTS = {"ease": 0.4, "ials": 0.35, "svd": 0.15, "content": 0.05, "popularity": 0.05}
PRIOR = "popularity"
NO_DEVIATION = 1e-12  # all scores are the same
OTHER_WEIGHT = 0.1  # of a part that has no default
SHARES = (0.0, 0.05, 0.1, 0.2, 0.35, 0.5, 0.7, 1.0)
ROUNDS = 2  # over all parts; a third changes nothing

Weight = Annotated[float, Field(ge=0)]


class HybridConfig(ModelConfig):
    parts: dict[str, dict[str, Any]] | Auto = Field(
        default=AUTO,
        description="Models to blend and their settings: {ease: {l2: 500}, popularity: {}}; auto: ials, svd, content, "
        "popularity and, up to 10,000 items, ease.",
    )
    weights: dict[str, Weight] | Auto = Field(
        default=AUTO,
        description="Weight of each part; auto: the best on validation data. A part that is not named weighs nothing.",
    )


class Hybrid(Model):
    """score = sum over parts of weight * (score of the part - its mean) / its standard deviation, over the items."""

    name: ClassVar[str] = "hybrid"
    Config: ClassVar[type[ModelConfig]] = HybridConfig

    parts: dict[str, Model]

    def _fit(self, training: Training) -> None:
        given = self.config.parts
        if given == AUTO:
            small = len(np.unique(training.interactions.histories.indices)) <= MOST_ITEMS
            given = {name: {} for name in DEFAULT_WEIGHTS if name != "ease" or small}
        self._assemble(given)
        if self.config.weights != AUTO:
            _check(self.config.weights, given)
        for part in self.parts.values():
            part.fit(training)
        judge = Judge.of(training)
        if self.config.weights == AUTO:
            weights = _share({name: DEFAULT_WEIGHTS.get(name, OTHER_WEIGHT) for name in self.parts})
            self.configure(weights=weights if judge is None else _learn(self.parts, weights, judge))
        if PRIOR in self.parts:
            self.prior = self.parts[PRIOR].prior
        # What weighs nothing need not be fitted again or shipped; popularity stays for people without history.
        self.parts = {name: part for name, part in self.parts.items() if self.config.weights.get(name) or name == PRIOR}
        self.configure(weights={name: self.config.weights.get(name, 0.0) for name in self.parts})
        if judge is not None:
            learnt = {name: {**given[name], **part.learnt()} for name, part in self.parts.items()}
            self.chosen = {"parts": learnt, "weights": self.config.weights}
        self.configure(parts={name: part.config.model_dump(mode="json") for name, part in self.parts.items()})

    def learns(self) -> bool:
        given = self.config.parts
        return super().learns() or any(_part(name, values).learns() for name, values in given.items())

    def _assemble(self, settings: Mapping[str, Mapping[str, Any]]) -> None:
        self.parts = {name: _part(name, values) for name, values in sorted(settings.items())}

    def _spoken(self) -> list[tuple[float, Model]]:
        weights = self.config.weights
        return [(weights[name], part) for name, part in self.parts.items() if weights.get(name, 0) > 0]

    def _score(self, histories: Histories) -> Floats:
        total = np.zeros((len(histories), len(self.items)), np.float32)
        for weight, part in self._spoken():
            total += np.float32(weight) * standardise(part.score(histories))
        return total

    def _score_one(self, history: Ints, weights: Floats) -> Floats:
        total = np.zeros(len(self.items), np.float32)
        for weight, part in self._spoken():
            # `standardise` of one row, without what numpy's general functions cost: a third of the whole answer.
            centred = part.score_one(history, weights)
            centred -= centred.sum() / len(centred)
            deviation = float(np.sqrt(np.dot(centred, centred) / len(centred)))
            if deviation > NO_DEVIATION:
                centred *= weight / deviation
                total += centred
        return total

    def _weights(self) -> dict[str, np.ndarray[Any, Any]]:
        return {f"{name}.{key}": array for name, part in self.parts.items() for key, array in part.weights().items()}

    def _load(self, weights: Weights) -> None:
        self._assemble(self.config.parts)
        for name, part in self.parts.items():
            part.items = self.items
            part.load(
                {key.removeprefix(f"{name}."): array for key, array in weights.items() if key.startswith(f"{name}.")}
            )

    def _explain(self, history: Ints, items: Ints) -> Ints:
        """By the part that lifts the item most."""
        ones, weighted = np.ones(len(history), np.float32), self._spoken()
        if not weighted:
            return super()._explain(history, items)
        lifts = [weight * standardise(part.score_one(history, ones))[items] for weight, part in weighted]
        reasons = [part.explain(history, items) for _, part in weighted]
        return np.asarray(np.choose(np.argmax(lifts, axis=0), reasons), np.int32)


def standardise(scores: Floats) -> Floats:
    """Mean 0 and deviation 1 over the last axis; all 0 where every score is the same."""
    centred: Floats = scores - scores.mean(axis=-1, keepdims=True)
    deviation = np.sqrt(np.einsum("...i,...i->...", centred, centred) / max(1, scores.shape[-1]))[..., None]
    centred /= np.where(deviation > NO_DEVIATION, deviation, np.float32(np.inf))
    return centred


def _part(name: str, settings: Mapping[str, Any]) -> Model:
    from components.recsys.models import MODELS

    known = [model for model in MODELS if model != Hybrid.name]
    if name not in known:
        raise InputError(f"train.models.hybrid.parts: there is no model '{name}' to blend; {_hint(name, known)}")
    kind = MODELS[name]
    return kind(parse(kind.Config, settings, f"train.models.hybrid.parts.{name}"))


def _check(weights: Mapping[str, float], parts: Mapping[str, Any]) -> None:
    for name in weights:
        if name not in parts:
            raise InputError(
                f"train.models.hybrid.weights: '{name}' is not among the parts; {_hint(name, list(parts))}"
            )
    if not any(weights.values()):
        raise InputError("train.models.hybrid.weights: give at least one part a weight above 0")


def _hint(name: str, known: list[str]) -> str:
    near = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
    return f"did you mean '{near[0]}'?" if near else "known are " + ", ".join(known)


def _learn(parts: Mapping[str, Model], weights: dict[str, float], judge: Judge) -> dict[str, float]:
    """Coordinate ascent on the simplex, from some weights: each part in turn takes the share that is best."""
    scores = {name: standardise(part.score(judge.histories)) for name, part in parts.items()}

    def quality(weights: Mapping[str, float]) -> float:
        total = np.zeros_like(next(iter(scores.values())))
        for name, weight in weights.items():
            if weight:
                total += np.float32(weight) * scores[name]
        return judge.ndcg(total)

    tried = _remembering(quality)
    for _ in range(ROUNDS):
        for name in parts:
            weights = _better(weights, [_with_share(weights, name, share) for share in SHARES], tried)
    return weights


def _better(
    weights: dict[str, float], others: list[dict[str, float]], quality: Callable[[Mapping[str, float]], float]
) -> dict[str, float]:
    best = max(others, key=quality)
    return best if quality(best) > quality(weights) * (1 + GAIN) else weights


def _remembering(quality: Callable[[Mapping[str, float]], float]) -> Callable[[Mapping[str, float]], float]:
    known: dict[tuple[float, ...], float] = {}

    def tried(weights: Mapping[str, float]) -> float:
        key = tuple(weights.values())
        if key not in known:
            known[key] = quality(weights)
        return known[key]

    return tried


def _with_share(weights: Mapping[str, float], name: str, share: float) -> dict[str, float]:
    """The others keep their proportions among themselves."""
    rest = sum(weight for other, weight in weights.items() if other != name)
    if not rest:
        return dict(weights)
    return {
        other: round(share if other == name else weight * (1 - share) / rest, 4) for other, weight in weights.items()
    }


def _share(weights: Mapping[str, float]) -> dict[str, float]:
    total = sum(weights.values())
    return {name: round(weight / total, 4) for name, weight in weights.items()}
