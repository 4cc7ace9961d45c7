"""The gateway's metrics, made once a gateway.

>>> measures = Measures()
>>> measures.listed(record, seconds=0.002)
"""

from prometheus_client import CollectorRegistry, Counter, Histogram, disable_created_metrics, generate_latest
from prometheus_client.platform_collector import PlatformCollector
from prometheus_client.process_collector import ProcessCollector

from components.recsys.buckets import CANDIDATE, CHAMPION
from components.recsys.predictions import Prediction
from components.recsys.release import SHORT
from components.recsys.routes import Routes
from monitoring import metrics
from monitoring.metrics import begin
from serving.measures import CUT_OFF, EVENTS, HISTORY

# What a predictor may say; anything else counts as "other", since labels must be bounded whoever answers.
FALLBACKS = frozenset(
    {"unknown_user", "no_history", "unknown_items", "history_unavailable", "model", "no_predictor", "other"}
)

FAILURES = ("unreachable", "timeout", "status", "invalid")
GROUPS = (CHAMPION, CANDIDATE)
SHADOWS = ("answered", "failed", "dropped")


class Measures:
    def __init__(self) -> None:
        disable_created_metrics()  # type: ignore[no-untyped-call] # a second series for every one, which no dashboard reads
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        PlatformCollector(registry=self.registry)
        self.requests = metrics.REQUESTS.on(self.registry)
        self.seconds = metrics.REQUEST_SECONDS.on(self.registry)
        self.events = begin(metrics.EVENTS.on(self.registry), EVENTS)
        self.history_errors = begin(metrics.HISTORY_ERRORS.on(self.registry), HISTORY)
        self.users_cached = metrics.USERS_CACHED.on(self.registry)
        self.cut_off = begin(metrics.CUT_OFF.on(self.registry), CUT_OFF)
        self.ready = metrics.READY.on(self.registry)
        self.lists = metrics.GATEWAY_LISTS.on(self.registry)
        self.list_seconds = metrics.GATEWAY_SECONDS.on(self.registry)
        self.failed = begin(metrics.GATEWAY_FAILED.on(self.registry), GROUPS, FAILURES)
        self.fallbacks = begin(metrics.GATEWAY_FALLBACKS.on(self.registry), GROUPS, sorted(FALLBACKS))
        self.short = begin(metrics.GATEWAY_SHORT.on(self.registry), GROUPS)
        self.explored = begin(metrics.GATEWAY_EXPLORED.on(self.registry), GROUPS)
        self.share = metrics.ROUTE_SHARE.on(self.registry)
        self.routes_read = metrics.ROUTES_READ.on(self.registry)
        self.shadows = begin(metrics.SHADOW_LISTS.on(self.registry), SHADOWS)

        # Looking a label up costs more than counting; endpoints, statuses, variants and releases are few.
        self.children: dict[tuple[str, int], tuple[Counter, Histogram]] = {}
        self.of_lists: dict[tuple[str, str], tuple[Counter, Histogram]] = {}

    def answered(self, endpoint: str, status: int, seconds: float) -> None:
        """Count one answer."""
        known = self.children.get((endpoint, status))
        if known is None:
            known = self.requests.labels(endpoint, str(status)), self.seconds.labels(endpoint)
            self.children[endpoint, status] = known
        known[0].inc()
        known[1].observe(seconds)

    def listed(self, record: Prediction, seconds: float) -> None:
        """Count one list that somebody got."""
        variant = record.variant
        known = self.of_lists.get((variant, record.release))
        if known is None:
            known = self.lists.labels(variant, record.release[:SHORT]), self.list_seconds.labels(variant)
            self.of_lists[variant, record.release] = known
        known[0].inc()
        known[1].observe(seconds)
        if record.failed:
            self.failed.labels(variant, record.failed).inc()
        if record.fallback:
            self.fallbacks.labels(variant, record.fallback if record.fallback in FALLBACKS else "other").inc()
        if record.explored:
            self.explored.labels(variant).inc()
        if len(record.items) < record.k:
            self.short.labels(variant).inc()

    def routed(self, routes: Routes | None) -> None:
        share = routes.share if routes and routes.candidate else 0.0
        self.share.labels(CANDIDATE).set(share)
        self.share.labels(CHAMPION).set(1.0 - share)

    def exposition(self) -> bytes:
        return generate_latest(self.registry)
