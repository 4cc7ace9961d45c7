"""Six hours of a loop, made up: plausible series of every metric, for previews and for tests of every panel's query.

>>> story(end=1_800_000_000.0)['everloop_gateway_lists_total{variant="champion",release="9f2c41d07a3e"}'][-1]
(1800000000.0, 531200.0)

People turn to economy flights after an hour and a half; an alert asks for a run, the new release goes out to 5, 25 and
100 %, clicks come back. Later the sink of the log is away for twenty minutes.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from monitoring import metrics as m
from monitoring.rules.rule import MODEL
from monitoring.rules.slo import FRESH

Array = npt.NDArray[np.float64]
Story = dict[str, list[tuple[float, float]]]

HOURS, STEP = 6.0, 30.0
OLD, NEW = "9f2c41d07a3e", "d41b7c3357f0"
SHIFT, SEEN, RUN, TRAINED = 1.5, 2.0, 2.1, 2.35
STEPS = ((2.4, 0.05), (3.0, 0.25), (3.7, 1.0))
PROMOTED, STEADY, AWAY, BACK = 4.2, 4.8, 5.0, 5.33
FEATURES = {  # kind and feature: distance before, distance after the shift
    ("data", "organic.class"): (0.05, 0.31),
    ("data", "organic.budget"): (0.06, 0.22),
    ("data", "organic.month"): (0.04, 0.06),
    ("prediction", "shown.class"): (0.03, 0.12),
    ("prediction", "score"): (0.05, 0.075),
    ("embedding", "items"): (0.02, 0.07),
}


def story(end: float, hours: float = HOURS) -> Story:
    """hours: how much of the end is given."""
    teller = _Teller(end)
    for part in (_people, _predictors, _log, _drift, _quality, _controller, _rollout, _health):
        part(teller)
    first = end - hours * 3600
    return {name: [(t, v) for t, v in samples if t >= first] for name, samples in teller.series.items()}


class _Teller:
    """t: hours since the beginning, one a sample. lists: lists a second."""

    def __init__(self, end: float) -> None:
        self.t = np.arange(0, HOURS * 3600 + STEP, STEP) / 3600
        self.times = end - (HOURS - self.t) * 3600
        self.random = np.random.default_rng(7)
        self.lists = 24 + 8 * np.sin(self.t * np.pi / 4) + self.noise(0.8)
        self.share = np.zeros_like(self.t)
        for start, share in STEPS:
            self.share[(self.t >= start) & (self.t < PROMOTED)] = share
        self.series: Story = {}

    def noise(self, size: float) -> Array:
        return self.random.normal(0, size, len(self.t))

    def between(self, start: float, end: float) -> Array:
        return ((self.t >= start) & (self.t < end)).astype(float)

    def gauge(self, metric: object, values: Array | float, **labels: str) -> None:
        """NaN stands for no sample."""
        spelled = (f'{key}="{value}"' for key, value in labels.items())
        name = f"{metric}{{{','.join(spelled)}}}"
        pairs = zip(self.times, np.broadcast_to(values, self.t.shape), strict=True)
        self.series[name] = [(float(moment), float(value)) for moment, value in pairs if not np.isnan(value)]

    def counter(self, metric: object, rate: Array | float, **labels: str) -> None:
        """rate: events a second."""
        counts = np.floor(np.cumsum(np.broadcast_to(np.maximum(rate, 0), self.t.shape)) * STEP)
        self.gauge(metric, counts, **labels)

    def histogram(self, metric: m.Metric[Any], rate: Array, seconds: Array | float, **labels: str) -> None:
        """Answers log-normally around `seconds`."""
        below: Callable[[float], Array] = lambda bound: 1 / (1 + (seconds / bound) ** 3.2)  # noqa: E731
        for bound in metric.buckets:
            self.counter(f"{metric}_bucket", rate * below(bound), **labels, le=f"{bound:g}")
        for end, pace in (("_bucket", rate), ("_count", rate), ("_sum", rate * seconds)):
            self.counter(f"{metric}{end}", pace, **labels, **({"le": "+Inf"} if end == "_bucket" else {}))


def _people(s: _Teller) -> None:
    gateway = {"job": "gateway", "instance": "gateway-0"}
    after = (s.t >= PROMOTED).astype(float)
    by = {
        ("champion", OLD): s.lists * (1 - s.share) * (1 - after),
        ("champion", NEW): s.lists * after,
        ("candidate", NEW): s.lists * s.share,
    }
    for (variant, release), rate in by.items():
        s.counter(m.GATEWAY_LISTS, rate, variant=variant, release=release, **gateway)
    for variant, rate in (("champion", s.lists * (1 - s.share)), ("candidate", s.lists * s.share)):
        s.histogram(m.GATEWAY_SECONDS, rate, 0.0035 + np.abs(s.noise(0.0002)), variant=variant, **gateway)
        s.counter(m.GATEWAY_SHORT, rate * 0.004, variant=variant, **gateway)
        s.counter(m.GATEWAY_EXPLORED, rate * 0.05, variant=variant, **gateway)
        s.gauge(m.ROUTE_SHARE, s.share if variant == "candidate" else 1 - s.share, variant=variant, **gateway)
    s.counter(m.GATEWAY_FAILED, 0.05 * s.between(3.2, 3.25), variant="candidate", reason="timeout", **gateway)
    s.counter(
        m.GATEWAY_FALLBACKS, s.lists * (0.02 + s.noise(0.002)), variant="champion", reason="no_history", **gateway
    )
    s.counter(m.GATEWAY_FALLBACKS, s.lists * 0.001, variant="champion", reason="no_predictor", **gateway)
    for endpoint, share, code in (("predict", 1.0, "200"), ("events", 0.3, "200"), ("predict", 0.004, "400")):
        s.counter(m.REQUESTS, s.lists * share, endpoint=endpoint, code=code, **gateway)
    s.counter(m.REQUESTS, 0.02 * s.between(3.2, 3.25), endpoint="predict", code="500", **gateway)
    for outcome, share in (("accepted", 0.3), ("duplicate", 0.01), ("refused", 0.002)):
        s.counter(m.EVENTS, s.lists * share, outcome=outcome, **gateway)
    s.counter(m.HISTORY_ERRORS, 0.001 * s.between(4.9, 5.0), operation="write", **gateway)
    s.counter(m.CUT_OFF, 0.002, reason="idle", **gateway)
    s.counter(m.SHADOW_LISTS, s.lists * s.between(2.4, 2.6), outcome="answered", **gateway)
    s.gauge(m.USERS_CACHED, 4000 + 100 * s.t, **gateway)
    s.gauge(m.READY, 1.0, **gateway)
    s.gauge(m.ROUTES_READ, s.times - np.abs(s.noise(0.2)), **gateway)


def _predictors(s: _Teller) -> None:
    for release, variant, rate in (
        (OLD, "champion", s.lists * (1 - s.share) * (s.t < PROMOTED)),
        (NEW, "candidate", s.lists * np.maximum(s.share, s.t >= PROMOTED)),
    ):
        where = {"job": "predictor", "instance": release}
        s.counter(m.LISTS, rate, model="ease", release=release, variant=variant, **where)
        s.histogram(m.REQUEST_SECONDS, rate, 0.0011, endpoint="predict", **where)
        s.counter(m.FALLBACKS, rate * 0.02, reason="no_history", **where)
        s.counter(m.SHORT_LISTS, rate * 0.004, **where)
        s.gauge(m.READY, 1.0, **where)
        here = np.where((s.t >= 2.4) if release == NEW else (s.t < PROMOTED + 0.3), 1.0, np.nan)
        s.gauge(m.RELEASE_INFO, here, model="ease", release=release, **where)
        s.gauge(m.RELEASE_SINCE, s.times[0] + (2.4 if release == NEW else -40) * 3600, **where)
        s.counter(m.SWAPS, s.between(PROMOTED, PROMOTED + 2 * STEP / 3600) / STEP / 2, **where)
        s.counter(m.REFUSED, 0.0, **where)
        s.gauge(m.LEDGER_SEEN, s.times - np.abs(s.noise(0.5)), **where)
        s.gauge(m.USERS_CACHED, 2500 + 80 * s.t, **where)


def _log(s: _Teller) -> None:
    gateway = {"job": "gateway", "instance": "gateway-0"}
    away = s.between(AWAY, BACK)
    s.counter(m.LOG_RECORDS, s.lists, outcome="spooled", **gateway)
    for outcome in ("dropped_memory", "dropped_spool", "dropped_disk"):
        s.counter(m.LOG_RECORDS, 0.0, outcome=outcome, **gateway)
    s.counter(m.LOG_UPLOADS, 0.2 * (1 - away), outcome="ok", **gateway)
    s.counter(m.LOG_UPLOADS, 0.05 * away, outcome="failed", **gateway)
    waiting = np.where(away > 0, (s.t - AWAY) * 3600 * 24 * 420, 40_000 + np.abs(s.noise(15_000)))
    s.gauge(m.LOG_SPOOL_BYTES, waiting, **gateway)
    last = np.where(away > 0, s.times[np.searchsorted(s.t, AWAY)], s.times)
    s.gauge(m.LOG_UPLOADED, last - np.abs(s.noise(1)), **gateway)
    s.counter(m.EVENTS_EXPORTED, s.lists * 0.3 * (1 - away), **gateway)
    s.counter(m.EVENT_EXPORT_FAILED, 0.03 * away, **gateway)
    s.gauge(m.EVENT_EXPORT_SEEN, last - np.abs(s.noise(1)), **gateway)


def _drift(s: _Teller) -> None:
    monitor = {"job": "monitor", "instance": "monitor-0"}
    moved = np.clip((s.t - SHIFT) / (SEEN - SHIFT), 0, 1) * np.clip((STEADY + 0.4 - s.t) / 0.8, 0, 1)
    for (kind, feature), (before, after) in FEATURES.items():
        labels = {"kind": kind, "feature": feature, **monitor}
        distance = before + (after - before) * moved + np.abs(s.noise(0.003))
        limit = 0.05 if kind == "embedding" else 0.1
        s.gauge(m.DRIFT_DISTANCE, distance, **labels)
        s.gauge(m.DRIFT_LIMIT, limit, **labels)
        s.gauge(m.DRIFT_P, np.where(distance > limit, 0.0005, 0.4 + s.noise(0.03)).clip(0, 1), **labels)
        s.gauge(m.DRIFT_DETECTED, (distance > limit).astype(float), **labels)
    for kind, rows in (("data", 5200), ("prediction", 41_000), ("embedding", 5200)):
        s.gauge(m.DRIFT_EVENTS, rows + rows * 0.02 * np.sin(s.t), kind=kind, **monitor)
    s.counter(m.MONITOR_RUNS, 1 / 30, outcome="ok", **monitor)
    s.counter(m.MONITOR_BROKEN, 0.0, kind="segments", **monitor)
    s.gauge(m.MONITOR_SEEN, s.times - 15 - np.abs(s.noise(4)), **monitor)
    s.gauge(m.MONITOR_SECONDS, 1.4 + np.abs(s.noise(0.2)), **monitor)
    away = s.between(AWAY, BACK) * (s.t - AWAY) * 3600
    for kind in ("events", "lists"):
        s.gauge(m.MONITOR_DATA_AGE, 20 + away + np.abs(s.noise(5)), kind=kind, **monitor)
    s.gauge(FRESH, 1.0)


def _quality(s: _Teller) -> None:
    monitor = {"job": "monitor", "instance": "monitor-0"}
    fallen = np.clip((s.t - SHIFT) / 0.8, 0, 1) * 0.035
    back = s.t >= PROMOTED
    old = np.where(back, np.nan, 0.12 - fallen + s.noise(0.0008))
    new = 0.119 + s.noise(0.0012)
    s.gauge(m.CLICK_RATE, old, variant="champion", release=OLD, **monitor)
    s.gauge(m.CLICK_RATE, np.where((s.t >= 2.6) & ~back, new, np.nan), variant="candidate", release=NEW, **monitor)
    s.gauge(m.CLICK_RATE, np.where(back, new, np.nan), variant="champion", release=NEW, **monitor)
    s.gauge(m.CLICK_RATE_BASELINE, 0.12, **monitor)
    s.gauge(m.CLICK_RATE_DROPPED, s.between(2.2, PROMOTED), **monitor)
    s.gauge(m.MATURE_LISTS, 38_000 + 1500 * np.sin(s.t), **monitor)
    s.gauge(m.EXPOSURE_GINI, 0.71 + 0.05 * s.between(SHIFT, PROMOTED) + s.noise(0.004), **monitor)
    s.gauge(m.EXPOSURE_COVERAGE, 0.62 - 0.06 * s.between(SHIFT, PROMOTED) + s.noise(0.004), **monitor)
    s.gauge(m.EXPLORATION_SHARE, 0.05 + s.noise(0.002), **monitor)


def _controller(s: _Teller) -> None:
    controller = {"job": "controller", "instance": "controller-0"}
    firing = s.between(SEEN + 0.08, STEADY)
    for outcome, rate in (("accepted", firing / 600), ("unauthorized", 0.0), ("unavailable", 0.0)):
        s.counter(m.WEBHOOKS, rate, outcome=outcome, **controller)
    s.counter(m.TRIGGERS, s.between(RUN, RUN + 0.0125) / 45, outcome="admitted", reason="drift", **controller)
    s.counter(m.TRIGGERS, s.between(RUN + 0.05, STEADY) / 600, outcome="suppressed", reason="cooldown", **controller)
    for outcome, count in (("approved", 1), ("rejected", 0), ("failed", 0)):
        s.counter(m.RETRAIN_RUNS, count * s.between(TRAINED, TRAINED + 0.0125) / 45, outcome=outcome, **controller)
    s.gauge(m.RETRAIN_ACTIVE, s.between(RUN, TRAINED), **controller)
    for reason in ("person", "breaker"):
        s.gauge(m.RETRAIN_PAUSED, 0.0, reason=reason, **controller)
    last = np.where(s.t < TRAINED, s.times[0] - 6 * 86_400, s.times[np.searchsorted(s.t, TRAINED)])
    s.gauge(m.RETRAIN_LAST, last, **controller)
    s.gauge(m.CONTROLLER_SEEN, s.times - np.abs(s.noise(0.5)), **controller)
    s.gauge(m.DATA_QUALITY_FAILED, 0.0, **controller)


def _rollout(s: _Teller) -> None:
    rollout = {"job": "rollout", "instance": "rollout-0"}
    active = s.between(STEPS[0][0], PROMOTED)
    s.gauge(m.ROLLOUT_ACTIVE, active, **rollout)
    s.gauge(m.ROLLOUT_SHARE, s.share, **rollout)
    s.gauge(m.ROLLOUT_OBSERVED, np.clip(s.share + s.noise(0.006) * active, 0, 1), **rollout)
    for guard, passes in (
        ("errors", 2.5),
        ("latency", 2.5),
        ("fallback", 2.7),
        ("clicks", 3.3),
        ("coverage", 2.6),
        ("split", 2.6),
    ):
        state = np.where(active > 0, (s.t >= passes).astype(float), np.nan)
        s.gauge(m.ROLLOUT_GUARD, state, guard=guard, **rollout)
    s.counter(m.ROLLOUTS, s.between(PROMOTED, PROMOTED + 0.0125) / 45, outcome="promoted", reason="", **rollout)
    s.counter(m.ROLLOUTS, 0.0, outcome="aborted", reason="clicks", **rollout)
    s.gauge(m.ROLLOUT_SEEN, s.times - np.abs(s.noise(1)), **rollout)
    for variant, count in (("champion", 1.0 + 0 * s.t), ("candidate", active)):
        s.gauge(m.PREDICTORS, count, variant=variant, **rollout)
    s.counter(m.PREDICTOR_RESTARTS, 0.0, **rollout)


def _health(s: _Teller) -> None:
    """What Prometheus itself writes of the alerts."""
    for name, start, end, severity in (
        ("DriftDetected", SEEN + 0.08, STEADY, "ticket"),
        ("QualityDropped", 2.3, PROMOTED + 0.05, "ticket"),
        ("LogNotUploading", AWAY + 0.18, BACK, "ticket"),
    ):
        present = np.where(s.between(start, end) > 0, 1.0, np.nan)
        s.gauge("ALERTS", present, alertname=name, alertstate="firing", model=MODEL, severity=severity)
