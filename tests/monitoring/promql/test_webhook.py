import pytest

from monitoring.promql.states import FiredAlert
from monitoring.promql.webhook import Sender

DRIFT = {
    "alertname": "DriftDetected",
    "model": "everloop",
    "action": "retrain",
    "reason": "drift",
    "severity": "ticket",
}
BAD = {"alertname": "DataQualityFailed", "model": "everloop", "blocks": "retrain", "severity": "page"}
BLIND = {"alertname": "MonitorBlind", "model": "everloop", "severity": "page"}


def firing(labels, **more):
    return FiredAlert({**labels, **more}, {"summary": "s"}, 1.0, 100.0)


def resolved(labels, **more):
    return FiredAlert({**labels, **more}, {"summary": "s"}, 1.0, 100.0, 200.0)


@pytest.fixture
def sender(receiver, tmp_path):
    (tmp_path / "token").write_text("secret\n")
    return Sender({"controller": f"{receiver.url}/alerts", "pager": f"{receiver.url}/page"}, tmp_path / "token")


def test_a_group_is_told_once_until_something_changes_or_the_interval_is_over(sender, receiver):
    assert sender.send([firing(DRIFT, feature="a")], 0) == []
    assert sender.send([firing(DRIFT, feature="a")], 10) == []
    assert len(receiver.calls) == 1
    sender.send([firing(DRIFT, feature="a"), firing(DRIFT, feature="b")], 20)
    assert [len(body["alerts"]) for body in receiver.bodies()] == [1, 2]
    sender.send([firing(DRIFT, feature="a"), firing(DRIFT, feature="b")], 20 + 3600)
    assert len(receiver.calls) == 3


def test_the_end_is_told_and_then_forgotten(sender, receiver):
    sender.send([firing(DRIFT)], 0)
    sender.send([resolved(DRIFT)], 10)
    sender.send([], 20)
    assert [body["status"] for body in receiver.bodies()] == ["firing", "resolved"]
    assert receiver.bodies()[1]["alerts"][0]["endsAt"] == "1970-01-01T00:03:20.000Z"
    assert sender.groups == {}


def test_a_server_error_is_tried_again_with_patience(sender, receiver):
    receiver.statuses = [503, 500]
    (fault,) = sender.send([firing(DRIFT)], 0)
    assert "503" in fault
    assert sender.send([firing(DRIFT)], 0.2) == []  # not yet
    assert len(receiver.calls) == 1
    assert len(sender.send([firing(DRIFT)], 0.6)) == 1
    assert sender.send([firing(DRIFT)], 1.7) == []
    assert len(receiver.calls) == 3


def test_the_end_of_an_alert_waits_behind_a_dead_receiver(sender, receiver):
    sender.send([firing(DRIFT)], 0)
    receiver.statuses = [503]
    sender.send([resolved(DRIFT)], 10)
    sender.send([], 11)  # the evaluator tells an end only once
    assert [body["status"] for body in receiver.bodies()] == ["firing", "resolved", "resolved"]


def test_a_client_error_is_given_up(sender, receiver):
    receiver.statuses = [400]
    (fault,) = sender.send([firing(DRIFT)], 0)
    assert "given up" in fault
    assert sender.send([firing(DRIFT)], 10) == []
    assert len(receiver.calls) == 1


def test_nobody_there_is_a_fault_and_no_crash(tmp_path):
    sender = Sender({"controller": "http://127.0.0.1:9/alerts"})
    (fault,) = sender.send([firing(DRIFT)], 0)
    assert "does not answer" in fault
    assert len(sender.groups) == 1


def test_bad_data_goes_to_the_controller_and_to_people_but_the_token_only_to_the_controller(sender, receiver):
    sender.send([firing(BAD)], 0)
    assert {call["path"] for call in receiver.calls} == {"/alerts", "/page"}
    assert {call["path"]: call["headers"].get("Authorization") for call in receiver.calls} == {
        "/alerts": "Bearer secret",
        "/page": None,
    }


def test_while_the_monitor_is_blind_its_figures_start_no_run(sender, receiver):
    sender.send([firing(BLIND), firing(DRIFT)], 0)
    assert receiver.bodies("/alerts") == []
    sender.send([resolved(BLIND), firing(DRIFT)], 10)
    assert len(receiver.bodies("/alerts")) == 1
    sender.send([firing(BLIND), resolved(DRIFT)], 20)  # what was told to fire is told to end
    assert [body["status"] for body in receiver.bodies("/alerts")] == ["firing", "resolved"]


def test_no_pager_is_told_nothing(receiver):
    sender = Sender({"controller": f"{receiver.url}/alerts", "pager": ""})
    assert sender.send([firing(BLIND)], 0) == []
    assert receiver.calls == []
