"""A release made ready to answer: one list for one ask and one history.

>>> predictor = Predictor(release)
>>> predictor.answers([predictor.prepare(Ask(user="42", k=10), predictor.past([("242", "interaction")]))])[0]
{'request_id': '5f0c...', 'release': '9f2c...', 'variant': 'champion', 'items': [{'id': '302', 'score': 0.31, ...}]}

The policy is deterministic, so every propensity is 1.0: the item was certain to be shown.
"""

import itertools
import secrets
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import numpy as np

from components.recsys.fallback import Fallback
from components.recsys.frames import Floats, Histories, Ints
from components.recsys.release import SHORT, Release
from serving.asks import Ask
from serving.attributes import Attributes, Mask

Json = dict[str, Any]
Past = tuple[Ints, Floats]  # a history in the vocabulary of one release: positions, oldest first, and their weights
NOTHING: Past = (np.zeros(0, np.int32), np.zeros(0, np.float32))
POPULAR = "popular now"
DETERMINISTIC = 1.0
FAILURES = (ArithmeticError, ValueError, IndexError, MemoryError)  # of a model, on a history that it cannot take


@dataclass(slots=True)
class Prepared:
    """An ask in the terms of one release. excluded: positions. mask: (n_items,), None where nothing is filtered."""

    ask: Ask
    past: Past
    cause: str = ""
    excluded: Sequence[int] = ()
    mask: Mask | None = None


