"""Git and the rollout engine both say who leads, and never fight over it."""

from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

from components.recsys.home import Home
from components.recsys.ledger import Entry, Ledger
from serving.kserve import orders as module
from serving.kserve.api import Api
from serving.kserve.orders import Orders, Seen, Told, decided
from serving.rollout.state import Rollout, Rollouts

A, B, C = "a" * 64, "b" * 64, "c" * 64


@pytest.fixture(autouse=True)
def _releases_are_sound(monkeypatch: pytest.MonkeyPatch) -> None:
    """These releases are names only; one whose files are damaged is in a test of its own."""
    monkeypatch.setattr(module, "verify", lambda store, digest: ({}, {}))


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(tmp_path / "home")


def say(server: Any, stable: str, candidate: str = "", home: str = "", by: str = "anna") -> None:
    """A commit that Argo CD has applied."""
    data = {"stable": stable, "candidate": candidate, "home": home, "by": by}
    server.put("configmaps", {"metadata": {"name": "everloop-model"}, "data": data})


def actions(home: Home) -> list[tuple[str, str, str]]:
    return [(entry.action, entry.release[:1], entry.actor) for entry in Ledger(home).entries()]


def test_the_first_stable_release_of_an_environment(home: Home, api: Api, server: Any) -> None:
    say(server, A)
    Orders(home, api).look()
    [entry] = Ledger(home).entries()
    assert (entry.action, entry.release, entry.actor) == ("promote", A, "git")
    assert entry.reason == "git makes it stable, by anna"


def test_what_differs_but_did_not_change_is_no_order(home: Home, api: Api, server: Any) -> None:
    """An engine that begins to follow git finds a champion there: somebody made it, and git has not said otherwise yet."""
    Ledger(home).append("promote", B, "a rollout", actor="x")
    say(server, A)
    orders = Orders(home, api)
    orders.look()
    orders.look()
    assert Ledger(home).champion() == B


def test_a_change_is_an_order_and_git_revert_is_one(home: Home, api: Api, server: Any) -> None:
    orders = Orders(home, api)
    for stable in (A, B, A):
        say(server, stable)
        orders.look()
    assert actions(home) == [("promote", "a", "git"), ("promote", "b", "git"), ("rollback", "a", "git")]


def test_a_rollout_that_ended_is_not_undone_by_the_commit_before_it(home: Home, api: Api, server: Any) -> None:
    say(server, A)
    orders = Orders(home, api)
    orders.look()
    Ledger(home).append("promote", B, "survived its rollout", actor="engine")
    for _ in range(3):
        say(server, A)  # Argo CD syncs again, and heals itself
        orders.look()
        Orders(home, api).look()  # and the engine starts anew
    assert Ledger(home).champion() == B
    say(server, B)  # everloop gitops sync
    orders.look()
    assert len(Ledger(home).entries()) == 2
    say(server, A)  # git revert
    orders.look()
    assert actions(home)[-1] == ("rollback", "a", "git")


def test_another_candidate_is_no_order_for_stable(home: Home, api: Api, server: Any) -> None:
    say(server, A)
    orders = Orders(home, api)
    orders.look()
    Ledger(home).append("promote", B, "survived its rollout", actor="engine")
    say(server, A, candidate=C)  # git has not heard of the rollout's end yet
    orders.look()
    assert Ledger(home).champion() == B


