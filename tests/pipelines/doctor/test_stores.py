"""Redis and PostgreSQL as settings name them, and what one file cannot share."""

import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from components.recsys.settings import load_settings
from pipelines.chart.values import Chart
from pipelines.doctor.findings import NO, OK, UNKNOWN, WARNING
from pipelines.doctor.wants import Wants


def chart(**gateway: object) -> Chart:
    return Chart.model_validate({"home": "s3://bucket/home", "gateway": gateway})


@pytest.mark.parametrize(
    ("gateway", "history", "refused"),
    [
        ({"replicas": 1}, "", False),
        ({"replicas": 2}, "", True),
        ({"autoscaling": {"kind": "hpa"}}, "", True),
        ({"replicas": 2, "history": {"existingSecret": "redis"}}, "", False),
        ({"replicas": 2}, "redis://10.0.0.1:6379/0", False),
    ],
)
def test_several_gateways_need_one_history(gateway, history, refused, diagnose, monkeypatch) -> None:
    monkeypatch.setattr("pipelines.doctor.checks.stores.SECONDS", 0.05)
    wants = Wants("team-a", settings=load_settings(None, [f"serving.history={history!r}"]), chart=chart(**gateway))
    found = [each for each in diagnose(wants) if (each.area, each.looked_at) == ("gateway", "replicas")]
    assert [each.refused for each in found] == ([True] if refused else [])


@pytest.fixture(scope="module")
def redis_port(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """A real Redis with a password."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = int(free.getsockname()[1])
    program = shutil.which("redis-server")
    assert program, "redis-server is not installed: make packages"
    folder: Path = tmp_path_factory.mktemp("redis")
    options = [
        "--port",
        str(port),
        "--bind",
        "127.0.0.1",
        "--requirepass",
        "secret",
        "--save",
        "",
        "--dir",
        str(folder),
    ]
    server = subprocess.Popen([program, *options], stdout=subprocess.DEVNULL)
    for _ in range(200):
        with socket.socket() as trial:
            if trial.connect_ex(("127.0.0.1", port)) == 0:
                break
        time.sleep(0.05)
    yield port
    server.terminate()
    server.wait()


def asked(url: str, name: str = "serving.history", given: Chart | None = None) -> Wants:
    return Wants("team-a", settings=load_settings(None, [f"{name}={url}"]), chart=given)


def test_a_redis_is_logged_in_to(redis_port, diagnose, one) -> None:
    good = one(diagnose(asked(f"redis://:secret@127.0.0.1:{redis_port}/0")), "online history", "redis://127.0.0.1")
    assert (good.verdict, good.found) == (OK, "answers PING")
    assert "secret" not in good.looked_at
    wrong = one(diagnose(asked(f"redis://:wrong@127.0.0.1:{redis_port}/0")), "online history", "redis://127.0.0.1")
    assert (wrong.verdict, "refuses" in wrong.found) == (NO, True)


@pytest.mark.parametrize(
    ("url", "verdict", "words"),
    [
        ("redis://127.0.0.1:9/0", WARNING, "pods may reach it"),
        ("redis://redis.team-a.svc:6379/0", UNKNOWN, "inside the cluster"),
        ("rediss://redis:6379/0", UNKNOWN, "inside the cluster"),
    ],
)
def test_what_is_not_reached_from_here_is_no_refusal(url, verdict, words, diagnose, one) -> None:
    found = one(diagnose(asked(url)), "online history", "redis")
    assert (found.verdict, words in found.found, "kubectl run" in found.do) == (verdict, True, True)


def test_this_machines_own_address_means_nothing_to_a_pod(diagnose, one) -> None:
    found = one(diagnose(asked("redis://localhost:6379/0", given=chart())), "online history", "redis://localhost")
    assert (found.verdict, found.found) == (NO, "in a pod this is the pod itself")


def test_a_database_that_accepts_and_then_says_nothing_is_not_called_good(diagnose, one, monkeypatch) -> None:
    monkeypatch.setattr("pipelines.doctor.checks.stores.SECONDS", 1.0)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"postgresql://me@127.0.0.1:{silent.getsockname()[1]}/loop"
        found = one(diagnose(asked(url, "retrain.database")), "controller's states", "postgresql://127.0.0.1")
    assert found.verdict == NO
