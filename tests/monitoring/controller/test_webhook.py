"""The webhook over real HTTP: what is stored before it answers, what it refuses, and what hostile bodies cannot do."""

import concurrent.futures
import http.client
import json
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from components.recsys.errors import EverloopError, InputError
from components.recsys.home import Home
from components.recsys.pulse import Pulse
from components.recsys.settings import Settings
from components.recsys.statuses import Statuses
from monitoring.controller import app as webhook
from monitoring.controller.alerts import MOST_LABELS, MOST_TEXT, read_notice
from monitoring.controller.records import CLASSES, UNKNOWN_MODEL
from monitoring.controller.server import database_of, running
from monitoring.controller.switches import Switches
from monitoring.controller.triggers import Triggers


class Front:
    """A running controller, and what it has stored."""

    def __init__(self, url: str, home: Home, settings: Settings, runs: Any) -> None:
        self.url, self.runs = url, runs
        database = database_of(home, settings)
        self.triggers, self.switches = Triggers(database, 6 * 3600), Switches(database)
        self.statuses = Statuses(home.store)
        self.client = httpx.Client(base_url=url, timeout=30)

    def send(self, body: bytes | str, **headers: str) -> httpx.Response:
        return self.client.post("/v1/alerts", content=body, headers=headers)

    def get(self, path: str) -> httpx.Response:
        return self.client.get(path)

    def metric(self, start: str) -> list[str]:
        return [line for line in self.get("/metrics").text.splitlines() if line.startswith(start)]


@pytest.fixture
def token(tmp_path: Path) -> Path:
    path = tmp_path / "token"
    path.write_text("secret\n")
    return path


@pytest.fixture
def changes() -> dict[str, Any]:
    return {}


@pytest.fixture
def front(tmp_path: Path, table: Any, changes: dict[str, Any]) -> Iterator[Front]:
    settings = Settings.model_validate({"retrain": {"port": 0, **changes}})
    home, runs = Home(tmp_path / "home"), table()
    with running(home, settings, runs) as url:
        opened = Front(url, home, settings, runs)
        yield opened
        opened.client.close()
        opened.triggers.database.close()


def until(condition: Any, seconds: float = 10) -> None:
    done = threading.Event()
    for _ in range(int(seconds / 0.02)):
        if condition():
            return
        done.wait(0.02)
    raise AssertionError("it did not come to pass")


def test_an_alert_is_stored_before_it_is_answered_and_acted_on_at_once(front: Front, alert: Any, notice: Any) -> None:
    answer = front.send(notice(alert(), alert()))
    assert (answer.status_code, answer.json()["accepted"]) == (200, 2)
    (row,) = front.triggers.latest()
    assert (row.id, row.copies) == (answer.json()["triggers"][0], 2)
    assert row.evidence["alerts"][0]["fingerprint"] == "0123456789abcdef"
    until(lambda: front.runs.starts)
    assert front.runs.starts == [row.key]
    until(lambda: front.statuses.read("controller").facts.get("active") == 1)
    facts = front.statuses.read("controller").facts
    assert (facts["decisions"][0]["alert"], facts["decisions"][0]["run"]) == ("DriftDetected", row.key)
    assert front.get("/healthz").status_code == front.get("/readyz").status_code == 200
    counted = [line for line in front.metric("everloop_webhooks_total") if not line.endswith(" 0.0")]
    assert counted == ['everloop_webhooks_total{outcome="accepted"} 1.0']


def test_a_restarted_alertmanager_with_another_fingerprint_asks_for_the_same_run(
    front: Front, alert: Any, notice: Any
) -> None:
    for number in range(3):
        front.send(notice({**alert(), "fingerprint": f"f{number}", "startsAt": f"2026-03-02T1{number}:00:00Z"}))
        until(lambda: not [row for row in front.triggers.latest() if row.state == "RECEIVED"])
    assert len(front.runs.starts) == 1
    assert sorted(row.state for row in front.triggers.latest()) == ["RUNNING", "SUPPRESSED"]


def test_what_resolves_is_recorded_and_asks_for_nothing(front: Front, alert: Any, notice: Any) -> None:
    assert front.send(notice(alert("resolved"))).json()["accepted"] == 0
    front.send(notice(alert()))
    front.send(notice(alert("resolved")))
    (row,) = front.triggers.latest()
    assert row.resolved is not None


def test_alerts_for_people_are_none_of_ours(front: Front, alert: Any, notice: Any) -> None:
    answer = front.send(notice(alert(action="", reason=""), alert(action="page")))
    assert (answer.status_code, answer.json()["ignored"]) == (200, 2)
    assert not front.triggers.latest()


