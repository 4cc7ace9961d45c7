"""One alert, one recorded series, and the groups they are evaluated in.

>>> Alert("GatewayDown", "absent(everloop_routes_read_timestamp_seconds)", for_="1m", severity="page",
...       summary="No gateway answers.", description="...", dashboard="serving")

severity: page wakes somebody, ticket waits for the morning, info is only written down.
action="retrain" with a reason asks the retrain controller for a run; blocks="retrain" keeps it from starting one.
"""

import re
from dataclasses import dataclass, field
from typing import Literal

from monitoring.promql.lexer import milliseconds, spelled

MODEL = "everloop"
LEAST_RANGE_MS = 10_000  # a rate needs two scrapes also when the drill's windows shrink
DURATION = re.compile(r"(?P<before>\[|offset )(?P<duration>(?:\d+(?:ms|[smhdwy]))+)")


@dataclass(frozen=True)
class Alert:
    """for_: how long the expression must hold. summary and description are templates of Prometheus ({{ $value }}).
    console: the section of the gateway's page that shows more; of drift, with Evidently's report."""

    name: str
    expr: str
    summary: str
    description: str
    severity: Literal["page", "ticket", "info"]
    dashboard: Literal["serving", "drift", "loop"]
    for_: str = "0s"
    action: str = ""
    reason: str = ""
    blocks: str = ""
    console: str = ""
    labels: dict[str, str] = field(default_factory=dict)

    def all_labels(self) -> dict[str, str]:
        own = {"action": self.action, "reason": self.reason, "blocks": self.blocks}
        return {
            "model": MODEL,
            "severity": self.severity,
            **self.labels,
            **{name: value for name, value in own.items() if value},
        }


@dataclass(frozen=True)
class Record:
    """A series computed at every look, where an alert needs its past."""

    name: str
    expr: str


@dataclass(frozen=True)
class Group:
    """Evaluated together, in order. interval: of a deployed Prometheus."""

    name: str
    rules: tuple[Alert | Record, ...]
    interval: str = "15s"


def gained(selector: str, window: str, by: str = "") -> str:
    """How much counters grew, also those that were not there before: a labelled one appears with its first event, of
    which increase() says nothing. What a Prometheus that has just begun to look finds there is old and not counted."""
    grouping = f" by ({by})" if by else ""
    appeared = f"{selector} unless {selector} offset {window} and on (job, instance) up offset {window}"
    return f"sum{grouping} (({appeared}) or increase({selector}[{window}]))"


def age(timestamp: object) -> str:
    """Seconds since the moment that a gauge holds, when it was scraped: a gap between scrapes makes nothing older."""
    return f"(timestamp({timestamp}) - {timestamp})"


def scaled(expr: str, scale: float) -> str:
    """The same expression with ranges and offsets `scale` times as long; thresholds stay, they are about the world."""

    def shorter(found: re.Match[str]) -> str:
        length = max(round(milliseconds(found["duration"]) * scale), LEAST_RANGE_MS)
        return found["before"] + spelled(length)

    return expr if scale == 1 else DURATION.sub(shorter, expr)


def scaled_duration(duration: str, scale: float) -> str:
    return duration if scale == 1 else spelled(round(milliseconds(duration) * scale))
