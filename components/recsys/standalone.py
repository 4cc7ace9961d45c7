"""Single models without the loop, on frames: what `everloop train`, `evaluate` and `recommend` do.

>>> trained = train_release("ease", events, items, version, Settings(), print)
>>> recommend_lists(release, ["42"], histories, k=10)     # user_id, item_id, rank, score
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import polars as pl

from components.recsys import evaluation as evaluations
from components.recsys import splits
from components.recsys import training as trainings
from components.recsys.card import card
from components.recsys.frames import Catalogue, Histories, Interactions
from components.recsys.models.base import Model
from components.recsys.progress import Told
from components.recsys.ranking import rank
from components.recsys.registration import describe, reference_of
from components.recsys.release import Release
from components.recsys.settings import Settings
from components.recsys.version import VERSION

Json = dict[str, Any]


@dataclass(frozen=True)
class Trained:
    model: Model
    catalogue: Catalogue
    content: Json
    reference: Json
    card: str
    learnt: Json
    seconds: float


def train_release(
    name: str,
    events: pl.DataFrame,
    items: pl.DataFrame | None,
    version: Mapping[str, Any],
    settings: Settings,
    told: Told,
) -> Trained:
    """One model on all events: settings are learnt on a validation part of them, then the recipe is fitted on everything."""
    parts = splits.split(events, settings.prepare.model_copy(update={"test_share": 0.0}), settings.train.seed)
    fitted = trainings.fit_candidate(name, settings.train, parts, items, told)
    catalogue = Catalogue.align(fitted.model.items, items)
    content: Json = {
        "settings": settings.model_dump(mode="json", include={"data", "prepare", "train"}),
        "learnt": fitted.learnt,
        "data": {
            kind: {k: v for k, v in part.items() if k != "version"} if part else None for kind, part in version.items()
        },
        "code_version": VERSION,
        "metrics": {},
    }
    described = {**content, "model": name, "config": fitted.model.config.model_dump(mode="json")}
    text = card(described, None, None, describe(events))
    reference = reference_of(fitted.model, Interactions.from_frame(events, fitted.model.items))
    return Trained(fitted.model, catalogue, content, reference, text, fitted.learnt, fitted.seconds)


def evaluate_models(
    names: Sequence[str],
    train: pl.DataFrame,
    test: pl.DataFrame,
    items: pl.DataFrame | None,
    users: pl.DataFrame | None,
    settings: Settings,
    told: Told,
) -> dict[str, tuple[evaluations.Evaluation, float]]:
    """Name -> (evaluation, seconds of the final fit), on a split given from outside.

    The validation part, on which models learn their settings, is carved out of `train` in the way `test` was: by time
    within each user when the test comes after the training, else at random.
    """
    kind = splits.infer_kind(train, test)
    prepare = settings.prepare.model_copy(update={"split": kind, "test_share": 0.0})
    carved = splits.split(train, prepare, settings.train.seed)
    parts = replace(carved, test=test)
    done = {}
    for name in names:
        fitted = trainings.fit_candidate(name, settings.train, parts, items, told)
        result = evaluations.evaluate_model(name, fitted.model, parts, items, users, settings.evaluate)
        told(f"{name}: {result.headline()}, fitted in {fitted.seconds:.1f} s")
        done[name] = (result, fitted.seconds)
    return done


def recommend_lists(release: Release, users: Sequence[str], histories: Histories, k: int) -> pl.DataFrame:
    """Columns user_id, item_id, rank (from 1), score; k rows a user, fewer where the catalogue has no more unseen items."""
    ranked, scores = rank(release.model, histories, k)
    kept = ranked >= 0
    rows, columns = np.nonzero(kept)
    return pl.DataFrame(
        {
            "user_id": pl.Series(np.array(users, dtype=object)[rows], dtype=pl.String),
            "item_id": pl.Series(release.model.items[ranked[kept]], dtype=pl.String),
            "rank": (columns + 1).astype(np.int32),
            "score": scores[kept],
        }
    )
