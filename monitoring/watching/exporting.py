"""The monitor's metrics, made once a process.

>>> measures = Measures()
>>> measures.looked(facts, broken=0)

What is not known is absent (or NaN where a series must stay), never 0: no data must not look like no drift.
"""

import math
from typing import Any

from prometheus_client import CollectorRegistry, Gauge, disable_created_metrics, generate_latest
from prometheus_client.process_collector import ProcessCollector

from monitoring import metrics

Json = dict[str, Any]


class Measures:
    def __init__(self) -> None:
        disable_created_metrics()  # type: ignore[no-untyped-call] # a second series for every one, which no dashboard reads
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        self.looks = metrics.begin(metrics.MONITOR_RUNS.on(self.registry), ("ok", "failed"))
        self.seen = metrics.MONITOR_SEEN.on(self.registry)
        self.seconds = metrics.MONITOR_SECONDS.on(self.registry)
        self.broken = metrics.begin(metrics.MONITOR_BROKEN.on(self.registry), ("segments",))
        self.age = metrics.MONITOR_DATA_AGE.on(self.registry)
        self.by_feature = {
            "distance": metrics.DRIFT_DISTANCE.on(self.registry),
            "limit": metrics.DRIFT_LIMIT.on(self.registry),
            "p_value": metrics.DRIFT_P.on(self.registry),
            "detected": metrics.DRIFT_DETECTED.on(self.registry),
        }
        self.events = metrics.DRIFT_EVENTS.on(self.registry)
        self.click_rate = metrics.CLICK_RATE.on(self.registry)
        self.baseline = metrics.CLICK_RATE_BASELINE.on(self.registry)
        self.dropped = metrics.CLICK_RATE_DROPPED.on(self.registry)
        self.mature = metrics.MATURE_LISTS.on(self.registry)
        self.exposure = {
            "gini": metrics.EXPOSURE_GINI.on(self.registry),
            "coverage": metrics.EXPOSURE_COVERAGE.on(self.registry),
            "explored": metrics.EXPLORATION_SHARE.on(self.registry),
        }
        self.counted_broken = 0

    def looked(self, facts: Json, broken: int) -> None:
        """After each look. A look with faults does not count as seen, so that a blind monitor is an alert."""
        self.looks.labels(outcome="failed" if facts["faults"] else "ok").inc()
        if not facts["faults"]:
            self.seen.set_to_current_time()  # the machine's: Prometheus compares it with its own
        self.seconds.set(facts["seconds"])
        self.broken.labels(kind="segments").inc(max(0, broken - self.counted_broken))
        self.counted_broken = broken
        for kind, age in facts["data_age_seconds"].items():
            self.age.labels(kind=kind).set(age)
        for gauge in (*self.by_feature.values(), self.events, self.click_rate):
            gauge.clear()
        for each in facts["drift"]:
            self._feature(each)
        quality = facts["quality"]
        for each in quality.get("variants", ()):
            self.click_rate.labels(variant=each["variant"], release=each["release"]).set(each["click_rate"])
        _set(self.baseline, quality.get("baseline"))
        _set(self.dropped, float(quality["dropped"]) if quality.get("change") is not None else None)
        self.mature.set(quality.get("lists") or 0)
        for name, gauge in self.exposure.items():
            _set(gauge, quality.get(name))

    def exposition(self) -> bytes:
        return generate_latest(self.registry)

    def _feature(self, each: Json) -> None:
        """A feature that could not be judged exports its rows and nothing else."""
        kinds = self.events.labels(kind=each["kind"])
        kinds.set(max(kinds._value.get(), each["events"]))
        if each["judged"]:
            for name, gauge in self.by_feature.items():
                gauge.labels(kind=each["kind"], feature=each["feature"]).set(float(each[name]))


def _set(gauge: Gauge, value: float | None) -> None:
    gauge.set(math.nan if value is None else value)
