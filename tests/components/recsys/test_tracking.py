"""Tracking with a real MLflow server, reached by its URL; and what is said when it goes away."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from components.recsys.home import Home
from components.recsys.settings import TrackingSettings
from components.recsys.tracking import track, uri_of

pytestmark = pytest.mark.filterwarnings("ignore:The ``noload`` loader strategy:DeprecationWarning")  # inside mlflow


class Server:
    """`mlflow server` on loopback with a SQLite file; `stop` kills it and all its workers."""

    def __init__(self, folder: Path) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        self.url = f"http://127.0.0.1:{port}"
        store, artifacts = f"sqlite:///{folder}/server.db", str(folder / "artifacts")
        options = {"backend-store-uri": store, "artifacts-destination": artifacts, "port": port, "workers": 1}
        command = [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1"]
        self.process = subprocess.Popen(
            [*command, *(part for name, value in options.items() for part in (f"--{name}", str(value)))],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
            cwd=folder,
            env={**os.environ, "MLFLOW_DISABLE_TELEMETRY": "true"},
        )
        deadline = time.monotonic() + 120
        while time.monotonic() < deadline:
            assert self.process.poll() is None, "the server ended at once"
            with suppress(OSError), urllib.request.urlopen(f"{self.url}/health", timeout=5) as answer:
                if answer.status == 200:
                    return
            time.sleep(0.2)
        raise AssertionError("the server does not answer")

    def stop(self) -> None:
        with suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()


@pytest.fixture(scope="module")
def servers() -> Iterator[list[Server]]:
    made: list[Server] = []
    yield made
    for server in made:
        server.stop()


@pytest.fixture
def server(servers: list[Server], tmp_path_factory: pytest.TempPathFactory) -> Server:
    """It takes ten seconds to start, so one serves all tests until a test kills it."""
    if not servers or servers[-1].process.poll() is not None:
        servers.append(Server(tmp_path_factory.mktemp("mlflow")))
    return servers[-1]


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    # `track` sets these for its own process; a test must not leave them behind.
    for name, value in {"MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0", "MLFLOW_HTTP_REQUEST_TIMEOUT": "30"}.items():
        monkeypatch.setenv(name, value)


def test_a_run_and_its_candidates_are_on_the_server_and_comparable_by_user_group(judged, server: Server) -> None:
    from mlflow.tracking import MlflowClient

    done = judged.register("tracked", uri=server.url, experiment="by-url")
    result = json.loads(judged.home.store.read("runs/tracked/result.json"))
    assert result["untracked"] == ""
    assert not (judged.folder / "home" / "mlflow.db").exists(), "the server holds it, not the home"

    client = MlflowClient(tracking_uri=server.url)
    experiment = client.get_experiment_by_name("by-url")
    assert experiment is not None
    runs = {run.info.run_name: run for run in client.search_runs([experiment.experiment_id])}
    assert set(runs) == {"tracked", "popularity", "item_knn"}
    parent = runs["tracked"]
    assert parent.data.tags["everloop.release"] == done.digest
    for name in ("popularity", "item_knn"):
        run = runs[name]
        assert run.info.status == "FINISHED"
        assert run.data.tags["mlflow.parentRunId"] == parent.info.run_id
        assert run.data.metrics["ndcg"] == pytest.approx(result["candidates"][name]["metrics"]["ndcg"]["value"])
        assert {"ndcg/club/gold", "ndcg/club/blue"} <= set(run.data.metrics), "side by side by user group"
    # The question itself: which candidate is best for the gold club.
    (best,) = client.search_runs(
        [experiment.experiment_id],
        "tags.mlflow.parentRunId != ''",
        order_by=["metrics.`ndcg/club/gold` DESC"],
        max_results=1,
    )
    gold = {name: runs[name].data.metrics["ndcg/club/gold"] for name in ("popularity", "item_knn")}
    assert best.info.run_name == max(gold, key=lambda name: gold[name])
    assert [file.path for file in client.list_artifacts(parent.info.run_id)] == ["report.html"]


def test_a_server_killed_in_the_middle_stops_no_run_and_what_is_missing_is_named(
    judged, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    from mlflow.tracking import MlflowClient

    original, calls = MlflowClient.log_batch, []

    def kill_at_the_second(client, *arguments, **options):
        calls.append(1)
        if len(calls) == 2:
            server.stop()
        return original(client, *arguments, **options)

    monkeypatch.setattr(MlflowClient, "log_batch", kill_at_the_second)
    done = judged.register("cut", uri=server.url, experiment="by-url", timeout_seconds=5)
    result = json.loads(judged.home.store.read("runs/cut/result.json"))
    assert (result["outcome"], result["champion"]) == ("promoted", done.digest)
    first, second = sorted(("popularity", "item_knn"))
    assert result["untracked"].startswith(f"not tracked: run cut, {second}, since MLflow at {server.url} failed (")
    assert first not in result["untracked"]
    assert "\n" not in result["untracked"]
    assert judged.home.store.read("runs/cut/report.html")


def test_a_server_that_is_not_there_is_named_in_a_sentence(tmp_path: Path) -> None:
    settings = TrackingSettings(uri="http://127.0.0.1:9", timeout_seconds=2)
    manifest = {"data": {}, "code_version": "0", "digest": "d", "settings": {"train": {}}}
    told = track(settings, Home(tmp_path), "r", {"ease": {}}, {"outcome": "promoted"}, manifest, "")
    assert told.startswith("not tracked: MLflow at http://127.0.0.1:9 failed (")
    assert told.endswith("; the run is complete without it")


def test_a_home_in_object_storage_without_a_server_says_how_to_track(s3_url: str) -> None:
    assert uri_of(TrackingSettings(), Home(s3_url)) == ""
    told = track(TrackingSettings(), Home(s3_url), "r", {}, {}, {}, "")
    assert told.startswith("not tracked: ")
    assert "tracking.uri=" in told


def test_a_local_home_tracks_in_a_file_of_its_own(tmp_path: Path) -> None:
    assert uri_of(TrackingSettings(), Home(tmp_path)) == f"sqlite:///{tmp_path}/mlflow.db"
    assert uri_of(TrackingSettings(uri="http://elsewhere"), Home(tmp_path)) == "http://elsewhere"
