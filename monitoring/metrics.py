"""Every metric that Everloop exports, named once.

>>> registry = CollectorRegistry()
>>> FALLBACKS.on(registry).labels(reason="unknown_user").inc()

Base units (seconds, bytes). Labels are bounded: model, release, reason and the like, never a user or an item.
Code that measures takes its metric from here; dashboards and alerts are checked against `ALL`.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

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

    def on(self, registry: CollectorRegistry) -> Kind:
        """The metric itself, in a registry of its own, so that two servers in one process do not share counts."""
        more = {"buckets": self.buckets} if self.buckets else {}
        return self.kind(self.name, self.help, self.labels, registry=registry, **more)


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

ALL: tuple[Metric[Counter] | Metric[Gauge] | Metric[Histogram], ...] = (
    REQUESTS,
    REQUEST_SECONDS,
    LISTS,
    FALLBACKS,
    SHORT_LISTS,
    EVENTS,
    HISTORY_ERRORS,
    CUT_OFF,
    READY,
    RELEASE_INFO,
    RELEASE_SINCE,
    SWAPS,
    REFUSED,
    LEDGER_SEEN,
    USERS_CACHED,
)
