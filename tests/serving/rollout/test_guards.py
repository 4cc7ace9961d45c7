"""When each guard stops a rollout, and when it must not."""

from datetime import timedelta

import pytest

from components.recsys.buckets import bucket, variant_of
from components.recsys.ledger import Ledger
from components.recsys.predictions import Prediction, Shown
from serving.rollout.evidence import Evidence
from serving.rollout.guards import MOST_POINTS, Guards, broken
from serving.rollout.state import Rollout

A, B = "a" * 64, "b" * 64


class Told:
    """Evidence that is told records one by one, and what the guards make of it."""

    def __init__(self, home, clock, settings, share=0.5):
        entry = Ledger(home).append("approve", B, "beats the champion")
        begun = Rollout.begin(entry, A, entry.time)
        self.rollout = begun.moved("step", entry.time, "", step=0, share=share, epoch=1)
        self.settings, self.time, self.n = settings, clock.time, 0
        self.evidence, self.guards = Evidence(home.store, self.rollout, settings, self.time), Guards()

    def list(self, variant, user=None, clicked=False, **more):
        self.n += 1
        if user is None:  # somebody whom the salt puts there
            user = next(
                key
                for key in (f"{self.n:016x}{n:016x}" for n in range(1000))
                if variant_of(bucket(self.rollout.salt, key), self.rollout.share) == variant
            )
        items = more.pop("items", tuple(Shown(f"i{(self.n * 7 + n) % 200}", 1.0, 1.0) for n in range(10)))
        record = Prediction(
            f"q{self.n}", self.time.isoformat(timespec="microseconds"), user, B, variant, items, (), 10,
            more.pop("latency_ms", 5.0), rollout=self.rollout.id, epoch=1, **more,
        )  # fmt: skip
        self.evidence.take(record, self.rollout.epochs())
        if clicked:
            self.evidence.click({"request_id": record.request_id, "item_id": record.items[0].item, "event": "click"})

    def both(self, count, **more):
        for _ in range(count):
            self.list("champion", **more)
            self.list("candidate", **more)

    def verdicts(self, crashes=0):
        self.time += timedelta(hours=1)
        self.evidence.look(self.rollout, self.time)
        judged = self.guards.judge(self.evidence, self.rollout, self.settings.rollout, crashes)
        return {verdict.guard: verdict for verdict in judged}


@pytest.fixture
def told(home, clock, quick):
    return lambda share=0.5, **rollout: Told(home, clock, quick(**rollout), share)


def test_without_anything_nothing_is_said(told):
    assert {verdict.state for verdict in told().verdicts().values()} == {"undecided"}


def test_a_hiccup_of_the_machine_is_no_fault_of_the_candidate(told):
    one = told()
    one.both(100)
    one.both(20, failed="timeout", latency_ms=1000.0)
    verdicts = one.verdicts()
    assert verdicts["errors"].figures["failed"] == 20
    assert broken(list(verdicts.values())) is None


def test_failures_of_the_candidate_alone_are(told):
    one = told()
    one.both(100)
    for _ in range(12):
        one.list("candidate", failed="unreachable")
    verdict = one.verdicts()["errors"]
    assert verdict.state == "broken"
    assert verdict.sentence == "12 of 112 requests failed (12 unreachable); 1.0% is accepted"


def test_where_no_champion_serves_beside_it_the_limit_alone_counts(told):
    one = told(share=1.0)
    for _ in range(100):
        one.list("candidate")
    for _ in range(12):
        one.list("candidate", failed="timeout")
    assert one.verdicts()["errors"].state == "broken"


