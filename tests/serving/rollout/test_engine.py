"""What becomes of a release that was approved: widened, promoted, taken back."""

import pytest

from components.recsys.errors import Refused, StoreError
from components.recsys.ledger import Ledger
from components.recsys.predictions import EVENTS, PREDICTIONS
from components.recsys.routes import Routes
from serving.rollout import engine as engines
from serving.rollout.engine import Engine
from serving.rollout.state import Rollouts

A, B, C = "a" * 64, "b" * 64, "c" * 64
A_LITTLE_WORSE = {
    "champion": 0.3,
    "candidate": 0.24,
}  # so that no luck of an hour rules out a loss of 5 %, or proves one


@pytest.fixture(autouse=True)
def _releases_are_sound(monkeypatch):
    """These releases are names only; that a damaged one is refused is shown with real ones in test_rollback.py."""
    monkeypatch.setattr(engines, "verify", lambda store, digest: ({}, {}))


@pytest.fixture
def engine(home, quick, elsewhere):
    return Engine(home, quick(), elsewhere)


def approve(home, release=B, reason="beats the champion"):
    return Ledger(home).append("approve", release, reason, expect_champion=Ledger(home).champion())


def actions(home):
    return [entry.action for entry in Ledger(home).entries()]


def until_end(engine, traffic, rounds=60, lists=100):
    """Turns with traffic between them; the last facts."""
    facts = engine.turn()
    for _ in range(rounds):
        traffic.lists(lists, seconds=120)
        facts = engine.turn()
        if facts["state"] in ("promoted", "aborted"):
            return facts
    return facts


def test_at_first_everybody_is_routed_to_the_champion(engine, home):
    facts = engine.turn()
    routes = Routes.read(home.store)
    assert (routes.champion.release, routes.champion.urls, routes.candidate, routes.share) == (
        A,
        ("http://aaaa",),
        None,
        0,
    )
    assert facts["champion"] == A
    engine.turn()
    assert Routes.read(home.store) == routes  # nothing changed, nothing written


def test_before_everybody_gets_it_a_loss_of_clicks_must_have_been_ruled_out(home, quick, elsewhere, traffic):
    approve(home)
    people, wanted = traffic(click=A_LITTLE_WORSE), {"min_lists": 5, "bake_seconds": 60, "steps": (0.25, 1.0)}
    engine = Engine(home, quick(**wanted, detectable_loss=0.05), elsewhere)
    facts = until_end(engine, people, rounds=3, lists=60)
    assert (facts["state"], facts["share"]) == ("step", 0.25)
    assert "clicks do not rule out yet that 5% of them are lost" in facts["waits_for"]
    hasty = Engine(home, quick(**wanted, detectable_loss=1), elsewhere)
    assert until_end(hasty, people, rounds=3, lists=60)["state"] == "promoted"


def test_a_last_step_below_everybody_asks_before_it_is_promoted_and_the_deadline_says_what_was_missing(
    home, quick, elsewhere, traffic, clock
):
    approve(home)
    people = traffic(click=A_LITTLE_WORSE)
    engine = Engine(home, quick(min_lists=5, bake_seconds=60, steps=(0.25,), detectable_loss=0.05), elsewhere)
    facts = until_end(engine, people, rounds=3, lists=60)
    assert (facts["state"], facts["share"]) == ("step", 0.25)
    clock.forward(15 * 86_400)
    assert engine.turn()["state"] == "aborted"
    assert "which is the most; before everybody gets it: clicks" in Ledger(home).entries()[-1].reason


def test_where_clicks_name_no_list_nobody_is_given_it_unseen(home, quick, elsewhere, traffic):
    approve(home)
    people = traffic(click={})
    engine = Engine(home, quick(min_lists=5, bake_seconds=60), elsewhere)
    engine.turn()
    people.write(EVENTS, [b'{"user_id": "u1", "item_id": "i1", "event": "click"}'])
    facts = until_end(engine, people, rounds=6, lists=60)
    assert (facts["state"], facts["share"]) == ("step", 0.25)
    assert "1 clicks name no list" in facts["waits_for"]


def test_where_nobody_sends_clicks_the_other_guards_decide(home, quick, elsewhere, traffic):
    approve(home)
    engine = Engine(home, quick(min_lists=5, bake_seconds=60), elsewhere)
    assert until_end(engine, traffic(click={}), rounds=10, lists=60)["state"] == "promoted"


