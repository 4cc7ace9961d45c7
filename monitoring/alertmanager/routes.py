"""Which alerts go to whom. Alertmanager gets this as its configuration; the built-in evaluator asks it directly.

>>> receivers({"alertname": "DriftDetected", "action": "retrain"})
['controller']
>>> receivers({"alertname": "DataQualityFailed", "severity": "page", "blocks": "retrain"})
['controller', 'pager']

What asks for a run and what forbids one goes to the controller; what is for people goes to them.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Route:
    """The first alert of a group waits `group_wait` for others; a firing group is told again every `repeat_interval`, because
    the controller may have refused a run for a reason that passes."""

    receiver: str
    labels: dict[str, str]
    group_by: tuple[str, ...]
    group_wait: str
    group_interval: str
    repeat_interval: str


CONTROLLER, PAGER, NOBODY = "controller", "pager", "nobody"

ROUTES = (
    Route(CONTROLLER, {"action": "retrain"}, ("model", "reason"), "30s", "5m", "1h"),
    # At once: a run that trains on broken data must not win the race against the alert that forbids it.
    Route(CONTROLLER, {"blocks": "retrain"}, ("model", "alertname"), "0s", "1m", "1h"),
    Route(PAGER, {"severity": "page"}, ("model", "alertname"), "30s", "5m", "4h"),
)


@dataclass(frozen=True)
class Inhibition:
    """While `source` fires, `targets` are not told: they are its consequences."""

    source: str
    targets: tuple[str, ...]


INHIBITIONS = (
    Inhibition("GatewayDown", ("NoLists", "FallbackHigh", "RoutesStale")),
    Inhibition("PredictorMissing", ("FallbackHigh",)),
    Inhibition("BreakerOpen", ("RetrainFailing",)),
    # Figures of a monitor that does not look say nothing about now, so no run is started on them.
    Inhibition("MonitorBlind", ("DriftDetected", "QualityDropped", "NoEvents", "FreshnessBudgetBurns")),
)


def routes_of(labels: dict[str, str]) -> list[Route]:
    return [route for route in ROUTES if route.labels.items() <= labels.items()]


def receivers(labels: dict[str, str]) -> list[str]:
    return [route.receiver for route in routes_of(labels)]


def inhibited(name: str, firing: set[str]) -> bool:
    """Whether an alert is held back while those named fire."""
    return any(rule.source in firing and name in rule.targets for rule in INHIBITIONS)
