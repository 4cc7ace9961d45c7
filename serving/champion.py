"""Follows the ledger: whenever the champion changes, the new release is verified, loaded, warmed up and handed over.

>>> follower = Follower(home, settings.serving, history, measures, take=service.take)
>>> follower.start()

All of it happens in a thread beside the server, so requests go on; a release that fails verification is refused and the
one before serves on.
"""

import threading
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import polars as pl

from components.recsys.errors import EverloopError, Refused
from components.recsys.home import Home
from components.recsys.ledger import MOVES, Ledger
from components.recsys.release import SHORT, Release, load, releases_of
from components.recsys.settings import ServingSettings
from serving.asks import Ask
from serving.history import History
from serving.logs import log
from serving.measures import Measures
from serving.predictor import Predictor, Prepared

MOST_PATIENCE = 60.0  # seconds between tries of a release that could not be loaded


class Follower:
    """The thread that asks the ledger. `take` gets every predictor that is ready to serve."""

    def __init__(
        self,
        home: Home,
        settings: ServingSettings,
        history: History,
        measures: Measures,
        take: Callable[[Predictor], None],
    ) -> None:
        self.home, self.settings, self.history, self.measures, self.take = home, settings, history, measures, take
        self.serving = ""  # the digest that answers
        self.seen = -1  # ledger entries at the last look
        self.champions: list[str] = []  # releases that led, the newest first
        self.patience, self.again = settings.poll_seconds, 0.0
        self.fault = ""
        self.stopping = threading.Event()
        self.thread = threading.Thread(target=self._follow, name="champion", daemon=True)

    def start(self) -> None:
        self.thread.start()

    def stop(self) -> None:
        self.stopping.set()
        if self.thread.is_alive():
            self.thread.join(timeout=5)

    def _follow(self) -> None:
        while not self.stopping.wait(self.settings.poll_seconds):
            self.look()

    def look(self) -> None:
        """Read the ledger if it grew, and take over the champion if it is not the one that serves."""
        try:
            entries = len(self.home.store.list("ledger"))
            if entries != self.seen:
                self.champions = champions(self.home)
                self.seen, self.again = entries, 0.0
            self.measures.ledger_seen.set_to_current_time()
            self._tell("")
        except EverloopError as error:
            self._tell(str(error))
        if self.champions and self.champions[0] != self.serving and time.monotonic() >= self.again:
            self._change()

    def _change(self) -> None:
        """The champion, or while nothing serves yet the newest earlier one that is whole."""
        for digest in self.champions if not self.serving else self.champions[:1]:
            try:
                release = load(releases_of(self.home), digest)
                self._seed(release)
                predictor = warm(Predictor(release))
            except EverloopError as error:
                self._refuse(digest, str(error))
            except Exception as error:  # noqa: BLE001 - whatever a broken release does to a parser, the old one serves on
                self._refuse(digest, f"{type(error).__name__}: {error}")
            else:
                self.serving = digest
                if digest == self.champions[0]:
                    self.patience = self.settings.poll_seconds
                self.take(predictor)
                return

    def _refuse(self, digest: str, why: str) -> None:
        self.measures.refused.inc()
        self.patience = min(2 * self.patience, MOST_PATIENCE)
        self.again = time.monotonic() + self.patience
        on = f"release {self.serving[:SHORT]} serves on" if self.serving else "nothing serves yet"
        log("release refused", release=digest, why=why, now=on)

    def _seed(self, release: Release) -> None:
        """Histories as of the release's data version. Lists are worse without, so a fault is told and counted."""
        try:
            seed(self.home, release, self.history)
        except EverloopError as error:
            self.measures.history_errors.labels(operation="seed").inc()
            log("histories not brought up to the release's data", release=release.digest, why=str(error))

    def _tell(self, fault: str) -> None:
        if fault and fault != self.fault:
            log(
                "the ledger cannot be read",
                why=fault,
                now=f"release {self.serving[:SHORT]} serves on" if self.serving else "nothing serves yet",
            )
        self.fault = fault


def champions(home: Home) -> list[str]:
    """Every release that led, the present champion first, each once."""
    return list(dict.fromkeys(entry.champion for entry in reversed(Ledger(home).entries()) if entry.action in MOVES))


def seed(home: Home, release: Release, history: History) -> None:
    """Give the online history the event table as the release saw it. Raises EverloopError."""
    data: dict[str, Any] = release.manifest.get("data") or {}
    versions: dict[str, Any] = release.manifest.get("data_version") or {}
    if not data.get("events") or versions.get("events") is None or history.seeded() >= int(versions["events"]):
        return
    history.seed(events_of(home, data, versions), int(versions["events"]))


def events_of(home: Home, data: dict[str, Any], versions: dict[str, Any]) -> pl.DataFrame:
    from components.recsys.events import read_events  # deltalake takes a second to import; a model directory needs none

    version = {kind: {**part, "version": versions.get(kind)} if part else None for kind, part in data.items()}
    return read_events(home, version)


def warm(predictor: Predictor) -> Predictor:
    """Answer once with and without a history: no client pays for first calls; a model that cannot is refused."""
    if len(predictor.ids):
        past = np.zeros(1, np.int32), np.ones(1, np.float32)
        for some in ([past], [past, past]):  # alone and in a batch
            for scores in predictor.scores(some):
                if scores is None:
                    raise Refused(f"release {predictor.short}: the model cannot score its own first item")
                predictor.recommend(Prepared(Ask(), past), scores)
        predictor.popular(Prepared(Ask(), past))
    return predictor
