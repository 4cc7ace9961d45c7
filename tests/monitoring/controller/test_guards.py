"""Each guard says no, says why, and lets the next one through when its cause is gone."""

import json
from dataclasses import replace

import pytest

from components.recsys.settings import Settings
from monitoring.controller.alerts import read_notice
from monitoring.controller.guards import GUARDS
from monitoring.controller.records import CLASSES, MANUAL, MODEL, UNKNOWN_MODEL, Block, Intent, State
from monitoring.rules.rule import Alert
from monitoring.rules.triggers import triggers

BY_HAND = Intent("everloop", MANUAL, "ada", note="new catalogue")
OPEN = Block("b1", "DataQualityFailed", {"alertname": "DataQualityFailed"}, firing=True)


def test_an_alert_becomes_a_run_and_the_journal_tells_each_state(desk, drift):
    row = desk.ask(drift)
    assert (row.state, desk.launcher.starts) == (State.RUNNING, [row.key])
    desk.launcher.end(row.key)
    desk.controller.turn()
    row = desk.triggers.get(row.id)
    assert (row.state, row.outcome, row.release) == (State.PROMOTED, "promoted", "9f2c")
    assert row.detail == "beats the champion"
    assert desk.journal == ["RECEIVED", "ADMITTED", "SUBMITTING", "RUNNING", "SUCCEEDED", "PROMOTED"]
    assert row.evidence["alerts"][0]["labels"]["alertname"] == "DriftDetected"


@pytest.mark.parametrize(
    ("outcome", "state"),
    [("promoted", "PROMOTED"), ("approved", "PROMOTED"), ("rejected", "REJECTED"), ("unchanged", "REJECTED")],
)
def test_the_runs_outcome_is_the_last_state(desk, drift, outcome, state):
    row = desk.ask(drift)
    desk.launcher.end(row.key, outcome)
    desk.controller.turn()
    assert (desk.triggers.get(row.id).state, desk.triggers.get(row.id).outcome) == (state, outcome)


def test_a_second_alert_in_the_window_finds_its_run_and_one_after_it_gets_another(desk, drift):
    first = desk.ask(drift)
    desk.launcher.end(first.key)
    desk.controller.turn()
    second = desk.ask(drift)
    assert (second.state, second.reason) == (State.SUPPRESSED, "cooldown")
    assert first.key in second.detail
    desk.wait(hours=5, minutes=59)
    assert desk.ask(drift).reason == "cooldown"
    desk.wait(minutes=2)
    assert desk.ask(drift).state is State.RUNNING
    assert len(desk.launcher.starts) == 2


def test_two_windows_that_touch_do_not_make_two_runs_in_a_row(desk, drift):
    desk.wait(hours=5, minutes=59)  # windows of six hours begin at 12:00 and 18:00
    desk.launcher.end(desk.ask(drift).key)
    desk.wait(minutes=2)
    late = desk.ask(drift)
    assert (late.reason, len(desk.launcher.starts)) == ("cooldown", 1)
    assert "the last run for drift was" in late.detail


def test_another_reason_class_has_its_own_window_but_not_its_own_machine(desk, drift):
    first, quality = desk.ask(drift), replace(drift, reason_class="quality")
    assert desk.ask(quality).reason == "concurrency"
    desk.launcher.end(first.key)
    assert desk.ask(quality).state is State.RUNNING  # the same key was suppressed before, and is free


def test_the_budget_holds_over_any_24_hours(desk, drift):
    desk = desk.restarted(cooldown_seconds=60, daily_budget=2)
    for _ in range(2):
        desk.launcher.end(desk.ask(drift).key)
        desk.wait(hours=1)
    over = desk.ask(drift)
    assert (over.reason, over.detail) == ("budget", "2 runs in 24 hours, of 2")
    desk.wait(hours=21, minutes=59)
    assert desk.ask(drift).reason == "budget"
    desk.wait(minutes=2)
    assert desk.ask(drift).state is State.RUNNING


def test_a_clock_set_back_opens_neither_budget_nor_cooldown(desk, drift):
    desk.launcher.end(desk.ask(drift).key)
    desk.wait(hours=-5)
    assert desk.ask(drift).reason == "cooldown"
    desk = desk.restarted(cooldown_seconds=60, daily_budget=1)
    assert desk.ask(drift).reason == "budget"


@pytest.mark.parametrize(("events", "state"), [(99, "SUPPRESSED"), (100, "RUNNING"), (None, "RUNNING")])
def test_too_few_new_events_are_not_worth_a_run(desk, drift, events, state):
    desk.launcher.events = events
    row = desk.ask(drift)
    assert row.state == state
    if state == "SUPPRESSED":
        assert (row.reason, row.detail[:13]) == ("few_events", "99 new events")


def test_an_alert_that_forbids_training_does_until_it_resolves(desk, drift):
    desk.switches.take([OPEN])
    row = desk.ask(drift)
    assert (row.reason, "DataQualityFailed" in row.detail) == ("data_quality", True)
    desk.switches.take([replace(OPEN, firing=False)])
    assert desk.ask(drift).state is State.RUNNING
    assert [what for what in desk.journal if "block" in what] == ["block opened", "block closed"]


def test_the_circuit_breaker_opens_after_failures_in_a_row_and_closes_by_hand(desk, drift):
    desk = desk.restarted(cooldown_seconds=60, daily_budget=100)
    for _ in range(3):
        desk.launcher.fail(desk.ask(drift).key)
        desk.controller.turn()
        desk.wait(minutes=2)
    assert desk.ask(drift).reason == "breaker"
    desk.switches.resume("ada")
    assert desk.ask(drift).state is State.RUNNING


