"""The engine's metrics, over HTTP.

>>> with exported(Measures(), Pulse(300), host="127.0.0.1", port=0) as url:
...     ...                                                     # GET {url}/metrics, {url}/healthz
"""

import contextlib
import time
from collections import Counter
from collections.abc import Iterator
from typing import Any

from prometheus_client import CollectorRegistry, disable_created_metrics, make_wsgi_app
from prometheus_client.process_collector import ProcessCollector

from components.recsys.errors import InputError
from components.recsys.pulse import Pulse, answering
from monitoring import metrics
from serving.rollout.state import ENDED
from serving.rollout.targets import VARIANTS, variant_of

# Why rollouts are taken back: what a guard may break over, and what the engine does by itself or for a person.
GUARDS = ("errors", "latency", "fallback", "clicks", "coverage", "split", "shadow")
REASONS = (*GUARDS, "champion", "deadline", "interrupted", "person", "release")
STATES = {"undecided": 0, "passes": 1, "broken": 2}


class Measures:
    def __init__(self) -> None:
        disable_created_metrics()  # type: ignore[no-untyped-call] # a second series for every one, which no dashboard reads
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        self.active = metrics.ROLLOUT_ACTIVE.on(self.registry)
        self.share = metrics.ROLLOUT_SHARE.on(self.registry)
        self.observed = metrics.ROLLOUT_OBSERVED.on(self.registry)
        self.guard = metrics.ROLLOUT_GUARD.on(self.registry)
        self.ended = metrics.begin(metrics.ROLLOUTS.on(self.registry), ("aborted",), REASONS)
        metrics.begin(self.ended, ("promoted",), ("",))
        self.seen = metrics.ROLLOUT_SEEN.on(self.registry)
        self.predictors = metrics.PREDICTORS.on(self.registry)
        self.restarts = metrics.PREDICTOR_RESTARTS.on(self.registry)
        self.restarts_told = 0

    def take(self, facts: dict[str, Any], ended: list[tuple[str, str]], restarts: int) -> None:
        """What a turn came to. facts: as `Engine.turn` gives them."""
        active = bool(facts["rollout"]) and facts["state"] not in ENDED
        self.active.set(active)
        self.share.set(facts["share"])
        self.guard.clear()
        self.observed.set(0)
        if active:
            for verdict in facts["guards"]:
                self.guard.labels(guard=verdict["guard"]).set(STATES[verdict["state"]])
                if verdict["guard"] == "split":
                    self.observed.set(verdict["figures"]["observed"] or 0)
        ready = Counter(variant_of(one["release"], facts) for one in facts["predictors"] if one["state"] == "ready")
        for variant in VARIANTS:
            self.predictors.labels(variant=variant).set(ready[variant])
        for outcome, reason in ended:
            self.ended.labels(outcome=outcome, reason=reason).inc()
        self.restarts.inc(restarts - self.restarts_told)
        self.restarts_told = restarts
        self.seen.set(time.time())


@contextlib.contextmanager
def exported(measures: Measures, pulse: Pulse, host: str, port: int) -> Iterator[str]:
    """The metrics at a URL for as long as the block lasts. Raises InputError when the address is taken."""
    with contextlib.ExitStack() as ends:
        try:
            url = ends.enter_context(answering(make_wsgi_app(measures.registry), pulse, host, port))
        except OSError as error:
            raise InputError(
                f"cannot listen on {host}:{port} ({error.strerror}); choose another with --set rollout.port=PORT, 0 takes a free one"
            ) from None
        yield url