def test_a_blocking_alert_forbids_training_until_it_resolves(front: Front, alert: Any, notice: Any) -> None:
    bad = {"alertname": "DataQualityFailed", "action": "", "reason": "", "blocks": "retrain"}
    front.send(notice(alert(**bad), alert()))
    until(lambda: front.triggers.latest()[0].state == "SUPPRESSED")
    assert front.triggers.latest()[0].reason == "data_quality"
    front.send(notice(alert(**bad)))  # repeated, as Alertmanager does
    assert len(front.switches.read().blocks) == 1
    front.send(notice(alert("resolved", **bad)))
    assert not front.switches.read().blocks
    front.send(notice(alert()))
    until(lambda: front.runs.starts)


NEVER = [
    b"",
    b"{",
    b"\xff\xfe",
    b"[]",
    b"null",
    b"{}",
    b'{"alerts": null}',
    b'{"alerts": {"a": 1}}',
    b'{"alerts": [1]}',
    b'{"alerts": [{}]}',
    b'{"alerts": [{"status": "odd", "labels": {}}]}',
    b'{"alerts": [{"status": "firing", "labels": []}]}',
    b'{"alerts": [{"status": "firing", "labels": {"action": 1}}]}',
    b'{"alerts": [{"status": "firing", "labels": {}, "annotations": {"a": {"b": 1}}}]}',
    b"[" * 100_000,
    b'{"alerts": ' + b'[{"labels": ' * 5_000,
    b'{"alerts": [{"status": "firing", "labels": {"model": "\\ud800"}}]}',
]


def test_what_can_never_succeed_is_a_400(front: Front) -> None:
    for body in NEVER:
        answer = front.send(body)
        assert (answer.status_code, list(answer.json())) == (400, ["error"]), body[:80]
    assert not front.triggers.latest()


@pytest.mark.parametrize("changes", [{"max_body_bytes": 2048}])
def test_a_body_above_the_limit_is_a_413_also_without_a_length(front: Front) -> None:
    assert front.send(b"x" * 2049).status_code == 413
    chunks = (b"x" * 1000 for _ in range(10))
    assert front.client.post("/v1/alerts", content=chunks).status_code == 413


def test_a_body_that_does_not_come_is_a_408(front: Front, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(webhook, "BODY_SECONDS", 0.2)
    host, port = front.url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=10) as client:
        client.sendall(b"POST /v1/alerts HTTP/1.1\r\nhost: x\r\ncontent-length: 100\r\n\r\n{")
        assert b"408" in client.recv(4096).splitlines()[0]


@pytest.fixture
def guarded(tmp_path: Path, table: Any, token: Path) -> Iterator[Front]:
    settings = Settings.model_validate({"retrain": {"port": 0, "token_file": str(token)}})
    home = Home(tmp_path / "home")
    with running(home, settings, table()) as url:
        opened = Front(url, home, settings, None)
        yield opened
        opened.client.close()
        opened.triggers.database.close()


def test_who_has_not_the_token_is_not_heard(guarded: Front, alert: Any, notice: Any, token: Path) -> None:
    body = notice(alert())
    for given_ in (
        {},
        {"authorization": "Bearer wrong"},
        {"authorization": "secret"},
        {"authorization": "Bearer secre"},
    ):
        answer = guarded.send(body, **given_)
        assert (answer.status_code, answer.headers["www-authenticate"]) == (401, "Bearer")
    assert not guarded.triggers.latest()
    assert guarded.send(body, authorization="Bearer secret").status_code == 200
    token.write_text("rotated")
    assert guarded.send(body, authorization="Bearer secret").status_code == 401
    assert guarded.send(body, authorization="Bearer rotated").status_code == 200
    assert guarded.get("/metrics").status_code == 200


def test_a_token_file_that_is_gone_or_empty_lets_nobody_in_and_is_tried_again(guarded: Front, token: Path) -> None:
    token.write_text("")
    assert guarded.send(b"{}", authorization="Bearer x").status_code == 503
    token.unlink()
    assert guarded.send(b"{}", authorization="Bearer secret").status_code == 503


def test_a_store_that_is_down_is_a_503_and_the_next_call_is_taken(
    front: Front, alert: Any, notice: Any, tmp_path: Path
) -> None:
    until(lambda: front.get("/readyz").status_code == 200)
    with front.triggers.database.transaction() as sql:
        sql("ALTER TABLE everloop_triggers RENAME TO gone")
    answer = front.send(notice(alert()))
    assert (answer.status_code, "database" in answer.json()["error"]) == (503, True)
    until(lambda: front.get("/readyz").status_code == 503)
    with front.triggers.database.transaction() as sql:
        sql("ALTER TABLE gone RENAME TO everloop_triggers")
    assert front.send(notice(alert())).status_code == 200
    until(lambda: front.get("/readyz").status_code == 200)


