"""The engine's process: `everloop rollout run`.

>>> main(".everloop", Settings(), told=print, ready=lambda url: None)      # until SIGTERM

Predictors stay when it ends, and are found again by the next engine: replacing the engine costs no request. With
`stop_predictors` they end too, as a supervisor wants it at the very end.
"""

import signal
import threading
import time
from collections.abc import Callable
from types import FrameType
from typing import Any

from components.recsys.errors import EverloopError, StoreError
from components.recsys.home import Home
from components.recsys.policy import gradual
from components.recsys.pulse import Pulse
from components.recsys.settings import Settings
from components.recsys.statuses import Statuses
from serving.logs import log
from serving.rollout.engine import Engine
from serving.rollout.measures import Measures, exported
from serving.rollout.predictors import LocalPredictors, open_predictors
from serving.rollout.state import WISHES
from serving.rollout.targets import TargetsFile, targets_path

Told = Callable[[str], None]
GLANCE_SECONDS = 0.25  # a new line in the ledger, or a wish, is seen within this time, whatever the interval
LOCK_SECONDS = 10.0
TURN_SECONDS = 300.0  # a turn that takes longer hangs: the slowest reads a day of segments from a slow store


class Loop:
    """Turns, one after the other, until told to stop."""

    def __init__(
        self, home: Home, settings: Settings, measures: Measures, address: str = "", pulse: Pulse | None = None
    ) -> None:
        self.home, self.settings, self.measures, self.address = home, settings, measures, address
        self.pulse = pulse or Pulse(TURN_SECONDS)
        self.predictors = open_predictors(home, settings)
        self.engine = Engine(home, settings, self.predictors)
        self.statuses = Statuses(home.store)
        local = self.predictors if isinstance(self.predictors, LocalPredictors) else None
        self.targets = TargetsFile(targets_path(local.root)) if local else None  # who runs others scrapes them too
        self.stopping = threading.Event()
        self.facts: dict[str, Any] = {"rollout": "", "guards": [], "predictors": []}

    def run(self) -> None:
        while not self.stopping.is_set():
            before = self._glance()
            self.turn()
            deadline = time.monotonic() + self._interval()
            while time.monotonic() < deadline and not self.stopping.wait(GLANCE_SECONDS):
                self.pulse.beat()
                if self._glance() != before:
                    break

    def turn(self) -> None:
        """One turn, told to everybody; a fault is told too, and tried again."""
        self.pulse.beat()
        fault = ""
        try:
            self.facts = self.engine.turn()
            self.measures.take(self.facts, self.engine.ended, self.predictors.restarts)
            self.engine.ended.clear()
            self._tell_targets(self.facts)
            fault = self.facts.get("fault", "")
        except (EverloopError, OSError) as error:  # OSError: a full disk, on which predictors serve on
            fault = str(error)
            log("a turn failed and is tried again", why=fault)
        try:
            self.statuses.write("rollout", {**self.facts, "fault": fault, "metrics": self.address})
        except EverloopError as error:
            log("the status could not be written", why=str(error))

    def stop_predictors(self) -> None:
        """End them all, and say that there is nothing to scrape any more."""
        self.predictors.stop_all()
        self._tell_targets({**self.facts, "predictors": self.predictors.facts()})

    def _tell_targets(self, facts: dict[str, Any]) -> None:
        try:
            if self.targets and self.targets.write(facts):
                log("addresses to scrape", path=str(self.targets.path))
        except StoreError as error:
            log("the addresses to scrape could not be written", why=str(error))

    def _interval(self) -> float:
        """Short while a predictor starts: people wait for it."""
        wanted = self.settings.rollout.interval_seconds
        starting = any(one["state"] in ("starting", "crashed") for one in self.predictors.facts())
        return min(wanted, GLANCE_SECONDS) if starting else wanted

    def _glance(self) -> object:
        try:
            return len(self.home.store.list("ledger")), self.home.store.list(WISHES)
        except EverloopError:
            return None


def main(
    home: str,
    settings: Settings,
    told: Told = print,
    ready: Told = lambda url: None,
    stop_predictors: bool = False,
) -> int:
    """Run until SIGTERM or SIGINT; returns the exit code. Raises InputError or StoreError at the start.

    ready: called once with the URL of the metrics, when the first turn is done.
    """
    place = Home(home)
    measures, pulse = Measures(), Pulse(TURN_SECONDS)
    with (
        place.lock("rollout", LOCK_SECONDS, told),
        exported(measures, pulse, settings.rollout.host, settings.rollout.port) as url,
    ):
        loop = Loop(place, settings, measures, url, pulse)

        def stop(sign: int, frame: FrameType | None) -> None:
            loop.stopping.set()

        for sign in (signal.SIGTERM, signal.SIGINT):
            signal.signal(sign, stop)
        if not gradual(place.store):
            told(
                "releases of this home go out at once; `everloop up` makes them gradual, `everloop rollout start` does one"
            )
        loop.turn()
        ready(url)
        told(f"following the ledger of {place.url}; metrics at {url}/metrics")
        loop.run()
        if stop_predictors:
            loop.stop_predictors()
    told("stopped" if stop_predictors else "stopped; predictors serve on")
    return 0
