"""An alert makes one run on Kubeflow, of a home in object storage, whatever dies or breaks in between."""

import json
import os
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from components.recsys.home import Home
from components.recsys.predictions import EVENTS, segment
from components.recsys.settings import RetrainSettings, Settings
from monitoring.controller.database import open_database
from monitoring.controller.engine import Controller
from monitoring.controller.records import Intent, State, Trigger
from monitoring.controller.switches import Switches
from monitoring.controller.triggers import Triggers
from pipelines import submit as submitting
from pipelines.compile import compile_package
from pipelines.kubeflow import Kubeflow
from pipelines.launching import KubeflowLauncher, NewFeedback
from pipelines.training import NAME

DRIFT = Intent("everloop", "drift", "alertmanager")
BEGUN = ("receive", "decide", "SUBMITTING", "find", "submit", "RUNNING", "state", "SUCCEEDED", "PROMOTED")
POINTS = [f"{when} {name}" for name in BEGUN for when in ("before", "after")]
RETRAIN = RetrainSettings(min_new_events=1)
ALERT = {
    "version": "4",
    "status": "firing",
    "alerts": [
        {
            "status": "firing",
            "labels": {"alertname": "EverloopDrift", "action": "retrain", "reason": "drift", "model": "everloop"},
            "annotations": {"summary": "drift"},
            "startsAt": "2026-11-24T10:00:00Z",
        }
    ],
}


class Crash(BaseException):
    """Nobody catches it."""


@pytest.fixture
def home(s3_url: str) -> Home:
    place = Home(s3_url)
    place.store.create(f"{EVENTS}/2026-11-24/gateway-1.jsonl.gz", segment([b'{"event_id": "a"}', b'{"event_id": "b"}']))
    return place


@pytest.fixture
def live(
    fake: Any, endpoint: str, home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., Trigger]:
    """A controller's whole life: an alert that comes until it is taken, then turns until all is decided."""
    package = compile_package(NAME)
    monkeypatch.setattr(submitting, "SETTLE_SECONDS", 0.0)
    monkeypatch.setattr(submitting, "compile_package", lambda name, fresh: package)

    def lived(checkpoint: Callable[[str], None] = lambda point: None) -> Trigger:
        database = open_database(f"sqlite://{tmp_path}/controller.sqlite")
        try:
            triggers = Triggers(database, RETRAIN.cooldown_seconds, checkpoint)
            feedback = NewFeedback(home)
            launcher = KubeflowLauncher(lambda: Kubeflow(endpoint), home, Settings(), feedback.sources, feedback.count)
            controller = Controller(triggers, Switches(database), launcher, RETRAIN)
            if not triggers.latest():
                triggers.receive([DRIFT])
            until = time.monotonic() + 20
            while triggers.open() and time.monotonic() < until:
                controller.turn()
                for run in fake.runs:  # a run ends as soon as somebody looks
                    run["state"] = "SUCCEEDED"
                    home.store.write(f"runs/{run['run_id']}/result.json", b'{"outcome": "promoted"}')
            (row,) = triggers.latest()
            return row
        finally:
            database.close()

    return lived


def test_an_alert_becomes_one_run_that_reads_the_homes_feedback(fake: Any, live: Callable[..., Trigger]) -> None:
    assert live().state is State.PROMOTED
    (run,) = fake.runs
    assert run["runtime_config"]["parameters"]["sources"] == {"events": ["feedback"]}


@pytest.mark.parametrize("point", POINTS)
def test_dying_at_any_point_still_makes_one_run(fake: Any, live: Callable[..., Trigger], point: str) -> None:
    def die(reached: str) -> None:
        if reached == point:
            raise Crash

    with pytest.raises(Crash):
        live(die)
    assert live().state is State.PROMOTED
    assert len(fake.runs) == 1


@pytest.mark.parametrize("fault", ["lost", "dropped", "500", "429", "504"])
def test_a_broken_answer_makes_no_second_run_and_costs_no_alert(
    fake: Any, live: Callable[..., Trigger], fault: str
) -> None:
    fake.faults += [
        (r"POST .*/v2beta1/runs", fault),
        (r"POST .*/experiments", fault),
        (r"POST .*/upload_version", fault),
    ]
    assert live().state is State.PROMOTED
    assert len(fake.runs) == 1


@pytest.mark.slow
def test_a_controller_that_is_killed_while_kubeflow_makes_the_run_finds_it_again(
    fake: Any, endpoint: str, home: Home, tmp_path: Path
) -> None:
    """The command as it runs in a pod, kill -9 between the run and its answer, and the alert sent again as Alertmanager does."""
    fake.faults.append((r"POST .*/v2beta1/runs", "hangs"))
    command = [
        *(sys.executable, "-m", "pipelines.cli", "controller", "run", "--home", home.url, "--port", "0", "--json"),
        *("--endpoint", endpoint, "--set", "retrain.runner=kubeflow", "--set", "retrain.min_new_events=1"),
        *("--set", f"retrain.database=sqlite://{tmp_path}/controller.sqlite"),
    ]
    environment = {**os.environ, "EVERLOOP_CACHE": str(tmp_path / "cache")}
    log = (tmp_path / "log").open("w")

    def started() -> tuple["subprocess.Popen[str]", str]:
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log, text=True, env=environment)
        assert process.stdout is not None
        return process, str(json.loads(process.stdout.readline())["alerts"])

    def alert(url: str) -> None:
        request = urllib.request.Request(url, json.dumps(ALERT).encode(), {"Content-Type": "application/json"})
        assert urllib.request.urlopen(request, timeout=20).status == 200

    process, url = started()
    try:
        alert(url)
        assert fake.hung.wait(90), (tmp_path / "log").read_text()
        process.send_signal(signal.SIGKILL)
        process.communicate()
        fake.released.set()
        (run,) = fake.runs
        process, url = started()
        alert(url)
        run["state"] = "SUCCEEDED"
        home.store.write(f"runs/{run['run_id']}/result.json", b'{"outcome": "promoted", "release": "9f2c"}')
        database, until = open_database(f"sqlite://{tmp_path}/controller.sqlite"), time.monotonic() + 60
        try:
            triggers = Triggers(database, RETRAIN.cooldown_seconds)
            while triggers.open() and time.monotonic() < until:
                time.sleep(0.1)
            (row,) = triggers.runs(5)
            assert (row.state, len(fake.runs)) == (State.PROMOTED, 1)
        finally:
            database.close()
    finally:
        fake.released.set()
        process.terminate()
        process.communicate()
        log.close()
