"""Faults of what people get, and of the log that everything else is computed from.

>>> [rule.name for rule in serving(Settings()).rules]
['FallbackHigh', 'CandidateFailing', ...]
"""

from components.recsys.settings import Settings
from monitoring.metrics import (
    EVENT_EXPORT_SEEN,
    EXPOSURE_COVERAGE,
    EXPOSURE_GINI,
    GATEWAY_FAILED,
    GATEWAY_FALLBACKS,
    GATEWAY_LISTS,
    HISTORY_ERRORS,
    LOG_RECORDS,
    LOG_SPOOL_BYTES,
    LOG_UPLOADED,
    MONITOR_BROKEN,
    REFUSED,
)
from monitoring.rules.rule import Alert, Group, age, gained

FALLBACK_SHARE = 0.05
NEW_PEOPLE = "unknown_user|no_history|unknown_items"  # no fault: of whom nothing is known gets what is popular
LEAST_LISTS = 100  # a share of fewer is chance
LEAST_COVERAGE, MOST_GINI = 0.02, 0.98
LEAST_ERRORS = 3  # one may be a lock that was held a moment too long
UPLOAD_SECONDS = 600
SPOOL_SHARE = 0.5  # half full leaves as long again to mend the sink


def serving(settings: Settings) -> Group:
    lists = f"sum(increase({GATEWAY_LISTS}[10m]))"
    missed = f'sum(increase({GATEWAY_FALLBACKS}{{reason!~"{NEW_PEOPLE}"}}[10m]))'
    failed = gained(f'{GATEWAY_FAILED}{{variant="candidate"}}', "5m")
    # A group's lists are counted whoever gave them.
    asked = f'sum(increase({GATEWAY_LISTS}{{variant="candidate"}}[5m]))'
    return Group(
        "everloop-serving",
        (
            Alert(
                "FallbackHigh",
                f"{missed} / {lists} > {FALLBACK_SHARE} and {lists} >= {LEAST_LISTS}",
                for_="5m",
                severity="ticket",
                dashboard="serving",
                summary="{{ $value | humanizePercentage }} of lists come from no model.",
                description="People get what is popular although their history is known: a predictor is down, slow or broken.",
            ),
            Alert(
                "CandidateFailing",
                f"{failed} > {settings.rollout.max_error_rate:g} * {asked} and {failed} >= 5",
                for_="1m",
                severity="ticket",
                dashboard="loop",
                summary="The candidate failed {{ $value | humanize }} times in 5 minutes.",
                description="The champion answered in its place; the rollout's guard should abort it by itself.",
            ),
            Alert(
                "ReleaseRefused",
                f"sum(increase({REFUSED}[15m])) > 0",
                severity="ticket",
                dashboard="serving",
                summary="A release could not be loaded.",
                description="It is broken, missing or unreadable. The release before it serves on.",
            ),
            Alert(
                "HistoryFailing",
                f"{gained(str(HISTORY_ERRORS), '5m', by='operation')} >= {LEAST_ERRORS}",
                for_="2m",
                severity="ticket",
                dashboard="serving",
                summary="The online history fails to {{ $labels.operation }}.",
                description="Lists do not follow what people just did, and events may be refused.",
            ),
            Alert(
                "LogDropping",
                f'sum(increase({LOG_RECORDS}{{outcome=~"dropped_.+"}}[5m])) > 0',
                severity="page",
                dashboard="serving",
                summary="The prediction log has dropped {{ $value | humanize }} records in 5 minutes.",
                description="Memory or spool is full. Serving goes on, but these lists can never be judged.",
            ),
            Alert(
                "LogNotUploading",
                f"max by (instance) ({age(LOG_UPLOADED)}) > {UPLOAD_SECONDS}"
                f" and on (instance) max by (instance) ({LOG_SPOOL_BYTES}) > 0",
                for_="1m",
                severity="ticket",
                dashboard="serving",
                summary="Segments of the prediction log wait on {{ $labels.instance }}.",
                description="The last upload was {{ $value | humanizeDuration }} ago. Nothing is lost until the spool is full.",
            ),
            Alert(
                "EventsNotExported",
                f"max by (instance) ({age(EVENT_EXPORT_SEEN)}) > {UPLOAD_SECONDS}",
                for_="1m",
                severity="ticket",
                dashboard="serving",
                summary="Accepted events wait on {{ $labels.instance }}.",
                description="They are safe there, but no training and no drift has seen them for {{ $value | humanizeDuration }}.",
            ),
            Alert(
                "SegmentsBroken",
                f"sum by (kind) (increase({MONITOR_BROKEN}[1h])) > 0",
                severity="ticket",
                dashboard="drift",
                summary="{{ $value | humanize }} {{ $labels.kind }} of the logs could not be read.",
                description="They were passed over: figures of quality and drift lack what was in them.",
            ),
            Alert(
                "SpoolFilling",
                f"max by (instance) ({LOG_SPOOL_BYTES}) > {round(SPOOL_SHARE * settings.log.spool_bytes)}",
                for_="1m",
                severity="ticket",
                dashboard="serving",
                summary="The spool on {{ $labels.instance }} is more than half full.",
                description="When it is full, records are dropped.",
            ),
            Alert(
                "ExposureConcentrated",
                f"(max({EXPOSURE_GINI}) > {MOST_GINI} or max({EXPOSURE_COVERAGE}) < {LEAST_COVERAGE})"
                f" and sum(increase({GATEWAY_LISTS}[1h])) >= {LEAST_LISTS}",
                for_="30m",
                severity="ticket",
                dashboard="drift",
                summary="Nearly everybody is shown the same few items.",
                description="A model that feeds on what it shows narrows by itself; exploration works against it.",
            ),
        ),
    )
