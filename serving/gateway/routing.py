"""Follows the routes: who answers with which share, and beside that the release behind the gateway's own list.

>>> routing = Routing(home, settings, history, measures)
>>> routing.look(); routing.start()
>>> routing.routes.share
0.05

One thread reads the routes every `gateway.poll_seconds` and keeps the last that could be read. Another takes over a new
champion's histories and popularity, which may take a while, so that a change of the routes never waits for it.
"""

import threading
import time
from collections.abc import Callable

from components.recsys.errors import EverloopError
from components.recsys.home import Home
from components.recsys.release import SHORT, Release, load, releases_of
from components.recsys.routes import Routes
from components.recsys.settings import GatewaySettings
from serving.champion import MOST_PATIENCE, champions, seed
from serving.gateway.lastresort import LastResort
from serving.gateway.measures import Measures
from serving.history import History
from serving.logs import log


class Routing:
    """routes, last: replaced as a whole, so a request that holds one sees no half. seeded: called when histories are new."""

    def __init__(
        self,
        home: Home,
        settings: GatewaySettings,
        history: History,
        measures: Measures,
    ) -> None:
        self.home, self.settings, self.history, self.measures = home, settings, history, measures
        self.seeded: Callable[[], None] = lambda: None
        self.routes: Routes | None = None
        self.last: LastResort | None = None
        self.read_at: float | None = None  # monotonic seconds
        self.fault = ""
        self.patience, self.refused = settings.poll_seconds, ""
        self.stopping, self.changed = threading.Event(), threading.Event()
        self.threads = [
            threading.Thread(target=self._follow, name="routes", daemon=True),
            threading.Thread(target=self._prepare, name="last-resort", daemon=True),
        ]

    def start(self) -> None:
        for thread in self.threads:
            thread.start()

    def stop(self) -> None:
        self.stopping.set()
        self.changed.set()
        for thread in self.threads:
            if thread.is_alive():
                thread.join(timeout=5)

    def age(self) -> float | None:
        """Seconds since the routes were read without a fault; None for never."""
        return None if self.read_at is None else round(time.monotonic() - self.read_at, 3)

    def look(self) -> None:
        """Read the routes; what cannot be read changes nothing."""
        try:
            routes = Routes.read(self.home.store)
        except EverloopError as error:
            if str(error) != self.fault:
                log("the routes cannot be read; the last that were read hold", why=str(error))
            self.fault = str(error)
            return
        self.fault, self.read_at = "", time.monotonic()
        self.measures.routes_read.set_to_current_time()
        if routes is None or routes == self.routes:
            return  # routes do not vanish: whoever removed them did not mean that nobody answers
        self.routes = routes
        self.measures.routed(routes)
        self.changed.set()
        log(
            "routes changed",
            epoch=routes.epoch,
            champion=routes.champion and routes.champion.release[:SHORT],
            candidate=routes.candidate and routes.candidate.release[:SHORT],
            share=routes.share,
            mirror=routes.mirror,
        )

    def prepare(self) -> None:
        """Take over the champion's data and popularity, if they are not there yet; or else the next best release's."""
        wanted = self._wanted()
        if not wanted or (self.last and self.last.digest == wanted[0]):
            return
        for digest in wanted if self.last is None else wanted[:1]:
            try:
                release = load(releases_of(self.home), digest)
                self._seed(release)
                self.last = LastResort(release)
            except Exception as error:  # noqa: BLE001 - whatever a broken release does to a parser, requests are answered
                self._tell(digest, str(error) or type(error).__name__)
            else:
                self.refused = ""
                return
        self.patience = min(2 * self.patience, MOST_PATIENCE)

    def _wanted(self) -> list[str]:
        """Releases to list from, the best first. Before the routes name one: what the ledger says."""
        routes = self.routes
        named = [target.release for target in (routes.champion, routes.candidate) if target] if routes else []
        if named or self.last:
            return named
        try:
            return champions(self.home)
        except EverloopError:
            return []

    def _seed(self, release: Release) -> None:
        """Histories as of the release's data version. Lists are worse without, so a fault is told and counted."""
        try:
            seed(self.home, release, self.history)
            self.seeded()
        except EverloopError as error:
            self.measures.history_errors.labels(operation="seed").inc()
            log("histories not brought up to the release's data", release=release.digest, why=str(error))

    def _tell(self, digest: str, why: str) -> None:
        if digest != self.refused:
            now = f"release {self.last.digest[:SHORT]} stands in" if self.last else "there is no list of our own yet"
            log("no popularity from a release", release=digest, why=why, now=now)
        self.refused = digest

    def _follow(self) -> None:
        while not self.stopping.wait(self.settings.poll_seconds):
            self.look()

    def _prepare(self) -> None:
        while not self.stopping.is_set():
            if self.changed.wait(self.patience):
                self.patience = self.settings.poll_seconds
                self.changed.clear()
            if not self.stopping.is_set():
                self.prepare()
