"""Two rollout engines on one home in object storage, as a rolling update of a Deployment makes them by accident."""

import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from components.recsys.home import Home
from components.recsys.lease import Fenced, Lease
from components.recsys.ledger import Ledger
from components.recsys.routes import Routes
from components.recsys.statuses import Statuses
from serving.rollout import engine as engines
from serving.rollout import server
from serving.rollout.measures import Measures
from serving.rollout.server import Loop
from serving.rollout.state import Rollouts

A, B = "a" * 64, "b" * 64
SECONDS = 1.5  # of the lease


@pytest.fixture(autouse=True)
def _quickly(monkeypatch: pytest.MonkeyPatch, elsewhere: Any) -> None:
    monkeypatch.setattr(engines, "verify", lambda store, digest: ({}, {}))
    monkeypatch.setattr(server, "open_predictors", lambda home, settings: elsewhere)
    monkeypatch.setattr(server, "LEAD_SECONDS", 0.05)


class Engine:
    """One engine's process, as a thread: its own home, lease and loop."""

    def __init__(self, url: str, settings: Any) -> None:
        self.home = Home(url)
        self.lease = Lease(self.home.store, "rollout", SECONDS)
        self.home.store = Fenced(self.home.store, self.lease)
        self.loop = Loop(self.home, settings, Measures(), lease=self.lease)
        self.thread = threading.Thread(target=self.loop.run)

    def start(self) -> "Engine":
        self.lease.start()
        self.thread.start()
        return self

    def freeze(self) -> None:
        """As a process that is stopped, or a machine that swaps: it neither beats nor turns, and does not know."""
        self.lease.stopping.set()
        self.loop.stopping.set()
        self.thread.join(5)

    def end(self) -> None:
        self.loop.stopping.set()
        self.thread.join(5)
        self.lease.give_back()


@pytest.fixture
def settings(quick: Callable[..., Any]) -> Any:
    return quick(interval_seconds=0.1)


@pytest.fixture
def home(s3_url: str) -> Home:
    made = Home(s3_url)
    Ledger(made).append("promote", A, "the first")
    return made


@pytest.fixture
def start(home: Home, settings: Any) -> Iterator[Callable[[], Engine]]:
    running: list[Engine] = []

    def one() -> Engine:
        running.append(Engine(home.url, settings).start())
        return running[-1]

    yield one
    for engine in running:
        engine.end()


def soon(what: Callable[[], Any], seconds: float = 15) -> bool:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if what():
            return True
        time.sleep(0.02)
    return bool(what())


def champion_of(home: Home) -> str:
    routes = Routes.read(home.store)
    return routes.champion.release if routes and routes.champion else ""


def test_one_acts_and_the_other_waits(home: Home, start: Callable[[], Engine]) -> None:
    first = start()
    assert soon(lambda: champion_of(home) == A)
    second = start()
    Ledger(home).append("approve", B, "beats the champion")
    assert soon(lambda: (Routes.read(home.store) or Routes(0)).share > 0)
    assert first.lease.held
    assert not second.lease.held
    entries = Ledger(home).entries()
    assert [entry.action for entry in entries] == ["promote", "approve", "share"]
    assert second.loop.facts["rollout"] == ""  # it has not turned once


def test_who_waits_takes_over_from_one_that_died(home: Home, start: Callable[[], Engine]) -> None:
    first = start()
    assert soon(lambda: champion_of(home) == A)
    second = start()
    first.freeze()
    Ledger(home).append("promote", B, "by hand")
    assert champion_of(home) == A
    assert soon(lambda: champion_of(home) == B)
    assert second.lease.held


def test_who_waits_takes_over_at_once_from_one_that_was_told_to_end(home: Home, start: Callable[[], Engine]) -> None:
    first = start()
    assert soon(lambda: champion_of(home) == A)
    second = start()
    assert soon(lambda: second.lease.watched[0])
    before = time.monotonic()
    first.end()
    assert soon(lambda: second.lease.held)
    assert time.monotonic() - before < SECONDS


def test_one_that_wakes_up_late_undoes_nothing(home: Home, start: Callable[[], Engine], settings: Any) -> None:
    """It was frozen in the middle of a turn; the other one has taken the rollout back meanwhile."""
    Ledger(home).append("approve", B, "beats the champion")
    first = start()
    assert soon(lambda: (Routes.read(home.store) or Routes(0)).share > 0)
    first.freeze()
    second = start()
    assert soon(lambda: second.lease.held)
    rollout = Rollouts(home.store).newest()
    assert rollout is not None
    Rollouts(home.store).wish("abort", rollout.id, "complaints")
    assert soon(lambda: (Routes.read(home.store) or Routes(0, share=1)).share == 0)
    first.loop.turn()  # it goes on where it was
    ended = Rollouts(home.store).newest()
    assert ended is not None
    assert ended.state == "aborted"
    assert (Routes.read(home.store) or Routes(0, share=1)).share == 0
    assert [entry.action for entry in Ledger(home).entries()] == ["promote", "approve", "share", "abort"]
    assert "another process leads" in str(_written(first))


def _written(engine: Engine) -> Exception | None:
    try:
        Statuses(engine.home.store).write("rollout", {})
    except Exception as error:  # noqa: BLE001 - which one is the question
        return error
    return None
