"""An alert's way: pending while its expression holds, firing after `for`, resolved when it does not hold any more.

>>> states = AlertStates(rule)
>>> states.look(store, now=100.0)
[FiredAlert(labels={'alertname': 'GatewayDown', ...}, firing=False, ...)]

Rules are read from the very file that Prometheus reads.
"""

from dataclasses import dataclass, field
from typing import Any

from monitoring.promql.evaluate import evaluate, vector_of
from monitoring.promql.lexer import milliseconds
from monitoring.promql.operators import nameless
from monitoring.promql.parser import parse
from monitoring.promql.series import SeriesStore, labels_of
from monitoring.promql.syntax import Node, QueryError
from monitoring.promql.templates import check, filled

FNV_OFFSET, FNV_PRIME = 14695981039346656037, 1099511628211


@dataclass(frozen=True)
class AlertRule:
    name: str
    node: Node
    for_seconds: float
    labels: dict[str, str]
    annotations: dict[str, str]

    @classmethod
    def read(cls, rule: dict[str, Any]) -> "AlertRule":
        labels, annotations = dict(rule.get("labels", {})), dict(rule.get("annotations", {}))
        for template in (*labels.values(), *annotations.values()):
            check(template)
        held = milliseconds(str(rule.get("for", "0s"))) / 1000
        return cls(rule["alert"], parse(rule["expr"]), held, labels, annotations)


@dataclass(frozen=True)
class FiredAlert:
    """starts: since when it fires; ends: when it stopped, 0 while it has not. Unix seconds."""

    labels: dict[str, str]
    annotations: dict[str, str] = field(default_factory=dict)
    value: float = 0.0
    starts: float = 0.0
    ends: float = 0.0

    @property
    def name(self) -> str:
        return self.labels["alertname"]

    @property
    def firing(self) -> bool:
        return not self.ends

    @property
    def fingerprint(self) -> str:
        return fingerprint(self.labels)


@dataclass
class _Active:
    since: float
    starts: float = 0.0
    alert: FiredAlert | None = None


class AlertStates:
    """All instances of one rule."""

    def __init__(self, rule: AlertRule) -> None:
        self.rule = rule
        self.active: dict[tuple[tuple[str, str], ...], _Active] = {}

    def look(self, store: SeriesStore, now: float) -> list[FiredAlert]:
        """The alerts that fire now, and those that have just stopped. Raises QueryError."""
        present = vector_of(evaluate(self.rule.node, store, round(now * 1000)))
        found: list[FiredAlert] = []
        held = set()
        for series, value in present.items():
            own = dict(nameless(series))
            labels = {**own, **{key: filled(text, own, value) for key, text in self.rule.labels.items()}}
            labels["alertname"] = self.rule.name
            key = labels_of(labels)
            if key in held:
                raise QueryError(f"the alert {self.rule.name} has two results with the same labels")
            held.add(key)
            state = self.active.setdefault(key, _Active(now))
            if now - state.since >= self.rule.for_seconds - 1e-9:
                state.starts = state.starts or now
                annotations = {name: filled(text, own, value) for name, text in self.rule.annotations.items()}
                state.alert = FiredAlert(dict(key), annotations, value, state.starts)
                found.append(state.alert)
        for key in self.active.keys() - held:
            gone = self.active.pop(key).alert
            if gone:
                found.append(FiredAlert(gone.labels, gone.annotations, gone.value, gone.starts, now))
        return found


def fingerprint(labels: dict[str, str]) -> str:
    """As Alertmanager names a label set: FNV-1a over sorted names and values, each ended by 0xff."""
    digest = FNV_OFFSET
    for byte in b"".join(part.encode() + b"\xff" for pair in sorted(labels.items()) for part in pair):
        digest = ((digest ^ byte) * FNV_PRIME) % 2**64
    return f"{digest:016x}"
