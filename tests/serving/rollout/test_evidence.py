"""What of the log counts, for whom, and when."""

import json
import time
from datetime import timedelta

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from components.recsys.ledger import Ledger
from components.recsys.predictions import EVENTS, PREDICTIONS, Prediction, Shown
from components.recsys.settings import FeedbackSettings, LogSettings, RolloutSettings, Settings
from serving.rollout.coverage import compared, rarefied
from serving.rollout.evidence import Evidence, fell_back, step_of
from serving.rollout.guards import clicks
from serving.rollout.quantiles import Sketch
from serving.rollout.shadow import Shadow, jaccard, overlap
from serving.rollout.state import Rollout

A, B = "a" * 64, "b" * 64


@pytest.fixture
def rollout(home) -> Rollout:
    """At 5 % since epoch 3, at 25 % since epoch 6."""
    entry = Ledger(home).append("approve", B, "beats the champion")
    begun = Rollout.begin(entry, A, entry.time)
    first = begun.moved("step", entry.time, "", step=0, share=0.05, epoch=3)
    return first.moved("step", entry.time, "", step=1, share=0.25, epoch=6)


@pytest.fixture
def evidence(home, clock, rollout):
    chosen = Settings(
        rollout=RolloutSettings(click_seconds=60),
        log=LogSettings(segment_seconds=1e-9),
        feedback=FeedbackSettings(attribution_seconds=3600),
    )
    return Evidence(home.store, rollout, chosen, clock.time)


def made(rollout, clock, request="q1", user="u1", variant="candidate", epoch=3, **more):
    return Prediction(
        request, clock.time.isoformat(timespec="microseconds"), user, more.pop("release", B), variant,
        more.pop("items", (Shown("i1", 0.9, 1.0),)), ("i1",), 1, 5.0, rollout=rollout.id, epoch=epoch, **more,
    )  # fmt: skip


def sent(traffic, prefix, *values):
    people = traffic()
    people.segments = sent.count = getattr(sent, "count", 0) + 1
    people.write(prefix, [v.to_json() if isinstance(v, Prediction) else json.dumps(v).encode() for v in values])


def test_records_belong_to_the_step_whose_routes_they_were_made_with(evidence, rollout, clock, traffic):
    sent(
        traffic,
        PREDICTIONS,
        *(made(rollout, clock, f"q{epoch}", epoch=epoch) for epoch in (2, 3, 5, 6, 9)),
        made(rollout, clock, "champion", variant="champion", release=A),
    )
    assert evidence.look(rollout, clock.time) == 5
    assert dict(evidence.sides["candidate"].lists) == {0: 2, 1: 2}
    assert dict(evidence.sides["champion"].lists) == {0: 1}
    assert step_of(2, rollout.epochs()) == -1


def test_a_failure_that_the_champion_answered_is_the_candidates(evidence, rollout, clock, traffic):
    sent(traffic, PREDICTIONS, made(rollout, clock, release=A, failed="timeout", fallback="unknown_user"))
    sent(traffic, EVENTS, {"request_id": "q1", "item_id": "i1", "event": "click"})
    clock.forward(61)
    evidence.look(rollout, clock.time)
    side = evidence.sides["candidate"]
    assert (side.failed[0], side.causes["timeout"], side.fallbacks) == (1, 1, 0)
    groups = evidence.groups("clicks")
    assert (groups.candidate.tolist(), groups.lists.tolist(), groups.hits.tolist()) == ([1.0], [1.0], [1.0])
    assert evidence.sides["champion"].lists.total() == 0