def test_a_success_between_failures_keeps_the_breaker_closed(desk, drift):
    desk = desk.restarted(cooldown_seconds=60, daily_budget=100)
    for end in ("fail", "fail", "end", "fail", "fail"):
        getattr(desk.launcher, end)(desk.ask(drift).key)
        desk.controller.turn()
        desk.wait(minutes=2)
    assert desk.ask(drift).state is State.RUNNING


def test_what_the_data_gate_refused_pages_and_does_not_count_as_a_failure(desk, drift):
    desk = desk.restarted(cooldown_seconds=60, daily_budget=100, breaker_failures=1)
    row = desk.ask(drift)
    desk.launcher.fail(row.key, "41 % of the prices are missing", "validate", refused=True)
    desk.controller.turn()
    row = desk.triggers.get(row.id)
    assert (row.state, row.reason, row.stage) == (State.FAILED, "data_quality", "validate")
    assert desk.switches.read().data_quality == "41 % of the prices are missing"
    assert b"everloop_data_quality_failed 1.0" in desk.controller.measures.exposition()
    desk.wait(minutes=2)
    second = desk.ask(drift)  # no alert forbids it: perhaps the data is mended
    desk.launcher.end(second.key, "unchanged")
    desk.controller.turn()
    assert desk.switches.read().data_quality == ""
    assert b"everloop_data_quality_failed 0.0" in desk.controller.measures.exposition()


def test_a_store_that_failed_in_the_gates_step_is_a_failure_of_the_run(desk, drift):
    row = desk.ask(drift)
    desk.launcher.fail(row.key, "no space left", "validate", refused=False)
    desk.controller.turn()
    assert (desk.triggers.get(row.id).reason, desk.switches.read().data_quality) == ("run", "")


def test_mended_data_is_told_by_a_person(desk, drift):
    row = desk.ask(drift)
    desk.launcher.fail(row.key, "prices are missing", "validate", refused=True)
    desk.controller.turn()
    desk.switches.take([OPEN])
    desk.switches.resume("ada")
    assert (desk.switches.read().data_quality, len(desk.switches.read().blocks)) == ("prices are missing", 1)
    desk.switches.resume("ada", data_quality=True)
    assert (desk.switches.read().data_quality, desk.switches.read().blocks) == ("", ())


def test_paused_by_a_person_with_the_persons_words(desk, drift):
    desk.switches.pause("the catalogue is being moved", "ada")
    row = desk.ask(drift)
    assert (row.reason, row.detail) == ("paused", "paused: the catalogue is being moved")
    desk.switches.resume("ada")
    assert desk.ask(drift).state is State.RUNNING


def test_a_dry_run_decides_and_starts_nothing(desk, drift):
    desk = desk.restarted(dry_run=True)
    assert desk.ask(drift).reason == "dry_run"
    assert not desk.launcher.starts


def test_a_model_that_is_not_ours_gets_nothing(desk, drift):
    assert desk.ask(replace(drift, model=UNKNOWN_MODEL)).reason == "unknown_model"


def test_a_person_may_ask_within_the_cooldown_but_not_over_the_budget(desk, drift):
    desk = desk.restarted(daily_budget=2)
    desk.launcher.end(desk.ask(drift).key)
    desk.controller.turn()
    row = desk.ask(BY_HAND)
    assert (row.state, row.evidence["note"], row.asked_by) == (State.RUNNING, "new catalogue", "ada")
    assert desk.ask(BY_HAND).reason == "concurrency"
    desk.launcher.end(row.key)
    desk.controller.turn()
    assert desk.ask(BY_HAND).reason == "budget"


def test_forcing_goes_over_every_guard_and_is_written_down(desk):
    desk = desk.restarted(daily_budget=0, dry_run=True)
    desk.switches.pause("no", "bob")
    desk.launcher.events = 0
    row = desk.ask(replace(BY_HAND, forced=True))
    assert (row.state, row.forced) == (State.RUNNING, True)
    assert row.overridden == "paused, budget, few_events, dry_run"
    assert row.detail == "forced by ada over: paused, budget, few_events, dry_run"


def test_what_is_suppressed_again_is_counted_and_not_repeated(desk, drift):
    desk.switches.pause("no", "bob")
    for _ in range(30):
        desk.ask(drift)
    (row,) = desk.triggers.latest()
    assert (row.copies, len(row.evidence["alerts"]), row.reason) == (30, 20, "paused")
    assert (
        b'everloop_triggers_total{outcome="suppressed",reason="paused"} 30.0' in desk.controller.measures.exposition()
    )


def test_what_our_own_alerts_say_is_understood():
    """Labels that the rules set: model, reason class, and what blocks."""
    rules = [rule for rule in triggers(Settings()).rules if isinstance(rule, Alert)]
    asking = [rule.all_labels() for rule in rules if rule.action == "retrain"]
    assert {labels["reason"] for labels in asking} == set(CLASSES) - {"other"}
    for labels in asking:
        body = json.dumps({"alerts": [{"status": "firing", "labels": labels}]}).encode()
        (intent,) = read_notice(body, (MODEL,), MODEL).intents
        assert (intent.model, intent.reason_class) == (MODEL, labels["reason"])
    assert [rule.name for rule in rules if rule.blocks == "retrain"] == ["DataQualityFailed"]


def test_every_guard_is_counted_under_its_own_name_only(desk):
    assert list(GUARDS) == [
        *(
            "unknown_model",
            "paused",
            "data_quality",
            "breaker",
            "on_its_way",
            "cooldown",
            "concurrency",
            "budget",
            "settling",
        ),
        "few_events",
        "dry_run",
    ]
