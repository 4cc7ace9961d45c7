"""Reading what Alertmanager sends: its webhook format, version 4, and anything that pretends to be it.

>>> notice = read_notice(body, models={"everloop"}, default="everloop")
>>> notice.intents
(Intent(model='everloop', reason_class='drift', asked_by='alertmanager', copies=3, ...),)

An alert that fires with the label action="retrain" asks for a run; one with blocks="retrain" forbids runs while it fires.
Alertmanager's fingerprint and startsAt change when it restarts: they are kept as evidence and never compared.
Format: https://prometheus.io/docs/alerting/latest/configuration/#webhook_config
"""

import hashlib
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

import orjson

from components.recsys.errors import InputError
from monitoring.controller.records import CLASSES, KEPT_ALERTS, UNKNOWN_MODEL, Block, Intent, Json

MOST_TEXT = 200  # characters kept of a label or an annotation
MOST_LABELS = 30  # kept of each alert
ACTION, BLOCKS, WANTED = "action", "blocks", "retrain"


@dataclass(frozen=True)
class Notice:
    """A webhook's body. resolved: (model, reason class) of alerts that asked and no longer fire. ignored: not for us."""

    intents: tuple[Intent, ...]
    blocks: tuple[Block, ...]
    resolved: tuple[tuple[str, str], ...]
    ignored: int


def read_notice(body: bytes, models: Collection[str], default: str) -> Notice:
    """Raises InputError for what can never succeed: no JSON, no list of alerts, wrong types."""
    wishes: dict[tuple[str, str], list[Json]] = {}
    blocks: dict[str, Block] = {}
    resolved: dict[tuple[str, str], None] = {}
    ignored = 0
    for alert in _alerts(body):
        labels, firing = alert["labels"], alert["status"] == "firing"
        kind = (_model(labels, models, default), _class(labels))
        if labels.get(BLOCKS) == WANTED:
            block = Block(_identity(labels), plain(labels.get("alertname", "")), _kept(labels), firing)
            blocks[block.key] = block
        elif labels.get(ACTION) != WANTED:
            ignored += 1
        elif firing:
            wishes.setdefault(kind, []).append(alert)
        else:
            resolved[kind] = None
    intents = [
        Intent(model, reason_class, "alertmanager", len(alerts), tuple(map(_evidence, alerts[:KEPT_ALERTS])))
        for (model, reason_class), alerts in wishes.items()
    ]
    return Notice(tuple(intents), tuple(blocks.values()), tuple(resolved), ignored)


def _alerts(body: bytes) -> list[Json]:
    try:
        value = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise InputError(f"the body is not JSON: {error}") from None
    alerts = value.get("alerts") if isinstance(value, dict) else None
    if not isinstance(alerts, list):
        raise InputError("the body has no list `alerts`; send what Alertmanager's webhook sends (version 4)")
    for number, alert in enumerate(alerts):
        if not isinstance(alert, dict) or alert.get("status") not in ("firing", "resolved"):
            raise InputError(f"alert {number} has no status firing or resolved")
        for name in ("labels", "annotations"):
            texts = alert.setdefault(name, {})
            if not isinstance(texts, dict) or not all(isinstance(text, str) for text in texts.values()):
                raise InputError(f"alert {number}: {name} must be texts by name")
    return alerts


def _model(labels: dict[str, str], models: Collection[str], default: str) -> str:
    model = labels.get("model") or default
    return model if model in models else UNKNOWN_MODEL


def _class(labels: dict[str, str]) -> str:
    reason = labels.get("reason", "")
    return reason if reason in CLASSES else "other"


def _identity(labels: dict[str, str]) -> str:
    return hashlib.sha256(orjson.dumps(labels, option=orjson.OPT_SORT_KEYS)).hexdigest()


def _evidence(alert: Json) -> Json:
    kept = {"labels": _kept(alert["labels"]), "annotations": _kept(alert["annotations"])}
    return kept | {name: plain(str(alert.get(name) or "")) for name in ("startsAt", "fingerprint")}


def _kept(texts: dict[str, Any]) -> dict[str, str]:
    return {plain(name): plain(text) for name, text in list(texts.items())[:MOST_LABELS]}


def plain(text: str) -> str:
    """Short, and without control characters: PostgreSQL takes no NUL, and a terminal should not obey an alert."""
    short = text[:MOST_TEXT]
    return "".join(letter if letter.isprintable() else "\N{REPLACEMENT CHARACTER}" for letter in short)