def test_a_list_counts_once_it_had_time_to_be_clicked_however_its_click_comes(evidence, rollout, clock, traffic):
    sent(traffic, EVENTS, {"request_id": "q1", "item_id": "i1", "event": "click", "event_id": "e1"})  # before its list
    sent(traffic, PREDICTIONS, made(rollout, clock), made(rollout, clock, "q2"))
    evidence.look(rollout, clock.time)
    assert evidence.groups("clicks").lists.sum() == 0
    clock.forward(61)
    evidence.look(rollout, clock.time)
    sent(traffic, EVENTS, *[{"request_id": "q1", "item_id": "i1", "event": "click", "event_id": "e1"}] * 3)  # copies
    sent(
        traffic,
        EVENTS,
        {"request_id": "q2", "item_id": "i1", "event": "booking"},
        {"request_id": "other", "event": "click"},
        [1],
        7,
    )
    evidence.look(rollout, clock.time)
    groups = evidence.groups("clicks")
    assert (groups.lists.tolist(), groups.hits.tolist()) == ([2.0], [1.0])
    sent(traffic, EVENTS, {"request_id": "q2", "item_id": "i1", "event": "view"})  # late
    evidence.look(rollout, clock.time)
    assert evidence.groups("clicks").hits.tolist() == [2.0]


def test_lists_are_forgotten_when_they_can_hardly_be_clicked_any_more(evidence, rollout, clock, traffic):
    sent(traffic, PREDICTIONS, *(made(rollout, clock, f"q{n}") for n in range(50)))
    evidence.look(rollout, clock.time)
    assert len(evidence.waiting) == 50
    clock.forward(3601)
    evidence.look(rollout, clock.time)
    assert len(evidence.waiting) == 0
    assert evidence.groups("clicks").lists.sum() == 50


def test_people_without_an_id_are_a_user_each_and_in_no_split(evidence, rollout, clock, traffic):
    sent(traffic, PREDICTIONS, *(made(rollout, clock, f"q{n}", user="") for n in range(3)), made(rollout, clock, "q9"))
    evidence.look(rollout, clock.time)
    assert len(evidence.users.numbers) == 4
    assert evidence.placed[0].total() == 1


def test_a_segment_of_yesterday_that_comes_late_is_read(evidence, rollout, clock, traffic, home):
    record = made(rollout, clock)
    clock.time -= timedelta(days=1)
    sent(traffic, PREDICTIONS, record)
    clock.time += timedelta(days=1)
    assert evidence.look(rollout, clock.time) == 1
    clock.forward(5 * 86_400)
    sent(traffic, PREDICTIONS, made(rollout, clock, "q2"))
    assert evidence.look(rollout, clock.time) == 1


def test_an_empty_list_is_a_fallback_and_a_failure_is_none(rollout, clock):
    assert fell_back(made(rollout, clock, items=()))
    assert fell_back(made(rollout, clock, fallback="model"))
    assert not fell_back(made(rollout, clock, fallback="model", failed="timeout"))
    assert not fell_back(made(rollout, clock))


def test_overlap_of_lists_is_that_of_the_paper():
    """Worked by hand: agreement is 1, 1/2, 2/3 at depths 1 to 3."""
    p = 0.9
    expected = (1 - p) / p * (1 * p + 1 / 2 * p**2 + 2 / 3 * p**3) + 2 / 3 * p**3
    assert overlap(("a", "b", "c"), ("a", "c", "d")) == pytest.approx(expected)
    assert jaccard(("a", "b", "c"), ("a", "c", "d")) == 0.5


@given(st.permutations(list("abcdefgh")), st.permutations(list("abcdefgh")))
def test_overlap_is_symmetric_from_0_to_1_and_1_for_the_same(one, other):
    one, other = tuple(one), tuple(other)
    assert overlap(one, one) == pytest.approx(1)
    assert overlap(one, tuple("12345678")) == 0
    assert 0 <= overlap(one, other) <= 1 + 1e-12
    assert overlap(one, other) == pytest.approx(overlap(other, one))


def test_shadow_pairs_are_counted_once_in_whatever_order_the_halves_come(rollout, clock):
    shadow = Shadow()
    mine, theirs = made(rollout, clock, variant="shadow"), made(rollout, clock, variant="champion", release=A)
    for record in (mine, mine, theirs, theirs, mine):
        shadow.take(record)
    failed = made(rollout, clock, "q2", variant="shadow", failed="timeout")
    shadow.take(made(rollout, clock, "q2", variant="champion"))
    shadow.take(failed)
    assert (shadow.lists, shadow.pairs, shadow.failed) == (2, 1, 1)
    assert shadow.figures()["rank_overlap"] == 1.0


