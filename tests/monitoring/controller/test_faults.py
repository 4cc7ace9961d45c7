"""What the controller does while its runner or its disk fails: it waits, says so, and goes on."""

import pytest

from components.recsys.errors import InputError, NotFound, StoreError
from monitoring.controller.engine import TRIES
from monitoring.controller.records import Intent, State


def at_once(desk) -> None:
    """Forget how long to wait, not how often it was tried."""
    desk.controller.tries = {number: (tries, 0.0) for number, (tries, _) in desk.controller.tries.items()}


def test_a_runner_that_cannot_be_reached_is_asked_again_and_not_at_every_turn(desk, drift):
    desk.launcher.down = 10**6
    row = desk.ask(drift)
    assert (row.state, desk.controller.trouble) == (State.RECEIVED, "Kubeflow cannot be reached")  # to count events
    desk.launcher.down = 0
    desk.triggers.decide(row.id, None, lambda trigger, situation: [])
    desk.launcher.down = 1
    desk.controller.turn()
    assert (desk.triggers.get(row.id).state, desk.launcher.starts) == (State.SUBMITTING, [])
    desk.controller.turn()
    assert desk.launcher.starts == []  # a second has not passed
    at_once(desk)
    desk.controller.turn()
    assert (desk.triggers.get(row.id).state, desk.launcher.starts) == (State.RUNNING, [row.key])


def test_an_answer_that_was_lost_is_looked_for_before_anything_is_started_again(desk, drift):
    desk.launcher.lose_answers = 1
    row = desk.ask(drift)
    assert (row.state, desk.launcher.starts) == (State.SUBMITTING, [row.key])
    at_once(desk)
    desk.controller.turn()
    assert (desk.triggers.get(row.id).state, desk.launcher.starts) == (State.RUNNING, [row.key])


def test_a_submission_is_given_up_in_the_end_and_the_reason_kept(desk, drift):
    row = desk.ask(drift)
    desk = desk.restarted(cooldown_seconds=60)
    desk.wait(minutes=5)
    desk.launcher.end(row.key)
    desk.controller.turn()
    desk.triggers.receive([drift])
    (waiting,) = desk.triggers.open()
    desk.triggers.decide(waiting.id, None, lambda trigger, situation: [])
    desk.launcher.down = 10**6
    for _ in range(TRIES):
        desk.controller.turn()
        at_once(desk)
    ended = desk.triggers.get(waiting.id)
    assert (ended.state, ended.reason, ended.detail) == (State.FAILED, "submission", "Kubeflow cannot be reached")


def test_a_runner_that_refuses_is_not_asked_again(desk, drift):
    def refuse(key, evidence):
        raise InputError("the home is a folder, which pods do not see")

    desk.launcher.submit = refuse
    row = desk.ask(drift)
    assert (row.state, row.reason) == (State.FAILED, "submission")
    assert "which pods do not see" in row.detail


def test_a_run_that_nobody_knows_any_more_is_lost(desk, drift):
    row = desk.ask(drift)

    def gone(handle):
        raise NotFound("no such run")

    desk.launcher.state = gone
    desk.controller.turn()
    assert (desk.triggers.get(row.id).state, desk.triggers.get(row.id).reason) == (State.FAILED, "lost")


def test_a_full_disk_refuses_the_wish_whole_and_takes_the_next(desk, drift):
    desk.triggers.receive([drift])
    pages = desk.database.connection.execute("PRAGMA page_count").fetchone()[0]
    desk.database.connection.execute(f"PRAGMA max_page_count = {pages}")
    long = [
        Intent("everloop", reason, "test", 1, ({"labels": {"a": "x" * 200_000}},)) for reason in ("quality", "stale")
    ]
    with pytest.raises(StoreError, match="full"):
        desk.triggers.receive(long)
    assert [row.reason_class for row in desk.triggers.latest()] == ["drift"]
    desk.database.connection.execute("PRAGMA max_page_count = 1000000")
    desk.triggers.receive(long)
    assert len(desk.triggers.latest()) == 3


def test_a_second_controller_of_the_same_home_stands_by(desk, drift):
    other = type(desk)(desk.path, desk.clock, launcher=desk.launcher)
    desk.triggers.receive([drift])
    with desk.database.alone() as mine:
        assert mine
        assert other.controller.turn() is False
        assert "stands by" in other.controller.trouble
    assert other.controller.turn() is True
    assert len(desk.launcher.starts) == 1
    other.database.close()


def test_a_state_that_another_controller_moved_on_is_left_alone(desk, drift):
    row = desk.ask(drift)
    desk.launcher.end(row.key)
    desk.triggers.move(row, State.SUCCEEDED, outcome="promoted")
    with pytest.raises(StoreError, match="another controller"):
        desk.triggers.move(row, State.FAILED, reason="run")
    assert desk.triggers.get(row.id).state is State.SUCCEEDED
