"""The engine killed before or after every single write: the next one goes on, and nothing is done twice."""

import pytest

from components.recsys.home import Home
from components.recsys.ledger import Ledger
from components.recsys.routes import Routes
from serving.rollout import engine as engines
from serving.rollout.engine import Engine
from serving.rollout.state import Rollouts

A, B = "a" * 64, "b" * 64
MOST_WRITES = 60


class Killed(BaseException):
    """No handler of ours may catch it, as none catches SIGKILL."""


class Mortal:
    """A store whose user dies at one write: before it, or right after it."""

    def __init__(self, store, at, after):
        self.store, self.left, self.after, self.url = store, at, after, store.url

    def _one(self, name, *arguments):
        self.left -= 1
        if self.left == 0 and not self.after:
            raise Killed
        done = getattr(self.store, name)(*arguments)
        if self.left == 0:
            raise Killed
        return done

    def write(self, key, data):
        return self._one("write", key, data)

    def create(self, key, data):
        return self._one("create", key, data)

    def delete(self, key):
        return self._one("delete", key)

    def __getattr__(self, name):
        return getattr(self.store, name)


@pytest.fixture(autouse=True)
def _releases_are_sound(monkeypatch):
    monkeypatch.setattr(engines, "verify", lambda store, digest: ({}, {}))


def consistent(home):
    """What must hold whenever anybody looks, also in the middle."""
    entries = Ledger(home).entries()  # raises when the chain is broken
    routes = Routes.read(home.store)
    if routes and routes.candidate and routes.share > 0:
        told = [e for e in entries if e.action == "share" and e.release == routes.candidate.release]
        assert any(e.evidence["share"] == routes.share and e.evidence["salt"] == routes.salt for e in told)


def story(home, quick, elsewhere, traffic, at, after, abort):
    """A whole rollout under an engine that dies at its `at`-th write and is started anew; whether it died."""
    mortal = Home(home.url)
    mortal.store = Mortal(home.store, at, after)
    settings = quick(min_lists=5, bake_seconds=60, detectable_loss=1)
    Ledger(home).append("approve", B, "beats the champion")
    engine, died = Engine(mortal, settings, elsewhere), False
    people = traffic(home, people=300)
    for _ in range(30):
        try:
            facts = engine.turn()
        except Killed:
            died = True
            consistent(home)
            engine = Engine(home, settings, elsewhere)
            facts = engine.turn()
        consistent(home)
        if facts["state"] in ("promoted", "aborted"):
            break
        people.fail = {"candidate": float(abort and facts["step"] == 1)}
        people.lists(80, seconds=100)
    engine.turn()
    return died


def outcome(home):
    entries = Ledger(home).entries()
    routes, rollout = Routes.read(home.store), Rollouts(home.store).newest()
    return [entry.action for entry in entries], routes, rollout


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("abort", [False, True], ids=["promoted", "aborted"])
def test_killed_at_any_write_the_next_engine_ends_in_the_same_place(
    tmp_path, clock, quick, elsewhere, traffic, abort, after
):
    deaths = 0
    for at in range(1, MOST_WRITES):
        home = Home(tmp_path / f"{at}")
        Ledger(home).append("promote", A, "the first")
        died = story(home, quick, elsewhere, traffic, at, after, abort)
        actions, routes, rollout = outcome(home)
        assert actions == (
            ["promote", "approve", "share", "share", "abort"]
            if abort
            else ["promote", "approve", "share", "share", "share", "promote"]
        ), at
        assert (routes.champion.release, routes.candidate) == (A if abort else B, None)
        assert rollout.state == ("aborted" if abort else "promoted")
        assert rollout.broken == ("errors" if abort else "")
        deaths += died
        if not died:
            break
    assert deaths >= (9 if abort else 13)  # the writes of a rollout's story: each was a place to die
