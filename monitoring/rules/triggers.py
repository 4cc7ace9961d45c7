"""Why a model is trained again, and what keeps it from being trained.

>>> [alert.reason for alert in triggers(Settings()).rules if alert.action == "retrain"]
['drift', 'quality', 'stale']

How much data is too little and how much worse is worse are the monitor's own settings, so no alert speaks of a window
on which the monitor says nothing.
"""

from components.recsys.settings import Settings
from monitoring.metrics import (
    CLICK_RATE,
    CLICK_RATE_BASELINE,
    DATA_QUALITY_FAILED,
    DRIFT_DETECTED,
    DRIFT_EVENTS,
    MATURE_LISTS,
    RELEASE_SINCE,
    RETRAIN_LAST,
)
from monitoring.rules.rule import Alert, Group

STALE_DAYS = 30  # the travel world and MovieLens both lose a tenth of nDCG in about that time
LEAST_MATURE_LISTS = 200  # with fewer, a click rate of 10 % is uncertain by more than the fall that counts


def triggers(settings: Settings) -> Group:
    drift = settings.drift
    stale_seconds = STALE_DAYS * 86_400
    # `>= 0` leaves NaN out, which a release without lists would else put into the average.
    clicks = f'avg({CLICK_RATE}{{variant="champion"}} >= 0)'
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
                dashboard="drift",
                summary="{{ $labels.feature }} has drifted ({{ $labels.kind }}).",
                description="The last window differs from its baseline by more than season and noise explain.",
            ),
            Alert(
                "QualityDropped",
                f"{clicks} < {1 - drift.quality_drop:g} * max({CLICK_RATE_BASELINE})"
                f" and max({MATURE_LISTS}) >= {LEAST_MATURE_LISTS}",
                for_="5m",
                severity="ticket",
                action="retrain",
                reason="quality",
                dashboard="drift",
                summary="People click {{ $value | humanizePercentage }} of the champion's lists.",
                description=f"That is more than {drift.quality_drop:.0%} below the baseline, on labels that are final.",
            ),
            Alert(
                "ModelStale",
                f"time() - max({RETRAIN_LAST} > 0) > {stale_seconds}"
                f" or (time() - min({RELEASE_SINCE} > 0) > {stale_seconds} unless on () max({RETRAIN_LAST} > 0))",
                for_="15m",
                severity="ticket",
                action="retrain",
                reason="stale",
                dashboard="loop",
                summary="The last successful training is {{ $value | humanizeDuration }} ago.",
                description=f"A model older than {STALE_DAYS} days has not seen what people do now.",
            ),
            Alert(
                "DataQualityFailed",
                f"max({DATA_QUALITY_FAILED}) == 1",
                severity="page",
                blocks="retrain",
                dashboard="loop",
                summary="The newest data does not pass the data gate.",
                description="Nothing is trained on it until it is mended; serving goes on with the champion.",
            ),
        ),
    )
