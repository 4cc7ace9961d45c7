"""The engine's process: `everloop rollout run`.

>>> main(".everloop", Settings(), told=print, ready=lambda url: None)      # until SIGTERM

Predictors stay when it ends, and are found again by the next engine: replacing the engine costs no request. With
`stop_predictors` they end too, as a supervisor wants it at the very end.
"""

import contextlib
import signal
import threading
import time
from collections.abc import Callable, Iterator
from types import FrameType
from typing import TYPE_CHECKING, Any

from components.recsys.errors import EverloopError, StoreError
from components.recsys.home import Home
from components.recsys.lease import Fenced, Lease
from components.recsys.policy import gradual
from components.recsys.pulse import Pulse
from components.recsys.settings import Settings
from components.recsys.statuses import Statuses
from serving.logs import log
from serving.rollout.engine import Engine
from serving.rollout.measures import Measures, exported
from serving.rollout.predictors import LocalPredictors, Predictors, open_predictors
from serving.rollout.state import WISHES
from serving.rollout.targets import TargetsFile, targets_path

if TYPE_CHECKING:
    from serving.kserve.orders import Orders

Told = Callable[[str], None]
GLANCE_SECONDS = 0.25  # a new line in the ledger, or a wish, is seen within this time, whatever the interval
AWAY_SECONDS = 2.0  # the same for a home in object storage, where each look costs two requests
LOCK_SECONDS = 10.0
LEAD_SECONDS = 1.0  # between questions whether another engine still leads
TURN_SECONDS = 300.0  # a turn that takes longer hangs: the slowest reads a day of segments from a slow store


class Loop:
    """Turns, one after the other, until told to stop."""

    def __init__(
        self,
        home: Home,
        settings: Settings,
        measures: Measures,
        address: str = "",
        pulse: Pulse | None = None,
        lease: Lease | None = None,
    ) -> None:
        self.home, self.settings, self.measures, self.address = home, settings, measures, address
        self.pulse, self.lease = pulse or Pulse(TURN_SECONDS), lease
        self.predictors = open_predictors(home, settings)
        self.engine = Engine(home, settings, self.predictors)
        self.orders = orders_of(home, settings, self.predictors)
        self.statuses = Statuses(home.store)
        local = self.predictors if isinstance(self.predictors, LocalPredictors) else None
        self.targets = TargetsFile(targets_path(local.root)) if local else None  # who runs others scrapes them too
        self.stopping = threading.Event()
        self.glance_seconds = AWAY_SECONDS if home.local is None else GLANCE_SECONDS
        self.facts: dict[str, Any] = {"rollout": "", "guards": [], "predictors": []}

    def lead(self, told: Told = lambda text: None) -> bool:
        """Whether we may act; waits until we may. False when told to stop first."""
        waiting = False
        while not self.stopping.is_set():
            if self.lease is None or self.lease.held:
                return True
            self.pulse.beat()
            try:
                if self.lease.take():
                    # What another engine did meanwhile is in the home, not in our memory.
                    self.engine = Engine(self.home, self.settings, self.predictors)
                    self.orders = orders_of(self.home, self.settings, self.predictors)
                    return True
                if not waiting:
                    told(f"{self.lease.who()} leads on {self.home.url}; waiting for it to end")
                waiting = True
            except EverloopError as error:
                log("who leads cannot be found out", why=str(error))
            self.stopping.wait(LEAD_SECONDS)
        return False

    def run(self) -> None:
        while self.lead() and not self.stopping.is_set():
            before = self._glance()
            self.turn()
            deadline = time.monotonic() + self._interval()
            while (left := deadline - time.monotonic()) > 0 and not self.stopping.wait(min(self.glance_seconds, left)):
                self.pulse.beat()
                if self._glance() != before:
                    break

    def turn(self) -> None:
        """One turn, told to everybody; a fault is told too, and tried again."""
        self.pulse.beat()
        fault = ""
        try:
            if self.orders:
                self.orders.look()
                self.engine.named = self.orders.named
            self.facts = self.engine.turn()
            self.measures.take(self.facts, self.engine.ended, self.predictors.restarts)
            self.engine.ended.clear()
            self._tell_targets(self.facts)
            fault = self.facts.get("fault", "") or (self.orders.fault if self.orders else "")
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
        return min(wanted, self.glance_seconds) if starting else wanted

    def _glance(self) -> object:
        try:
            return len(self.home.store.list("ledger")), self.home.store.list(WISHES)
        except EverloopError:
            return None


@contextlib.contextmanager
def leased(home: Home) -> Iterator[Lease | None]:
    """What lets one engine act at a time on a home in object storage; None for a folder, which is locked already."""
    if home.local is not None:
        yield None
        return
    lease = Lease(home.store, "rollout")
    home.store = Fenced(home.store, lease)
    lease.start()
    try:
        yield lease
    finally:
        with contextlib.suppress(EverloopError):  # then it runs out
            lease.give_back()


def orders_of(home: Home, settings: Settings, predictors: Predictors) -> "Orders | None":
    """Where git says which releases lead and are tried; None where nobody but the engine does."""
    if settings.rollout.predictors != "kserve" or settings.rollout.kserve != "follow":
        return None
    from serving.kserve.orders import Orders
    from serving.kserve.predictors import KServePredictors

    assert isinstance(predictors, KServePredictors)
    return Orders(home, predictors.api)


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
        leased(place) as lease,
    ):
        loop = Loop(place, settings, measures, url, pulse, lease)

        def stop(sign: int, frame: FrameType | None) -> None:
            loop.stopping.set()

        for sign in (signal.SIGTERM, signal.SIGINT):
            signal.signal(sign, stop)
        if not loop.lead(told):
            return 0
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
