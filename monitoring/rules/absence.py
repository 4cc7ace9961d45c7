"""Alerts on what is not there: no data must never look like no drift.

>>> [rule.name for rule in absence(Settings()).rules]
['NoLists', 'NoEvents', 'MonitorBlind', ...]

A part is down when a series that only it exports is gone, so no alert depends on how a cluster names its scrape jobs.
The heartbeats are of the machine's time: silence is real whatever the drill's clock says.
"""

from components.recsys.settings import Settings
from monitoring.metrics import (
    CONTROLLER_SEEN,
    GATEWAY_LISTS,
    MONITOR_DATA_AGE,
    MONITOR_SEEN,
    PREDICTORS,
    ROLLOUT_SEEN,
    ROUTES_READ,
    Metric,
)
from monitoring.rules.rule import Alert, Group, age

NO_EVENTS_SECONDS = 86_400  # a shop that sleeps at night still has events every day
ROUTES_SECONDS = 60
LOOKS_MISSED = 5  # one slow look is no alarm
LEAST_SILENCE = 120


def absence(settings: Settings) -> Group:
    monitor = _silence(settings.drift.interval_seconds)
    rollout = _silence(settings.rollout.interval_seconds)
    controller = _silence(0)
    return Group(
        "everloop-absence",
        (
            Alert(
                "NoLists",
                f"sum(increase({GATEWAY_LISTS}[15m])) == 0 or absent({GATEWAY_LISTS})",
                for_="5m",
                severity="page",
                dashboard="serving",
                summary="Nobody has been given a list for 15 minutes.",
                description="Either nobody asks (a broken front page?) or the gateway does not answer.",
            ),
            Alert(
                "NoEvents",
                f'max({MONITOR_DATA_AGE}{{kind="events"}}) > {NO_EVENTS_SECONDS}',
                for_="10m",
                severity="page",
                dashboard="drift",
                summary="The newest event is {{ $value | humanizeDuration }} old.",
                description="Without events nothing is learnt and drift cannot be seen.",
            ),
            Alert(
                "MonitorBlind",
                _silent(MONITOR_SEEN, monitor),
                for_="2m",
                severity="page",
                dashboard="drift",
                summary="The monitor has not looked at the logs.",
                description="Drift and quality are not being watched: their last figures say nothing about now.",
            ),
            Alert(
                "ControllerDown",
                _silent(CONTROLLER_SEEN, controller),
                for_="2m",
                severity="page",
                dashboard="loop",
                summary="The retrain controller is silent.",
                description="Alerts reach nobody who would train a model; Alertmanager keeps trying meanwhile.",
            ),
            Alert(
                "RolloutEngineStuck",
                _silent(ROLLOUT_SEEN, rollout),
                for_="2m",
                severity="page",
                dashboard="loop",
                summary="The rollout engine is silent.",
                description="Routes stay as they are: a bad candidate would not be taken back.",
            ),
            Alert(
                "GatewayDown",
                f"absent({ROUTES_READ})",
                for_="1m",
                severity="page",
                dashboard="serving",
                summary="No gateway can be scraped.",
                description="People may get no lists at all.",
            ),
            Alert(
                "RoutesStale",
                f"max by (instance) ({age(ROUTES_READ)}) > {ROUTES_SECONDS}",
                for_="1m",
                severity="ticket",
                dashboard="serving",
                summary="The gateway {{ $labels.instance }} last read its routes {{ $value | humanizeDuration }} ago.",
                description="It serves on with the routes it has and would miss an abort or a promotion.",
            ),
            Alert(
                "PredictorMissing",
                f'max({PREDICTORS}{{variant="champion"}}) < 1',
                for_="1m",
                severity="page",
                dashboard="serving",
                summary="No predictor of the champion answers.",
                description="People get lists by popularity until one is back.",
            ),
        ),
    )


def _silence(interval_seconds: float) -> int:
    return max(round(LOOKS_MISSED * interval_seconds), LEAST_SILENCE)


def _silent(seen: Metric, seconds: int) -> str:  # type: ignore[type-arg]
    """Gone, or its last turn was too long ago (a process that hangs still answers a scrape)."""
    return f"absent({seen}) or min({age(seen)}) > {seconds}"
