"""The controller's metrics, made once a controller.

>>> measures = Measures()
>>> measures.decided(trigger)
"""

from prometheus_client import CollectorRegistry, disable_created_metrics, generate_latest
from prometheus_client.process_collector import ProcessCollector

from monitoring import metrics
from monitoring.controller.guards import GUARDS
from monitoring.controller.records import GOOD, State, Trigger
from monitoring.controller.switches import Held
from monitoring.metrics import begin

WEBHOOKS = ("accepted", "bad", "unauthorized", "slow", "large", "unavailable")
RUNS = (*GOOD, "rejected", "unchanged", "failed", "data_quality")


class Measures:
    def __init__(self) -> None:
        disable_created_metrics()  # type: ignore[no-untyped-call] # a second series for every one, which no dashboard reads
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        self.webhooks = begin(metrics.WEBHOOKS.on(self.registry), WEBHOOKS)
        self.triggers = begin(metrics.TRIGGERS.on(self.registry), ("suppressed",), GUARDS)
        begin(self.triggers, ("admitted",), ("",))
        self.runs = begin(metrics.RETRAIN_RUNS.on(self.registry), RUNS)
        self.active = metrics.RETRAIN_ACTIVE.on(self.registry)
        self.paused = metrics.RETRAIN_PAUSED.on(self.registry)
        self.last = metrics.RETRAIN_LAST.on(self.registry)
        self.seen = metrics.CONTROLLER_SEEN.on(self.registry)
        self.data_quality = metrics.DATA_QUALITY_FAILED.on(self.registry)

    def decided(self, trigger: Trigger) -> None:
        outcome = "suppressed" if trigger.state is State.SUPPRESSED else "admitted"
        self.triggers.labels(outcome=outcome, reason=trigger.reason).inc(trigger.copies)

    def ended(self, trigger: Trigger) -> None:
        """outcome: the run's own, or failed, or data_quality."""
        failed = "data_quality" if trigger.reason == "data_quality" else "failed"
        self.runs.labels(outcome=failed if trigger.state is State.FAILED else trigger.outcome).inc()

    def looked(self, active: int, held: Held, breaker: bool, last_success: float) -> None:
        """After each turn: the gauges, from what is stored, so that a restart changes none of them."""
        self.active.set(active)
        self.paused.labels(reason="person").set(bool(held.paused))
        self.paused.labels(reason="breaker").set(breaker)
        self.data_quality.set(bool(held.data_quality))
        self.last.set(last_success)
        self.seen.set_to_current_time()  # the machine's: Prometheus compares it with its own

    def exposition(self) -> bytes:
        return generate_latest(self.registry)
