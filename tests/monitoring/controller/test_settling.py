"""A run waits until its reason has lasted: the alert is kept, and said to wait."""

from dataclasses import replace

import pytest

from components.recsys.home import Home
from components.recsys.ledger import Ledger
from components.recsys.settings import RetrainSettings
from monitoring.controller.records import State
from monitoring.controller.server import answer_of

HOURS = 48


@pytest.fixture
def patient(desk):
    retrain = RetrainSettings(settle_seconds={"drift": HOURS * 3600.0}, min_new_events=0)
    desk.controller.settings = retrain
    return desk


def test_a_run_waits_until_its_alert_has_been_asking_long_enough(patient, drift):
    first = patient.ask(drift)
    assert (first.state, first.reason) == (State.SUPPRESSED, "settling")
    patient.wait(hours=HOURS - 1)
    assert patient.ask(drift).reason == "settling"
    patient.wait(hours=2)
    assert patient.ask(drift).state is State.RUNNING
    assert len(patient.launcher.starts) == 1


def test_an_alert_that_was_resolved_begins_to_wait_anew(patient, drift):
    patient.ask(drift)
    patient.wait(hours=HOURS - 1)
    patient.triggers.resolved([(drift.model, drift.reason_class)])
    patient.wait(hours=2)
    assert patient.ask(drift).reason == "settling"
    patient.wait(hours=HOURS + 1)
    assert patient.ask(drift).state is State.RUNNING


def test_after_its_run_a_reason_must_last_again(patient, drift):
    patient.ask(drift)
    patient.wait(hours=HOURS + 1)
    patient.launcher.end(patient.ask(drift).key)
    patient.controller.turn()
    patient.wait(hours=24)
    assert patient.ask(drift).reason in ("settling", "cooldown")
    patient.wait(hours=HOURS + 1)
    assert patient.ask(drift).state is State.RUNNING


def test_other_reasons_do_not_wait(patient, drift):
    assert patient.ask(replace(drift, reason_class="quality")).state is State.RUNNING


def test_while_an_answer_is_on_its_way_to_people_nothing_is_started(patient, drift):
    patient.controller.on_its_way = lambda: "release 9f2c is on its way"
    first = patient.ask(drift)
    assert (first.state, first.reason, first.detail) == (State.SUPPRESSED, "on_its_way", "release 9f2c is on its way")
    patient.wait(hours=HOURS + 1)
    assert patient.ask(drift).reason == "on_its_way"
    # What was asked for before people had the answer does not count once they have it.
    patient.controller.on_its_way = lambda: ""
    patient.wait(hours=1)
    assert patient.ask(drift).reason == "settling"
    patient.wait(hours=HOURS + 1)
    assert patient.ask(drift).state is State.RUNNING


def test_the_ledger_tells_what_is_on_its_way_until_its_rollout_ends_or_was_forgotten(tmp_path):
    home = Home(tmp_path)
    ledger = Ledger(home)
    assert answer_of(ledger, 3600) == ""
    ledger.append("promote", "a" * 64, "the first")
    ledger.append("approve", "b" * 64, "better")
    assert answer_of(ledger, 3600).startswith("release bbbbbbbbbbbb passed the gate")
    assert answer_of(ledger, -1) == ""
    ledger.append("abort", "b" * 64, "worse after all")
    assert answer_of(ledger, 3600) == ""
    ledger.append("approve", "c" * 64, "better")
    ledger.append("promote", "c" * 64, "survived its rollout")
    assert answer_of(ledger, 3600) == ""
