"""The server's metrics, made once a server.

>>> measures = Measures()
>>> measures.exposition()
b'# HELP everloop_requests_total ...'
"""

from prometheus_client import CollectorRegistry, Counter, Histogram, disable_created_metrics, generate_latest
from prometheus_client.platform_collector import PlatformCollector
from prometheus_client.process_collector import ProcessCollector

from monitoring import metrics
from serving.predictor import Predictor

FALLBACKS = ("unknown_user", "no_history", "unknown_items", "history_unavailable", "model")
EVENTS = ("accepted", "duplicate", "refused")
HISTORY = ("append", "read", "seed")
CUT_OFF = ("large_headers", "slow_reader", "slow_request")


class Measures:
    def __init__(self) -> None:
        disable_created_metrics()  # type: ignore[no-untyped-call] # a second series for every one, which no dashboard reads
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        PlatformCollector(registry=self.registry)
        self.requests = metrics.REQUESTS.on(self.registry)
        self.seconds = metrics.REQUEST_SECONDS.on(self.registry)
        self.lists = metrics.LISTS.on(self.registry)
        self.fallbacks = metrics.begin(metrics.FALLBACKS.on(self.registry), FALLBACKS)
        self.short_lists = metrics.SHORT_LISTS.on(self.registry)
        self.events = metrics.begin(metrics.EVENTS.on(self.registry), EVENTS)
        self.history_errors = metrics.begin(metrics.HISTORY_ERRORS.on(self.registry), HISTORY)
        self.cut_off = metrics.begin(metrics.CUT_OFF.on(self.registry), CUT_OFF)
        self.ready = metrics.READY.on(self.registry)
        self.release_info = metrics.RELEASE_INFO.on(self.registry)
        self.release_since = metrics.RELEASE_SINCE.on(self.registry)
        self.swaps = metrics.SWAPS.on(self.registry)
        self.refused = metrics.REFUSED.on(self.registry)
        self.ledger_seen = metrics.LEDGER_SEEN.on(self.registry)
        self.users_cached = metrics.USERS_CACHED.on(self.registry)

        # Looking a label up costs more than counting; endpoints and statuses are few.
        self.children: dict[tuple[str, int], tuple[Counter, Histogram]] = {}

    def answered(self, endpoint: str, status: int, seconds: float) -> None:
        """Count one answer."""
        known = self.children.get((endpoint, status))
        if known is None:
            known = self.requests.labels(endpoint, str(status)), self.seconds.labels(endpoint)
            self.children[endpoint, status] = known
        known[0].inc()
        known[1].observe(seconds)

    def lists_of(self, predictor: Predictor) -> Counter:
        return self.lists.labels(model=predictor.model.name, release=predictor.short, variant=predictor.variant)

    def exposition(self) -> bytes:
        return generate_latest(self.registry)