def test_an_equal_candidate_goes_from_5_to_25_to_100_percent_and_is_promoted(engine, home, traffic):
    approve(home)
    facts = until_end(engine, traffic())
    assert facts["state"] == "promoted"
    assert actions(home) == ["promote", "approve", "share", "share", "share", "promote"]
    shares = [entry for entry in Ledger(home).entries() if entry.action == "share"]
    assert [entry.evidence["share"] for entry in shares] == [0.05, 0.25, 1.0]
    assert len({entry.evidence["salt"] for entry in shares}) == 1
    routes = Routes.read(home.store)
    assert (routes.champion.release, routes.candidate, routes.share) == (B, None, 0.0)
    last = Ledger(home).entries()[-1]
    assert (last.champion, last.evidence["rollout"]) == (B, "r-0000000002")
    assert {guard["guard"] for guard in last.evidence["guards"]} >= {"clicks", "errors", "latency", "split", "coverage"}


@pytest.mark.parametrize(
    ("fault", "guard"),
    [
        ({"click": {"champion": 0.3, "candidate": 0.02}}, "clicks"),
        ({"fail": {"candidate": 0.5}}, "errors"),
        ({"slow": {"champion": 1.0, "candidate": 60.0}}, "latency"),
        ({"fallback": {"candidate": 0.8}}, "fallback"),
        ({"items": {"candidate": 12}}, "coverage"),
    ],
)
def test_a_bad_candidate_is_taken_back_before_it_reaches_25_percent(home, quick, elsewhere, traffic, fault, guard):
    engine = Engine(home, quick(min_lists=400), elsewhere)
    approve(home)
    facts = until_end(engine, traffic(**fault))
    assert (facts["state"], facts["share"]) == ("aborted", 0.0)
    assert actions(home) == ["promote", "approve", "share", "abort"]  # one share: 5 %
    last = Ledger(home).entries()[-1]
    assert (last.evidence["guard"], last.champion, last.release) == (guard, A, B)
    assert guard in last.reason
    assert next(one for one in last.evidence["guards"] if one["guard"] == guard)["state"] == "broken"
    routes = Routes.read(home.store)
    assert (routes.champion.release, routes.candidate, routes.share, routes.rollout) == (A, None, 0.0, "")
    assert engine.turn()["state"] == "aborted"  # and it does not begin again
    assert len(Ledger(home).entries()) == 4


def test_the_ledger_knows_of_a_share_before_anybody_gets_it(engine, home, monkeypatch):
    approve(home)
    seen = []
    write = Routes.write

    def checked(self, store):
        if self.share:
            seen.append([e.evidence["share"] for e in Ledger(home).entries() if e.action == "share"][-1] == self.share)
        write(self, store)

    monkeypatch.setattr(Routes, "write", checked)
    engine.turn()
    assert seen == [True]


def test_a_rollback_by_hand_ends_the_rollout_and_is_routed_in_the_same_turn(engine, home, traffic):
    Ledger(home).append("promote", C, "the second")
    approve(home)
    engine.turn()
    assert Routes.read(home.store).share == 0.05
    Ledger(home).append("rollback", A, "clicks fell")
    facts = engine.turn()
    routes = Routes.read(home.store)
    assert (routes.champion.release, routes.candidate, routes.share) == (A, None, 0.0)
    assert facts["state"] == "aborted"
    last = Ledger(home).entries()[-1]
    assert (last.action, last.champion, last.evidence["guard"]) == ("abort", A, "champion")
    assert "clicks fell" in last.reason


def test_an_approval_that_a_later_champion_overtook_is_void(engine, home):
    approve(home)
    Ledger(home).append("promote", C, "by hand")
    assert engine.turn()["rollout"] == ""


def test_the_newest_approval_waits_until_the_rollout_before_it_has_ended(engine, home):
    approve(home, B)
    engine.turn()
    approve(home, C)
    assert engine.turn()["candidate"] == B
    Rollouts(home.store).wish("abort", "r-0000000002", "enough")
    engine.turn()
    facts = engine.turn()
    assert (facts["candidate"], facts["state"]) == (C, "step")


def test_a_paused_rollout_stays_and_is_still_taken_back(engine, home, traffic):
    approve(home)
    engine.turn()
    rollouts = Rollouts(home.store)
    rollouts.wish("pause", "r-0000000002", "a sale is on")
    people = traffic()
    for _ in range(25):
        people.lists(100, seconds=120)
        facts = engine.turn()
    assert (facts["paused"], facts["share"]) == (True, 0.05)
    rollouts.wish("resume", "r-0000000002", "it is over")
    engine.turn()
    assert engine.turn()["share"] == 0.25
    rollouts.wish("pause", "r-0000000002", "again")
    people.fail = {"candidate": 0.5}
    people.lists(100)
    assert engine.turn()["state"] == "aborted"
    assert rollouts.wishes() == []


def test_a_wish_for_a_rollout_that_has_ended_does_not_strike_the_next(engine, home):
    approve(home)
    engine.turn()
    rollouts = Rollouts(home.store)
    rollouts.wish("abort", "r-0000000002", "first")
    rollouts.wish("abort", "r-0000000002", "twice")
    engine.turn()
    rollouts.wish("abort", "r-0000000002", "late")
    approve(home, C)
    engine.turn()
    assert engine.turn()["state"] == "step"
    assert rollouts.wishes() == []