def test_what_fails_at_a_later_step_is_not_hidden_by_many_good_answers_before(told):
    one = told()
    one.both(5000)
    one.rollout = one.rollout.moved("step", one.time.isoformat(), "", step=1, share=0.6, epoch=2)
    epochs = one.rollout.epochs()
    for n in range(40):
        for variant, failed in (("candidate", "timeout" if n % 4 == 0 else ""), ("champion", "")):
            record = Prediction(
                f"later{n}{variant}", one.time.isoformat(timespec="microseconds"), f"{n:032x}", B, variant, (), (), 0,
                5.0, failed=failed, rollout=one.rollout.id, epoch=2,
            )  # fmt: skip
            one.evidence.take(record, epochs)
    assert one.verdicts()["errors"].state == "broken"  # 10 of 5,040 in all


def test_a_process_that_ends_three_times_is_enough(told):
    one = told()
    one.both(50)
    assert one.verdicts(crashes=2)["errors"].state == "undecided"
    verdict = one.verdicts(crashes=3)["errors"]
    assert (verdict.state, "ended 3 times" in verdict.sentence) == ("broken", True)


@pytest.mark.parametrize(
    ("mine", "theirs", "state"),
    [(120.0, 50.0, "broken"), (90.0, 50.0, "passes"), (45.0, 5.0, "passes"), (60.0, 5.0, "broken")],
    ids=["slower than twice", "not twice", "below the floor", "above the floor"],
)
def test_latency_counts_above_the_floor_and_beyond_the_ratio(told, mine, theirs, state):
    one = told()
    for _ in range(250):
        one.list("champion", latency_ms=theirs)
        one.list("candidate", latency_ms=mine)
    assert one.verdicts()["latency"].state == state


def test_people_who_are_not_known_are_no_fault_of_a_model(told):
    one = told()
    one.both(150, fallback="unknown_user")
    verdict = one.verdicts()["fallback"]
    assert verdict.state != "broken"
    assert verdict.figures["rate"] == 1.0


def test_a_model_that_gives_up_is(told):
    one = told()
    for n in range(100):
        one.list("champion")
        one.list("candidate", fallback="model" if n % 2 else "")
    assert one.verdicts()["fallback"].state == "broken"


def test_losses_are_stopped_only_beyond_what_is_accepted(told):
    for loss, accepted, state in ((0.8, 0.1, "broken"), (0.3, 0.5, "passes"), (0.0, 0.5, "passes")):
        one = told(max_click_loss=accepted)
        for n in range(1000):
            one.list("champion", clicked=n % 2 == 0)
            one.list("candidate", clicked=n % 2 == 0 and n % 1000 >= 1000 * loss)
        verdict = one.verdicts()["clicks"]
        assert verdict.state == state, loss
        assert verdict.interval["low"] <= loss <= verdict.interval["high"]
        assert verdict.interval["limit"] == accepted


def test_people_who_are_not_split_as_asked_are_noticed(told):
    one = told(share=0.05)
    one.both(15)
    verdict = one.verdicts()["split"]
    assert verdict.state == "broken"
    assert verdict.figures["observed"] == 0.5
    assert verdict.figures["misplaced_lists"] == 0
    fair = told(share=0.05)
    for n in range(380):
        fair.list("candidate" if n % 20 == 0 else "champion")
    assert fair.verdicts()["split"].state == "passes"


def test_a_list_for_the_wrong_group_is_counted(told):
    one = told(share=0.05)
    for n in range(100):
        key = f"{n:032x}"
        one.list(variant_of(bucket("another salt", key), 0.05), user=key)
    assert one.verdicts()["split"].figures["misplaced_lists"] > 0


def test_intervals_leave_a_short_trail(told):
    one = told()
    for n in range(200):
        one.list("champion", clicked=n % 2 == 0)
        one.list("candidate", clicked=n % 2 == 0)
        if n % 2:
            verdicts = one.verdicts()
    trail = verdicts["clicks"].trail
    assert 10 < len(trail) <= MOST_POINTS + 1
    assert trail[-1]["high"] - trail[-1]["low"] < trail[0]["high"] - trail[0]["low"]
    assert trail[-1] == {name: verdicts["clicks"].interval[name] for name in ("low", "value", "high")}
