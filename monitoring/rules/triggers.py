"""Why a model is trained again, and what keeps it from being trained.

>>> [alert.reason for alert in triggers(Settings()).rules if alert.action == "retrain"]
['drift', 'quality', 'stale']

The monitor judges, with the tests and thresholds of its settings; where it says nothing for want of data, nothing fires.
"""

from components.recsys.settings import Settings
from monitoring.metrics import (
    CLICK_RATE,
    CLICK_RATE_DROPPED,
    DATA_QUALITY_FAILED,
    DRIFT_DETECTED,
    DRIFT_EVENTS,
    RELEASE_SINCE,
    RETRAIN_LAST,
)
from monitoring.rules.rule import Alert, Group

STALE_DAYS = 30  # the travel world and MovieLens both lose a tenth of nDCG in about that time


def triggers(settings: Settings) -> Group:
    drift = settings.drift
    stale_seconds = STALE_DAYS * 86_400
    # `>= 0` leaves NaN out, which a release without lists would else put into the average.
    clicks = f'avg({CLICK_RATE}{{variant="champion"}} >= 0)'
    # On one machine a former champion's predictor stays for a day, and is older than who leads now.
    serves = f'{RELEASE_SINCE}{{variant!="former"}}'
    return Group(
        "everloop-triggers",
        (
            Alert(
                "DriftDetected",
                f"max by (kind, feature) ({DRIFT_DETECTED}) == 1"
                f" and on (kind) max by (kind) ({DRIFT_EVENTS}) >= {drift.min_events}",
                for_="5m",
                severity="ticket",
                action="retrain",
                reason="drift",
                console="drift",
                dashboard="drift",
                summary="{{ $labels.feature }} has drifted ({{ $labels.kind }}).",
                description="The last window differs from its baseline by more than season and noise explain.",
            ),
            Alert(
                "QualityDropped",
                f"{clicks} and max({CLICK_RATE_DROPPED}) == 1",
                for_="5m",
                severity="ticket",
                action="retrain",
                reason="quality",
                console="quality",
                dashboard="drift",
                summary="People click {{ $value | humanizePercentage }} of the champion's lists.",
                description=f"That is below the baseline by more than {drift.quality_drop:.0%} and by more than chance, on labels"
                " that are final.",
            ),
            Alert(
                "ModelStale",
                f"time() - max({RETRAIN_LAST} > 0) > {stale_seconds}"
                f" or (time() - min({serves} > 0) > {stale_seconds} unless on () max({RETRAIN_LAST} > 0))",
                for_="15m",
                severity="ticket",
                action="retrain",
                reason="stale",
                console="controller",
                dashboard="loop",
                summary="The last successful training is {{ $value | humanizeDuration }} ago.",
                description=f"A model older than {STALE_DAYS} days has not seen what people do now.",
            ),
            Alert(
                "DataQualityFailed",
                f"max({DATA_QUALITY_FAILED}) == 1",
                severity="page",
                blocks="retrain",
                console="controller",
                dashboard="loop",
                summary="The newest data does not pass the data gate.",
                description="Nothing is trained on it until it is mended; serving goes on with the champion.",
            ),
        ),
    )