def test_nothing_is_widened_before_its_time_or_without_its_lists(engine, home, traffic, clock):
    approve(home)
    engine.turn()
    clock.forward(10_000)
    assert engine.turn()["step"] == 0  # time, but no lists
    people = traffic()
    people.lists(1500, seconds=10)
    assert engine.turn()["step"] == 0  # lists, but none had time to be clicked
    clock.forward(100)
    assert engine.turn()["step"] == 1
    people.lists(1500, seconds=10)
    clock.forward(100)
    assert engine.turn()["step"] == 1  # lists, but no time


def test_a_candidate_that_never_answers_is_given_up(engine, home, elsewhere):
    elsewhere.down, elsewhere.ended = {B}, {B: 5}
    approve(home)
    assert engine.turn()["state"] == "waiting"
    assert Routes.read(home.store).candidate is None
    elsewhere.ended = {B: 8}
    facts = engine.turn()
    assert facts["state"] == "aborted"
    assert "does not start: no such file" in Ledger(home).entries()[-1].reason


def test_a_rollout_that_does_not_end_is_taken_back(engine, home, clock):
    approve(home)
    engine.turn()
    clock.forward(15 * 86_400)
    facts = engine.turn()
    assert (facts["state"], Ledger(home).entries()[-1].evidence["guard"]) == ("aborted", "deadline")


def test_a_step_that_began_in_the_future_is_a_fault_that_is_told(engine, home, clock):
    approve(home)
    engine.turn()
    clock.forward(-59)
    assert engine.turn()["fault"] == ""  # two machines' clocks
    clock.forward(-2 * 86_400)
    facts = engine.turn()
    assert (facts["state"], facts["share"]) == ("step", 0.05)
    assert "began in the future, at 2026-03-02T12:00:00" in facts["fault"]
    clock.forward(3 * 86_400)
    assert engine.turn()["fault"] == ""


def test_what_cannot_be_read_is_tried_again_and_what_is_damaged_taken_back(home, elsewhere, quick, monkeypatch):
    def unreadable(store, digest):
        raise StoreError("the disk is gone")

    monkeypatch.setattr(engines, "verify", unreadable)
    approve(home)
    engine = Engine(home, quick(), elsewhere)
    for _ in range(2):
        with pytest.raises(StoreError):
            engine.turn()
    assert Rollouts(home.store).newest().state == "waiting"

    def damaged(store, digest):
        raise Refused("weights differ")

    monkeypatch.setattr(engines, "verify", damaged)
    assert engine.turn()["state"] == "aborted"
    assert actions(home) == ["promote", "approve", "abort"]


def test_a_shadow_answers_unseen_until_it_has_its_lists(home, quick, elsewhere, traffic):
    engine = Engine(home, quick(shadow=True, shadow_lists=150), elsewhere)
    approve(home)
    engine.turn()
    routes = Routes.read(home.store)
    assert (routes.mirror, routes.share, routes.candidate.release) == (True, 0.0, B)
    assert actions(home) == ["promote", "approve"]  # nobody is given it
    people = traffic()
    people.lists(100)
    facts = engine.turn()
    assert facts["state"] == "shadow"
    figures = facts["guards"][0]["figures"]
    assert figures["lists"] == 100
    assert 0 < figures["rank_overlap"] < 0.2  # ten random items of 200
    people.lists(60)
    facts = engine.turn()
    assert (facts["state"], facts["share"]) == ("step", 0.05)
    assert Routes.read(home.store).mirror is False
    assert Rollouts(home.store).newest().moves[-1].guards[0]["figures"]["lists"] == 160


def test_copies_of_segments_and_other_rollouts_records_count_once_or_never(engine, home, traffic):
    approve(home)
    engine.turn()
    people = traffic()
    made = people.lists(100)
    people.write(PREDICTIONS, [record.to_json() for record in made])
    people.write(
        PREDICTIONS, [record.to_json().replace(b"r-0000000002", b"r-0000000001") for record in people.lists(50)]
    )
    engine.turn()
    sides = engine.evidence.sides
    assert sides["champion"].lists.total() + sides["candidate"].lists.total() == 150


def test_a_segment_that_is_damaged_is_left_out(engine, home, traffic):
    approve(home)
    engine.turn()
    people = traffic()
    people.lists(20)
    home.store.write(f"{PREDICTIONS}/2026-03-02/gateway-x.jsonl.gz", b"not gzip")
    people.write(PREDICTIONS, [b"not json", b"{}", b"[1]"])
    engine.turn()
    assert sum(side.lists.total() for side in engine.evidence.sides.values()) == 20
