"""The process: how it starts, what it says, how it ends; and what it answers beside lists."""

import json
import signal
import subprocess
import sys
import threading
import time

import httpx
import pytest

from components.recsys.errors import StoreError
from components.recsys.home import Home
from components.recsys.predictions import read_predictions
from components.recsys.settings import GatewaySettings, Settings
from serving.gateway.server import running

PREDICT = "/v1/models/everloop:predict"


@pytest.fixture
def start(world):
    started = []

    def make(*overrides):
        settings = [f"--set={one}" for one in ("gateway.poll_seconds=0.05", "log.flush_seconds=0.05", *overrides)]
        command = [sys.executable, "-m", "pipelines.cli", "gateway", "--json", "--port=0", f"--home={world.home}"]
        process = subprocess.Popen([*command, *settings], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        started.append(process)
        return process, json.loads(process.stdout.readline())

    yield make
    for process in started:
        if process.poll() is None:
            process.kill()
        process.communicate()


def test_sigterm_under_load_fails_no_request_and_loses_no_record(world, predictor, route, start, until):
    route(world, predictor())
    process, said = start("serving.drain_seconds=0.5")
    answers, failures, ready = [], [], threading.Event()
    ready.set()
    until(lambda: httpx.get(said["url"] + "/readyz").status_code == 200)

    def balance():
        while httpx.get(said["url"] + "/readyz").status_code == 200:
            time.sleep(0.05)
        ready.clear()

    def ask(number):
        with httpx.Client(base_url=said["url"]) as client:
            while ready.is_set():
                try:
                    answer = client.post(PREDICT, json={"instances": [{"user_id": f"u{number}", "k": 5}]})
                    answers.append(answer.json()["predictions"][0])
                except (httpx.TransportError, KeyError) as error:
                    failures.append(error)

    threads = [threading.Thread(target=balance), *(threading.Thread(target=ask, args=(n,)) for n in range(4))]
    for thread in threads:
        thread.start()
    time.sleep(0.5)
    process.send_signal(signal.SIGTERM)
    for thread in threads:
        thread.join()
    _, err = process.communicate(timeout=30)
    assert process.returncode == 0, err
    assert "Traceback" not in err
    assert not failures
    assert len(answers) > 20
    assert {len(answer["items"]) for answer in answers} == {5}
    records = {record.request_id for record in read_predictions(Home(world.home).store, set())}
    assert records == {answer["request_id"] for answer in answers}


def test_after_kill_9_the_next_gateway_has_events_and_records(world, predictor, route, start, logged):
    route(world, predictor())
    first, said = start()
    with httpx.Client(base_url=said["url"]) as client:
        for film in range(5):
            client.post("/v1/events", json={"user_id": "newcomer", "item_id": f"f{film}"}).raise_for_status()
        [answer] = client.post(PREDICT, json={"instances": [{"user_id": "newcomer", "k": 24}]}).json()["predictions"]
    time.sleep(0.3)  # a record is on disk within log.flush_seconds
    first.kill()
    first.wait()
    _, said = start()
    again = httpx.post(said["url"] + PREDICT, json={"instances": [{"user_id": "newcomer", "k": 24}]})
    assert [item["id"] for item in again.json()["predictions"][0]["items"]] == [item["id"] for item in answer["items"]]
    assert {answer["request_id"]} <= {record.request_id for record in logged(1)}


def test_a_home_that_cannot_be_written_stops_the_start_with_one_sentence(tmp_path):
    (tmp_path / "file").write_text("")
    with (
        pytest.raises(StoreError, match="is, or lies below, a file and not a folder"),
        running(str(tmp_path / "file"), Settings(gateway=GatewaySettings(port=0))),
    ):
        pass


@pytest.mark.parametrize(
    ("status", "path", "body", "sentence"),
    [
        (400, PREDICT, b"", "the body is empty"),
        (400, PREDICT, b"{", "the body is not JSON"),
        (400, PREDICT, b"{}", 'the body must be a JSON object with "instances"'),
        (400, PREDICT, b'{"instances": [{"k": 0}]}', "instances[0].k must be from 1 to 1000"),
        (400, PREDICT, b'{"instances": [{"user": "42"}]}', "did you mean 'user_id'?"),
        (400, PREDICT, b'{"instances": [' + b"{}," * 256 + b"{}]}", "at most 256 are answered at once"),
        (400, "/v2/models/everloop/infer", b"{}", 'the body must be a JSON object with "inputs"'),
        (400, "/v1/events", b"{}", "event lacks user_id"),
        (404, "/v1/models/other:predict", b"{}", "there is no model 'other'"),
        (404, "/nowhere", b"{}", "there is nothing at /nowhere"),
        (405, "/v1/state", b"{}", "/v1/state takes GET, not POST"),
        (413, PREDICT, b"x" * 1_000_001, "at most 1000000 are taken"),
    ],
)
def test_a_mistake_is_a_4xx_with_one_sentence(gate, status, path, body, sentence):
    answer = gate.http.post(path, content=body)
    assert answer.status_code == status
    assert set(answer.json()) == {"error"}
    assert sentence in answer.json()["error"]


def test_other_addresses_of_the_protocols(gate):
    def get(path):
        answer = gate.http.get(path)
        assert answer.status_code == 200, path
        return answer.json()

    assert get("/healthz") == {"status": "alive"}
    assert get("/readyz") == {"status": "ready"}
    assert gate.metric("everloop_ready") == 1
    assert get("/v1/models") == {"models": ["everloop"]}
    assert get("/v1/models/everloop")["ready"] is True
    assert get("/v2/health/ready") == {"ready": True}
    assert get("/v2/models/everloop")["versions"] == [get("/v1/models/everloop")["release"]]


def test_v2_gives_the_lists_of_v1(gate):
    users = {"name": "user_id", "shape": [3], "datatype": "BYTES", "data": ["u2", "u3", "u4"]}
    answer = gate.http.post("/v2/models/everloop/infer", json={"inputs": [users]})
    assert answer.status_code == 200, answer.text
    outputs = {output["name"]: output["data"] for output in answer.json()["outputs"]}
    lists = gate.predict({"user_id": "u2"}, {"user_id": "u3"}, {"user_id": "u4"})
    assert outputs["ids"] == [item["id"] for one in lists for item in one["items"]]
    assert outputs["variants"] == ["champion"] * 3
    assert outputs["releases"] == [one["release"] for one in lists]


def test_the_console_and_what_it_asks(gate):
    page = gate.http.get("/")
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    assert "default-src 'none'" in page.headers["content-security-policy"]
    state = gate.http.get("/v1/state").json()
    assert state["serving"]["variants"][0]["variant"] == "champion"
    assert "lists" in state["gateway"]
    gate.send(user_id="seen by the console", item_id="f1", event="click")
    assert gate.http.get("/v1/history?user=seen%20by%20the%20console").json() == {
        "items": [{"id": "f1", "title": "Film 1", "event": "click"}]
    }
    assert gate.http.get("/v1/history?user=nobody").json() == {"items": []}
    assert gate.http.get("/v1/history").status_code == 400
    assert gate.http.get("/v1/history?user=%20").status_code == 400
    assert gate.http.get("/v1/history?user=%ff%fe").status_code == 200
    titles = gate.http.get("/v1/titles?item=f1&item=nothing%20known").json()
    assert titles == {"titles": {"f1": "Film 1", "nothing known": "nothing known"}}
    assert gate.http.get("/v1/report").status_code == 404
    assert {"u2", "seen by the console"} <= set(gate.http.get("/v1/people").json()["people"])


def test_where_strangers_reach_the_gateway_the_console_can_be_taken_away(predictor, gateway):
    with gateway(predictor(), console=False) as gate:
        assert gate.http.get("/").json() == {"status": "alive"}
        for path in ("/v1/state", "/v1/history?user=u2", "/v1/people", "/v1/titles", "/v1/report"):
            assert gate.http.get(path).status_code == 404


def test_a_store_that_fails_costs_no_request(world, predictor, gateway, until):
    """Routes, status and log go to the store; now a file lies where each of them should be."""
    with gateway(predictor()) as gate:
        until((world.home / "status").exists)
        for name in ("routes.json", "status", "log"):
            if (world.home / name).exists():
                (world.home / name).rename(world.home / f"former {name}")
            (world.home / name).mkdir() if name == "routes.json" else (world.home / name).write_text("no folder")
        for _ in range(20):
            assert len(gate.one(user_id="u2")["items"]) == 10
        state = gate.http.get("/v1/state")
        assert state.status_code == 200
