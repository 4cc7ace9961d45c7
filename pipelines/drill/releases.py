"""Releases that a drill needs and nobody would train: one whose scores are inverted, and one that is merely different.

>>> inverted(home)       # passes verification, answers fast, shows everybody what they like least
'9f2c...'
"""

from typing import Any

from components.recsys.events import read_events, read_items
from components.recsys.frames import Catalogue, Interactions
from components.recsys.home import Home
from components.recsys.ledger import Ledger
from components.recsys.models.base import Training
from components.recsys.models.ease import EASE
from components.recsys.registration import reference_of
from components.recsys.release import read_manifest, releases_of, save

Json = dict[str, Any]


def inverted(home: Home) -> str:
    """EASE with the sign of every weight, and of the popularity for newcomers, turned; its digest."""

    def turn(model: EASE) -> None:
        model.b, model.prior = -model.b, -model.prior

    return _made(home, "scores inverted", turn)


def different(home: Home, l2: float) -> str:
    """A sound EASE with another regularisation; its digest."""
    return _made(home, f"l2 {l2:g}", lambda model: None, l2=l2)


def _made(home: Home, why: str, change: Any, **config: Any) -> str:
    """A release on the champion's data, so that histories need no other seed."""
    manifest = read_manifest(releases_of(home), Ledger(home).champion())
    versions = manifest["data_version"]
    data = {kind: {**part, "version": versions[kind]} if part else None for kind, part in manifest["data"].items()}
    events, items = read_events(home, data), read_items(home, data)
    interactions = Interactions.from_frame(events)
    catalogue = Catalogue.align(interactions.items, items)
    model = EASE(EASE.Config(**{"half_life": None, **config})).fit(Training(interactions, catalogue))
    assert isinstance(model, EASE)
    change(model)
    content = {"settings": manifest["settings"], "data": manifest["data"], "made_for": f"drill: {why}", "metrics": {}}
    provenance = {"data_version": versions, "parent": manifest["digest"]}
    card = f"# Made for a drill\n\n{why}. Not trained by the pipeline, not judged by the gate.\n"
    return save(releases_of(home), model, catalogue, content, provenance, reference_of(model, interactions), card)
