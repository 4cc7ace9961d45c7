"""Every metric that Everloop exports, named once.

>>> registry = CollectorRegistry()
>>> FALLBACKS.on(registry).labels(reason="unknown_user").inc()

Base units (seconds, bytes). Labels are bounded: model, release, reason and the like, never a user or an item.
Code that measures takes its metric from here; dashboards and alerts are checked against `ALL`.

>>> begin(SHADOW_LISTS.on(registry), OUTCOMES)     # 0 for each, so that increase() sees the first event too
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from itertools import product
from typing import Any, Generic, TypeVar

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.metrics import MetricWrapperBase

Kind = TypeVar("Kind", bound=MetricWrapperBase)

# A list takes 0.1 ms on a small catalogue; a page waits at most a second for it.
LATENCY = (0.0005, 0.001, 0.002, 0.003, 0.005, 0.0075, 0.01, 0.015, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5)


@dataclass(frozen=True)
class Metric(Generic[Kind]):
    """A name, what it means, and the labels it is split by."""

    name: str
    help: str
    kind: Callable[..., Kind]
    labels: tuple[str, ...] = ()
    buckets: tuple[float, ...] = ()

    def __str__(self) -> str:
        """The name, so that a query is written f"rate({REQUESTS}[5m])" and a misspelt metric is a NameError."""
        return self.name

    def on(self, registry: CollectorRegistry) -> Kind:
        """The metric itself, in a registry of its own, so that two servers in one process do not share counts."""
        more = {"buckets": self.buckets} if self.buckets else {}
        return self.kind(self.name, self.help, self.labels, registry=registry, **more)


def begin(counter: Counter, *labels: Iterable[str]) -> Counter:
    """The counter with 0 for every combination of values of its labels, one collection a label, in their order.

    A labelled counter appears with its first event otherwise, at 1, and how much it grew to get there is not known: rates
    and increases would miss that event.
    """
    for values in product(*labels):
        counter.labels(*values)
    return counter


REQUESTS = Metric(
    "everloop_requests_total", "Requests answered, by endpoint and HTTP status.", Counter, ("endpoint", "code")
)
REQUEST_SECONDS = Metric(
    "everloop_request_duration_seconds",
    "Time from a request read to its answer handed to the socket.",
    Histogram,
    ("endpoint",),
    LATENCY,
)
LISTS = Metric("everloop_lists_total", "Recommendation lists answered.", Counter, ("model", "release", "variant"))
FALLBACKS = Metric(
    "everloop_fallback_total", "Lists that the model could not give, answered by popularity.", Counter, ("reason",)
)
SHORT_LISTS = Metric(
    "everloop_short_lists_total", "Lists shorter than asked for, because filters left fewer items.", Counter
)
EVENTS = Metric("everloop_events_total", "Feedback events received.", Counter, ("outcome",))
HISTORY_ERRORS = Metric(
    "everloop_history_errors_total", "Reads and writes of the online history that failed.", Counter, ("operation",)
)
CUT_OFF = Metric(
    "everloop_connections_cut_off_total", "Connections ended by the server's guards.", Counter, ("reason",)
)
READY = Metric("everloop_ready", "1 while predictions are answered.", Gauge)
RELEASE_INFO = Metric("everloop_release_info", "1 for the release that answers.", Gauge, ("model", "release"))
RELEASE_SINCE = Metric(
    "everloop_release_served_since_seconds", "Unix time at which the release began to answer here.", Gauge
)
SWAPS = Metric("everloop_release_swaps_total", "Releases put in the place of another while serving.", Counter)
REFUSED = Metric(
    "everloop_release_refused_total", "Attempts to load a release that failed (broken, missing, unreadable).", Counter
)
LEDGER_SEEN = Metric(
    "everloop_ledger_seen_timestamp_seconds", "Unix time at which the ledger was last read without a fault.", Gauge
)
USERS_CACHED = Metric("everloop_history_cached_users", "Users whose history is held in memory.", Gauge)

# The gateway: what people got, by the group they are in.
GATEWAY_LISTS = Metric(
    "everloop_gateway_lists_total", "Lists given to people, by group and release.", Counter, ("variant", "release")
)
GATEWAY_SECONDS = Metric(
    "everloop_gateway_duration_seconds", "Time from a list asked for to its answer.", Histogram, ("variant",), LATENCY
)
GATEWAY_FAILED = Metric(
    "everloop_gateway_variant_failed_total",
    "Lists that a variant's predictor did not give, so that another answered.",
    Counter,
    ("variant", "reason"),
)
GATEWAY_FALLBACKS = Metric(
    "everloop_gateway_fallback_total", "Lists that no model gave, by group and reason.", Counter, ("variant", "reason")
)
GATEWAY_SHORT = Metric("everloop_gateway_short_lists_total", "Lists shorter than asked for.", Counter, ("variant",))
GATEWAY_EXPLORED = Metric("everloop_gateway_explored_total", "Lists with an explored place.", Counter, ("variant",))
ROUTE_SHARE = Metric("everloop_route_share", "Share of users whose lists come from a variant.", Gauge, ("variant",))
ROUTES_READ = Metric(
    "everloop_routes_read_timestamp_seconds", "Unix time at which the routes were last read without a fault.", Gauge
)
SHADOW_LISTS = Metric("everloop_shadow_lists_total", "Requests mirrored to a shadow.", Counter, ("outcome",))

# The prediction log.
LOG_RECORDS = Metric(
    "everloop_log_records_total",
    "Prediction log records, by outcome: spooled, or dropped since memory, spool or disk was full or it is no text.",
    Counter,
    ("outcome",),
)
LOG_UPLOADS = Metric("everloop_log_uploads_total", "Uploads of segments, by outcome.", Counter, ("outcome",))
LOG_SPOOL_BYTES = Metric("everloop_log_spool_bytes", "Disk taken by segments that wait for upload.", Gauge)
LOG_UPLOADED = Metric("everloop_log_uploaded_timestamp_seconds", "Unix time of the last upload without a fault.", Gauge)
EVENTS_EXPORTED = Metric("everloop_events_exported_total", "Accepted events copied into the home's log.", Counter)
EVENT_EXPORT_FAILED = Metric(
    "everloop_event_export_failed_total", "Turns in which accepted events could not be copied.", Counter
)
EVENT_EXPORT_SEEN = Metric(
    "everloop_event_export_timestamp_seconds", "Unix time at which the home last had everything accepted.", Gauge
)

# The monitor.
MONITOR_RUNS = Metric("everloop_monitor_looks_total", "Looks at the logs, by outcome.", Counter, ("outcome",))
MONITOR_SEEN = Metric(
    "everloop_monitor_last_look_timestamp_seconds", "Unix time of the last look without a fault.", Gauge
)
MONITOR_DATA_AGE = Metric(
    "everloop_monitor_data_age_seconds", "Age of the newest event or list, by the loop's clock.", Gauge, ("kind",)
)
MONITOR_SECONDS = Metric("everloop_monitor_look_seconds", "Time that the last look took.", Gauge)
MONITOR_BROKEN = Metric(
    "everloop_monitor_broken_total",
    "Segments and rows that could not be read, and were passed over.",
    Counter,
    ("kind",),
)
DRIFT_DISTANCE = Metric(
    "everloop_drift_distance", "Distance of the last window to its baseline, 0 to 1.", Gauge, ("kind", "feature")
)
DRIFT_LIMIT = Metric("everloop_drift_limit", "Distance that season and noise explain.", Gauge, ("kind", "feature"))
DRIFT_P = Metric("everloop_drift_p_value", "p-value against the shuffled null, corrected.", Gauge, ("kind", "feature"))
DRIFT_DETECTED = Metric(
    "everloop_drift_detected", "1 while a feature drifts: significant and beyond the limit.", Gauge, ("kind", "feature")
)
DRIFT_EVENTS = Metric("everloop_drift_window_events", "Rows in the last window.", Gauge, ("kind",))
CLICK_RATE = Metric(
    "everloop_click_rate", "Lists with a click among lists whose labels are mature.", Gauge, ("variant", "release")
)
CLICK_RATE_BASELINE = Metric("everloop_click_rate_baseline", "The same over the baseline windows.", Gauge)
CLICK_RATE_DROPPED = Metric(
    "everloop_click_rate_dropped",
    "1 while the matured click rate lies below the baseline by more than the setting and by more than chance.",
    Gauge,
)
MATURE_LISTS = Metric("everloop_mature_lists", "Lists in the last window whose labels are mature.", Gauge)
EXPOSURE_GINI = Metric("everloop_exposure_gini", "Concentration of what is shown: 0 even, 1 one item.", Gauge)
EXPOSURE_COVERAGE = Metric("everloop_exposure_coverage", "Share of the catalogue shown in the last window.", Gauge)
EXPLORATION_SHARE = Metric("everloop_exploration_share", "Share of the last window's lists that explored.", Gauge)

# The retrain controller.
WEBHOOKS = Metric("everloop_webhooks_total", "Webhook calls, by answer.", Counter, ("outcome",))
TRIGGERS = Metric(
    "everloop_triggers_total", "Alerts that asked for a run, by decision and reason.", Counter, ("outcome", "reason")
)
RETRAIN_RUNS = Metric("everloop_retrain_runs_total", "Runs that ended, by outcome.", Counter, ("outcome",))
RETRAIN_ACTIVE = Metric("everloop_retrain_active", "Runs that are under way.", Gauge)
RETRAIN_PAUSED = Metric(
    "everloop_retrain_paused", "1 while paused, by a person or the circuit breaker.", Gauge, ("reason",)
)
RETRAIN_LAST = Metric(
    "everloop_retrain_last_success_timestamp_seconds", "Unix time of the last run that succeeded.", Gauge
)
CONTROLLER_SEEN = Metric(
    "everloop_controller_last_look_timestamp_seconds", "Unix time of the last turn of the controller.", Gauge
)
DATA_QUALITY_FAILED = Metric(
    "everloop_data_quality_failed", "1 while the newest data does not pass the data gate.", Gauge
)

# The rollout engine.
ROLLOUT_ACTIVE = Metric("everloop_rollout_active", "1 while a rollout is under way.", Gauge)
ROLLOUT_SHARE = Metric("everloop_rollout_share", "Share that the rollout asks for.", Gauge)
ROLLOUT_OBSERVED = Metric(
    "everloop_rollout_observed_share", "Share of lists that the candidate was meant to give.", Gauge
)
ROLLOUT_GUARD = Metric(
    "everloop_rollout_guard", "State of a guard: 0 undecided, 1 passes, 2 broken.", Gauge, ("guard",)
)
ROLLOUTS = Metric(
    "everloop_rollouts_total", "Rollouts that ended, by outcome and reason.", Counter, ("outcome", "reason")
)
ROLLOUT_SEEN = Metric(
    "everloop_rollout_last_look_timestamp_seconds", "Unix time of the last turn of the engine.", Gauge
)
PREDICTORS = Metric("everloop_predictors", "Predictor processes that answer.", Gauge, ("variant",))
PREDICTOR_RESTARTS = Metric("everloop_predictor_restarts_total", "Predictor processes started again.", Counter)

ALL: tuple[Metric[Any], ...] = tuple(value for value in list(globals().values()) if isinstance(value, Metric))