class Predictor:
    """Immutable once made, so that requests in flight keep theirs while another takes over."""

    def __init__(self, release: Release, variant: str = "champion") -> None:
        self.release = release
        self.digest = release.digest
        self.short = release.digest[:SHORT]
        self.variant = variant
        self.model = release.model
        self.ids: list[str] = [str(item) for item in release.model.items]
        self.positions = {item: index for index, item in enumerate(self.ids)}
        self.titles = release.catalogue.titles()
        self.because = [f"because of {title}" for title in self.titles]
        self.attributes = Attributes(release.catalogue)
        self.fallback = Fallback.of(release.model, release.catalogue)
        prior = self.fallback.popularity
        self.lift = np.float32(prior.max(initial=0) - prior.min(initial=0))
        prepare = release.manifest.get("settings", {}).get("prepare", {})
        self.event_weights: dict[str, float] = prepare.get("event_weights") or {}
        # Unique without asking the kernel for every request: this predictor's random beginning and a number.
        self.prefix = secrets.token_hex(8)
        self.numbers = itertools.count(1)

    def past(self, events: Iterable[tuple[str, str]]) -> Past:
        """(item, kind), oldest first -> what the model scores; unknown items and kinds without weight stay out."""
        positions, weigh = self.positions, self.event_weights
        if not weigh:
            known = [positions[item] for item, _ in events if item in positions]
            return np.array(known, np.int32), np.ones(len(known), np.float32)
        pairs = [(positions[item], weigh.get(kind, 1.0)) for item, kind in events if item in positions]
        pairs = [pair for pair in pairs if pair[1] > 0]
        return np.array([index for index, _ in pairs], np.int32), np.array([weight for _, weight in pairs], np.float32)

    def prepare(self, ask: Ask, past: Past, cause: str = "") -> Prepared:
        """An ask in this release's terms. cause: why `past` is empty, if it is. Raises InputError for an unknown attribute."""
        mask = self.attributes.mask(ask.where) if ask.where else None
        excluded = [self.positions[item] for item in ask.exclude if item in self.positions] if ask.exclude else []
        return Prepared(ask, past, cause, excluded, mask)

    def answers(self, asks: Sequence[Prepared]) -> list[Json]:
        """A prediction for each."""
        rows = iter(self.scores([one.past for one in asks if len(one.past[0])]))
        return [self.answer(one, next(rows) if len(one.past[0]) else None) for one in asks]

    def scores(self, pasts: Sequence[Past]) -> list[Floats | None]:
        """(n_items,) of each; None where the model fails on it."""
        if len(pasts) > 1:
            indptr = np.cumsum([0, *(len(indices) for indices, _ in pasts)], dtype=np.int64)
            indices, weights = (np.concatenate(part) for part in zip(*pasts, strict=True))
            with suppress(*FAILURES):
                return list(self.model.score(Histories(indptr, indices, weights, len(self.ids))))
        return [self.score_one(past) for past in pasts]

    def score_one(self, past: Past) -> Floats | None:
        try:
            return self.model.score_one(*past)
        except FAILURES:
            return None

    def answer(self, one: Prepared, scores: Floats | None) -> Json:
        """One prediction. scores: of the model, to be overwritten; None where it has none."""
        ask, cause = one.ask, one.cause
        items = None if scores is None else self.recommended(one, scores)
        if items is None:
            items = self.popular(one)
            cause = cause or "model"  # a list is owed whatever the model does; the count tells
        answer: Json = {
            "request_id": f"{self.prefix}{next(self.numbers):08x}",
            "release": self.digest,
            "variant": self.variant,
            "items": items,
        }
        if cause:
            answer["fallback"] = cause
        if len(items) < ask.k:
            left = "the catalogue has" if len(items) == len(self.ids) else "the filters leave"
            answer["note"] = f"{len(items)} of {ask.k}: {left} no more"
        return answer

    def recommended(self, one: Prepared, scores: Floats) -> list[Json] | None:
        try:
            return self.recommend(one, scores)
        except FAILURES:
            return None

    def recommend(self, one: Prepared, scores: Floats) -> list[Json]:
        """The model's best, each with the item of the history that speaks most for it."""
        indices = one.past[0]
        if one.mask is not None:
            scores[~one.mask] = -np.inf
        if one.ask.drop_seen:
            scores[indices] = -np.inf
        if one.excluded:
            scores[one.excluded] = -np.inf
        found = best(scores, one.ask.k)
        sources = self.model.explain(indices, found).tolist()
        seen, ids, because = indices.tolist(), self.ids, self.because
        return [
            {
                "id": ids[index],
                "score": score,
                "propensity": DETERMINISTIC,
                "reason": because[seen[source]] if source >= 0 else POPULAR,
            }
            for index, score, source in zip(found.tolist(), scores[found], sources, strict=True)
        ]

    def popular(self, one: Prepared) -> list[Json]:
        """What is popular, first of all in the genres of the context. Scores keep the order of the list."""
        ask = one.ask
        out = np.array([*(one.past[0].tolist() if ask.drop_seen else ()), *one.excluded], np.int32)
        found = self.fallback.rank(min(ask.k, len(self.ids)), ask.genres, out, one.mask)
        liked = {genre.casefold() for genre in ask.genres}
        genres = [
            next((g for g in self.fallback.labels[index] if g.casefold() in liked), "") if liked else ""
            for index in found
        ]
        scores = self.fallback.popularity[found] + self.lift * np.array([bool(genre) for genre in genres], np.float32)
        return [
            {
                "id": self.ids[index],
                "score": score,
                "propensity": DETERMINISTIC,
                "reason": f"popular in {genre}" if genre else POPULAR,
            }
            for index, score, genre in zip(found.tolist(), scores, genres, strict=True)
        ]


def best(scores: Floats, k: int) -> Ints:
    """Up to `k` positions of (n_items,) scores, the best first, equal ones by position; -inf never appears.

    The same order as `ranking.top_k`, for one row and a third of its time.
    """
    size = len(scores)
    if k < size:
        least = np.partition(scores, size - k)[size - k]
        candidates = np.flatnonzero(scores >= least) if least > -np.inf else np.flatnonzero(scores > -np.inf)
    else:
        candidates = np.flatnonzero(scores > -np.inf)
    return candidates[np.argsort(-scores[candidates], kind="stable")[:k]].astype(np.int32)