def test_an_engine_that_died_between_two_writes_follows_once(
    home: Home, api: Api, server: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    say(server, A)
    Orders(home, api).look()
    say(server, B)
    dying = Orders(home, api)
    monkeypatch.setattr(module, "KEY", "rollout/never-written.json")
    dying.look()
    monkeypatch.undo()
    monkeypatch.setattr(module, "verify", lambda store, digest: ({}, {}))
    Ledger(home).append("promote", C, "a person was faster", actor="person")
    Orders(home, api).look()
    assert actions(home) == [("promote", "a", "git"), ("promote", "b", "git"), ("promote", "c", "person")]


def test_a_candidate_that_is_approved_may_be_tried_and_no_other(home: Home, api: Api, server: Any) -> None:
    say(server, A)
    orders = Orders(home, api)
    orders.look()
    assert orders.named == set()
    Ledger(home).append("approve", B, "beats it", actor="gate")
    orders.look()
    assert orders.named == set()
    say(server, A, candidate=B)
    orders.look()
    assert orders.named == {B}
    assert [action for action, *_ in actions(home)] == ["promote", "approve"]  # nothing is approved twice


def test_a_candidate_of_which_this_ledger_knows_nothing_is_approved_by_the_commit(
    home: Home, api: Api, server: Any
) -> None:
    say(server, A)
    orders = Orders(home, api)
    orders.look()
    say(server, A, candidate=B, by="promote --to prod")
    orders.look()
    orders.look()
    assert actions(home) == [("promote", "a", "git"), ("approve", "b", "git")]


def test_one_whose_rollout_was_taken_back_is_not_tried_again_by_a_commit_that_came_late(
    home: Home, api: Api, server: Any
) -> None:
    say(server, A)
    orders = Orders(home, api)
    orders.look()
    ledger = Ledger(home)
    ledger.append("approve", B, "beats it", actor="gate")
    ledger.append("abort", B, "errors", actor="engine")
    say(server, A, candidate=B)
    orders.look()
    assert [action for action, *_ in actions(home)] == ["promote", "approve", "abort"]


def test_a_candidate_that_git_takes_back_ends_its_rollout(home: Home, api: Api, server: Any) -> None:
    say(server, A)
    orders = Orders(home, api)
    orders.look()
    say(server, A, candidate=B)
    orders.look()
    approval = Ledger(home).entries()[-1]
    rollouts = Rollouts(home.store)
    rollouts.write(Rollout.begin(approval, A, approval.time))
    orders.look()
    assert rollouts.wishes() == []
    say(server, A)
    orders.look()
    orders.look()
    [wish] = rollouts.wishes()
    assert (wish.wish, wish.rollout) == ("abort", f"r-{approval.sequence:010d}")


FAULTS = {
    "it is not there": (None, "ConfigMap everloop-model is not in namespace prod: git has not brought it"),
    "it is of another environment": (
        {"stable": A, "home": "s3://elsewhere/home"},
        "is of the home s3://elsewhere/home",
    ),
    "it holds half a digest": ({"stable": "abc"}, "holds no digests"),
    "it holds something else": ({"stable": A, "candidate": "../../etc"}, "holds no digests"),
}


@pytest.mark.parametrize("name", FAULTS)
def test_what_cannot_be_followed_is_told_and_changes_nothing(name: str, home: Home, api: Api, server: Any) -> None:
    data, sentence = FAULTS[name]
    if data is not None:
        server.put("configmaps", {"metadata": {"name": "everloop-model"}, "data": data})
    orders = Orders(home, api)
    orders.look()
    assert sentence in orders.fault
    assert Ledger(home).entries() == []
    say(server, A)
    orders.look()
    assert orders.fault == ""
    assert Ledger(home).champion() == A


def test_an_api_that_is_away_leaves_what_was_known(home: Home, api: Api, server: Any) -> None:
    say(server, A, candidate=B)
    orders = Orders(home, api)
    orders.look()
    api.patience = 0.1
    server.fail("get", 500, times=10**6)
    orders.look()
    assert "500" in orders.fault
    assert orders.named == {B}


def test_a_release_whose_files_are_not_what_was_released_is_not_ordered(
    home: Home, api: Api, server: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from components.recsys.release import verify

    say(server, A)
    orders = Orders(home, api)
    orders.look()
    monkeypatch.setattr(module, "verify", verify)
    say(server, B)
    orders.look()
    assert "there is no release bbbbbbbbbbbb" in orders.fault
    assert Ledger(home).champion() == A
    monkeypatch.setattr(module, "verify", lambda store, digest: ({}, {}))  # its upload has ended
    orders.look()
    assert (Ledger(home).champion(), orders.fault) == (B, "")


def entry(number: int, action: Any, release: str, champion: str) -> Entry:
    return Entry(number, f"2026-11-24T13:30:{number:02d}", action, release, champion, "", "")


releases = st.sampled_from([A, B, C])
optional = st.sampled_from(["", A, B, C])


@given(stable=optional, candidate=optional, number=st.integers(1, 9), champion=optional)
def test_what_was_seen_already_orders_nothing(stable: str, candidate: str, number: int, champion: str) -> None:
    entries = [entry(1, "promote", champion, champion)] if champion else []
    assert decided(Seen(stable, candidate, number), Told(stable, candidate, ""), entries) == []


class GitAndEngine(RuleBasedStateMachine):
    """Commits, syncs, self-heals, rollouts that end, people with the command line, engines that die: in any order."""

    server: Any
    api: Api
    folders: Any

    @initialize()
    def begin(self) -> None:
        self.home = Home(next(self.folders))
        self.ledger = Ledger(self.home)
        self.git = (A, "")
        self.commits = [self.git]
        self.changes = 1  # of git's stable
        self.apply()
        self.orders = Orders(self.home, self.api)
        self.look()
        assert self.ledger.champion() == A

    def apply(self) -> None:
        say(self.server, *self.git)

    def look(self) -> None:
        self.orders.look()
        assert self.orders.fault == ""

    def commit(self, stable: str, candidate: str) -> None:
        self.changes += stable != self.git[0]
        self.git = stable, candidate
        self.commits.append(self.git)
        self.apply()

    @rule(stable=releases, candidate=optional)
    def a_person_commits(self, stable: str, candidate: str) -> None:
        ordered = stable != self.git[0]
        before = self.ledger.champion()
        self.commit(stable, candidate)
        self.look()
        assert self.ledger.champion() == (stable if ordered else before)

    @rule(candidate=optional)
    def a_person_names_another_candidate(self, candidate: str) -> None:
        before = self.ledger.champion()
        self.commit(self.git[0], candidate)
        self.look()
        assert self.ledger.champion() == before

    @rule()
    def git_revert(self) -> None:
        if len(self.commits) > 1:
            before, champion = self.commits[-2], self.ledger.champion()
            ordered = before[0] != self.git[0]
            self.commit(*before)
            self.look()
            assert self.ledger.champion() == (before[0] if ordered else champion)

    @rule()
    def argo_applies_the_same_commit_again(self) -> None:
        entries = self.ledger.entries()
        self.apply()
        self.look()
        assert self.ledger.entries() == entries

    @rule()
    def the_engine_starts_anew(self) -> None:
        entries = self.ledger.entries()
        self.orders = Orders(self.home, self.api)
        self.look()
        assert self.ledger.entries() == entries

    @rule(release=releases)
    def a_rollout_promotes(self, release: str) -> None:
        if release != self.ledger.champion():
            self.ledger.append("promote", release, "survived its rollout", actor="engine")
        self.look()
        assert self.ledger.champion() == release

    @rule(release=releases)
    def a_rollout_is_taken_back(self, release: str) -> None:
        champion = self.ledger.champion()
        self.ledger.append("abort", release, "clicks", actor="engine")
        self.look()
        assert self.ledger.champion() == champion

    @rule()
    def gitops_sync(self) -> None:
        entries = self.ledger.entries()
        self.commit(self.ledger.champion(), "")
        self.look()
        assert self.ledger.entries() == entries  # what git repeats after the ledger is no order

    @rule()
    def nothing_happens(self) -> None:
        entries = self.ledger.entries()
        for _ in range(3):
            self.look()
        assert self.ledger.entries() == entries

    @invariant()
    def git_moved_no_oftener_than_it_was_told(self) -> None:
        if hasattr(self, "ledger"):
            moves = [e for e in self.ledger.entries() if e.actor == "git" and e.action in ("promote", "rollback")]
            assert len(moves) <= self.changes


def test_git_and_the_engine_never_fight(api: Api, server: Any, tmp_path: Path) -> None:
    GitAndEngine.server, GitAndEngine.api = server, api
    GitAndEngine.folders = (tmp_path / f"home-{number}" for number in range(10**6))
    run_state_machine_as_test(
        GitAndEngine,
        settings=settings(
            max_examples=20,
            stateful_step_count=12,
            deadline=None,
            derandomize=True,
            suppress_health_check=list(HealthCheck),
        ),
    )