def test_a_controller_whose_turns_hang_says_so_to_the_kubelet(front: Front, monkeypatch: pytest.MonkeyPatch) -> None:
    assert front.get("/healthz").json() == {"status": "alive"}
    monkeypatch.setattr(Pulse, "trouble", lambda pulse: "the last turn began 301 s ago; it hangs")
    assert (front.get("/healthz").status_code, front.get("/healthz").json()["error"][:8]) == (503, "the last")


NASTY = [
    "x" * 10_000,
    "\x00\x1b[31m\r\n",
    "Ünïcödé \u202e 漢字 🙂",
    "'; DROP TABLE everloop_triggers; --",
    '"} everloop_triggers_total{outcome="',
    "../../etc/passwd",
    "",
]


def test_hostile_labels_make_no_error_no_new_series_and_few_rows(front: Front, alert: Any, notice: Any) -> None:
    before = len(front.metric("everloop_triggers_total"))
    for nasty in NASTY:
        for name in ("alertname", "model", "reason", "severity"):
            assert front.send(notice(alert(**{name: nasty}))).status_code == 200
        assert front.send(notice({**alert(), "annotations": {nasty or "a": nasty}})).status_code == 200
    until(lambda: not [row for row in front.triggers.latest() if row.state == "RECEIVED"])
    rows = front.triggers.latest(1000)
    assert {row.model for row in rows} <= {"everloop", UNKNOWN_MODEL}
    assert {row.reason_class for row in rows} <= set(CLASSES)
    assert len(front.metric("everloop_triggers_total")) == before
    assert sum(row.copies for row in rows) == 5 * len(NASTY)
    for row in rows:
        for each in row.evidence["alerts"]:
            assert all(len(text) <= MOST_TEXT and text.isprintable() for text in each["labels"].values())


def test_ten_thousand_alerts_in_one_body_are_one_wish_with_twenty_examples(front: Front, alert: Any) -> None:
    few = {"status": "firing", "labels": {"action": "retrain", "reason": "drift"}}
    answer = front.send(json.dumps({"alerts": [few] * 10_000}))
    assert (answer.status_code, answer.json()["accepted"]) == (200, 10_000)
    (row,) = front.triggers.latest()
    assert (row.copies, len(row.evidence["alerts"])) == (10_000, 20)


TEXT = st.text(max_size=20)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | TEXT,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXT, inner, max_size=4),
    max_leaves=20,
)
LABELS = st.dictionaries(st.sampled_from(["action", "reason", "model", "blocks", "alertname"]) | TEXT, TEXT | JSON)
ALERT = st.fixed_dictionaries({"status": st.sampled_from(["firing", "resolved"]) | JSON, "labels": LABELS | JSON})


@hypothesis_settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(value=JSON | st.fixed_dictionaries({"alerts": st.lists(ALERT, max_size=5) | JSON}))
def test_any_json_is_read_or_refused_and_makes_few_keys(value: Any) -> None:
    try:
        found = read_notice(json.dumps(value).encode(), {"everloop"}, "everloop")
    except InputError:  # a 400
        return
    for intent in found.intents:
        assert intent.model in ("everloop", UNKNOWN_MODEL)
        assert intent.reason_class in CLASSES
        assert all(len(each["labels"]) <= MOST_LABELS for each in intent.alerts)


def test_a_thousand_copies_at_once_are_one_run(front: Front, alert: Any, notice: Any) -> None:
    body = notice(alert())

    host, port = front.url.removeprefix("http://").split(":")

    def send(number: int) -> int:
        connection = http.client.HTTPConnection(host, int(port), timeout=60)
        try:
            connection.request("POST", "/v1/alerts", body)
            return connection.getresponse().status
        finally:
            connection.close()

    with concurrent.futures.ThreadPoolExecutor(50) as senders:
        assert list(senders.map(send, range(1_000))) == [200] * 1_000
    until(lambda: not [row for row in front.triggers.latest() if row.state == "RECEIVED"])
    assert len(front.runs.starts) == 1
    assert sum(row.copies for row in front.triggers.latest()) == 1_000


def test_home_in_object_storage_needs_a_database(s3_url: str) -> None:
    with pytest.raises(EverloopError, match=r"retrain\.database"):
        database_of(Home(s3_url), Settings())
