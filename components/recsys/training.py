"""Fitting candidates: settings learnt on the validation part, then the recipe fitted on everything before the test.

>>> fitted = fit_candidate("ease", TrainSettings(), split, items, print)
>>> fitted.learnt, fitted.seconds
({'half_life': 8.0}, 0.4)
>>> model = refit(fitted, split, items, TrainSettings())   # the same recipe on the test part too, for release
"""

import difflib
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl
from threadpoolctl import threadpool_limits

from components.recsys.errors import InputError
from components.recsys.frames import Catalogue, Interactions, Strings
from components.recsys.models import MODELS
from components.recsys.models.base import Model, Training
from components.recsys.models.ease import MOST_ITEMS
from components.recsys.settings import TrainSettings, parse
from components.recsys.splits import Split


@dataclass(frozen=True)
class Fitted:
    """A candidate. learnt: what validation data chose. seconds: of the final fit, without the learning before it."""

    model: Model
    learnt: dict[str, Any]
    seconds: float


def suitable(candidates: Sequence[str], n_users: int, n_items: int, n_events: int) -> tuple[list[str], list[str]]:
    """The candidates worth training on data of this size, and a sentence for each one that was dropped.

    >>> suitable(["popularity", "ease", "ials"], n_users=10**6, n_items=50_000, n_events=10**7)
    (['popularity', 'ials'], ['ease is left out: ...'])
    """
    for name in candidates:
        _known(name)
    dropped = {}
    if n_items > MOST_ITEMS:
        gigabytes = 16 * n_items**2 / 1e9
        dropped["ease"] = (
            f"ease is left out: its time grows with the items cubed, and {n_items:,} items (over {MOST_ITEMS:,}) "
            f"would take {gigabytes:,.0f} GB; ials does that work"
        )
    kept = [name for name in dict.fromkeys(candidates) if name not in dropped]
    reasons = [dropped[name] for name in dict.fromkeys(candidates) if name in dropped]
    if not kept:
        raise InputError(f"no candidate is left: {reasons[0]}; name another in train.candidates")
    return kept, reasons


def check_candidates(settings: TrainSettings) -> None:
    """Raises InputError now, not minutes into a run, for a model or a model's setting that is not known."""
    for name in {*settings.candidates, *settings.models}:
        parse(_known(name).Config, settings.models.get(name, {}), f"train.models.{name}")


def fit_candidate(
    name: str,
    settings: TrainSettings,
    split: Split,
    items: pl.DataFrame | None,
    told: Callable[[str], None] = lambda text: None,
) -> Fitted:
    """Learn settings on train -> validation, then fit that recipe on both: the model that the gate judges.

    items: item_id and attributes, or None. The vocabulary is every item of the events and of `items`, so that an item
    nobody has taken yet can be shown. Raises InputError for a model or setting that is not known.
    """
    kind, given = _known(name), settings.models.get(name, {})
    config = parse(kind.Config, given, f"train.models.{name}")
    vocabulary = _vocabulary([split.train, split.validation], items)
    catalogue = Catalogue.align(vocabulary, items)
    learnt: dict[str, Any] = {}
    with threadpool_limits(settings.threads):
        if split.validation.height and kind(config).learns():
            told("learning settings on the validation part")
            train = Interactions.from_frame(split.train, vocabulary, split.event_weights)
            held = Interactions.from_frame(split.validation, vocabulary, split.event_weights)
            learnt = kind(config).fit(Training(train, catalogue, held, settings.seed)).learnt()
        recipe = parse(kind.Config, {**config.model_dump(), **learnt}, f"train.models.{name}")
        everything = Interactions.from_frame(
            pl.concat([split.train, split.validation]), vocabulary, split.event_weights
        )
        start = time.perf_counter()
        model = kind(recipe).fit(Training(everything, catalogue, None, settings.seed))
        return Fitted(model, learnt, time.perf_counter() - start)


def refit(fitted: Fitted, split: Split, items: pl.DataFrame | None, settings: TrainSettings) -> Model:
    """The recipe that was judged, fitted on every event."""
    vocabulary = _vocabulary([split.train, split.validation, split.test], items)
    everything = pl.concat([split.train, split.validation, split.test])
    with threadpool_limits(settings.threads):
        interactions = Interactions.from_frame(everything, vocabulary, split.event_weights)
        training = Training(interactions, Catalogue.align(vocabulary, items), None, settings.seed)
        return type(fitted.model)(fitted.model.config).fit(training)


def _known(name: str) -> type[Model]:
    if name not in MODELS:
        near = difflib.get_close_matches(name, MODELS, n=1, cutoff=0.5)
        raise InputError(
            f"there is no model '{name}'; "
            + (f"did you mean '{near[0]}'?" if near else f"known are {', '.join(MODELS)}")
        )
    return MODELS[name]


def _vocabulary(events: Sequence[pl.DataFrame], items: pl.DataFrame | None) -> Strings:
    frames = [*events, *([] if items is None else [items])]
    return np.array(pl.concat([frame["item_id"].cast(pl.String) for frame in frames]).unique().sort(), dtype=object)