@settings(max_examples=30, deadline=None)
@given(st.lists(st.floats(0.01, 1e6), min_size=1, max_size=200), st.floats(0.01, 1.0))
def test_a_quantile_is_known_to_two_percent(values, level):
    sketch = Sketch()
    for value in values:
        sketch.add(value)
    exact = sorted(values)[max(0, int(np.ceil(level * len(values))) - 1)]
    assert exact <= sketch.quantile(level) * 1.000001
    assert sketch.quantile(level) <= exact * 1.0201
    assert sketch.at(len(values) + 1)[0] == float("inf")


def test_rarefied_is_what_drawing_gives():
    rng = np.random.default_rng(1)
    shown = rng.random((60, 40)) < rng.random(40) ** 3
    drawn = [shown[rng.choice(60, 12, replace=False)].any(axis=0).sum() for _ in range(1500)]
    assert rarefied(shown.sum(axis=0), 60, 12) == pytest.approx(np.mean(drawn), abs=0.25)


def test_an_equal_candidate_covers_enough_and_a_narrow_one_is_seen_at_the_first_checkpoint():
    rng = np.random.default_rng(2)

    def lists(users, of):
        return [tuple(f"i{n}" for n in rng.choice(of, 10, replace=False)) for _ in range(users)]

    champion = [(False, items) for items in lists(190, 300)]
    assert compared(champion + [(True, items) for items in lists(9, 300)], 0.5, seed=1) is None
    fair = compared(champion + [(True, items) for items in lists(10, 300)], 0.5, seed=1)
    assert (fair.lists, fair.p) == (10, 1.0)
    narrow = compared(champion + [(True, items) for items in lists(10, 12)], 0.5, seed=1)
    assert narrow.items <= 12 < 0.5 * narrow.expected
    assert narrow.p < 0.0005


def test_clicks_that_travel_in_a_later_segment_are_waited_for_whatever_the_clock_says(home, rollout, clock, traffic):
    """A simulated day passes in a second; segments still take theirs."""
    slow = Settings(rollout=RolloutSettings(click_seconds=60), log=LogSettings(segment_seconds=0.15))
    evidence = Evidence(home.store, rollout, slow, clock.time)
    sent(traffic, PREDICTIONS, made(rollout, clock))
    clock.forward(86_400)
    evidence.look(rollout, clock.time)
    assert evidence.sides["candidate"].ripe.total() == 0
    time.sleep(0.31)
    evidence.look(rollout, clock.time)
    assert evidence.sides["candidate"].ripe.total() == 1


def test_clicks_that_name_no_list_are_told_where_there_is_nothing_to_compare(evidence, rollout, clock, traffic):
    sent(traffic, PREDICTIONS, made(rollout, clock), made(rollout, clock, "q2", "u2", "champion", release=A))
    sent(traffic, EVENTS, *[{"user_id": f"u{n}", "item_id": "i1", "event": "click"} for n in range(3)])
    clock.forward(61)
    evidence.look(rollout, clock.time)
    verdict = clicks(evidence, RolloutSettings(), 0.025)
    assert verdict.state == "undecided"
    assert "3 clicks name no list" in verdict.sentence


@pytest.mark.parametrize("early", [False, True], ids=["after the list", "before the list"])
def test_a_click_counts_for_a_list_only_on_what_the_list_showed(evidence, rollout, clock, traffic, early):
    lists = [made(rollout, clock), made(rollout, clock, "q2", "u2")]
    events = [
        {"user_id": "u1", "item_id": "elsewhere", "event": "click", "request_id": "q1"},
        {"user_id": "u2", "item_id": "elsewhere", "event": "click", "request_id": "q2"},
        {"user_id": "u2", "item_id": "i1", "event": "click", "request_id": "q2"},
    ]
    for event in events if early else []:
        evidence.click(event)
    sent(traffic, PREDICTIONS, *lists)
    evidence.look(rollout, clock.time)
    for event in [] if early else events:
        evidence.click(event)
    clock.forward(61)
    evidence.look(rollout, clock.time)
    groups = evidence.groups("clicks")
    assert (groups.lists.sum(), groups.hits.sum()) == (2, 1)
