"""The parts as the chart starts them: the commands and environments of its pods, on a home in object storage.

Only what a test must not take is changed: ports are free ones, and the state's folder is the test's own. Kubernetes and
Kubeflow are not there: the engine is told that predictors answer elsewhere.
"""

import json
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from components.recsys.home import Home
from components.recsys.statuses import Statuses
from tests.helm.charts import Json, named, render

SECTIONS = {"gateway": "gateway", "rollout": "rollout", "monitor": "drift", "controller": "retrain"}


class Pod:
    """The container of a part, as a process of this machine."""

    def __init__(self, objects: list[Json], part: str, folder: Path, environment: dict[str, str]) -> None:
        spec = named(objects, "Deployment", f"everloop-{part}")["spec"]["template"]["spec"]
        (container,) = spec["containers"]
        self.part, self.probes = part, container
        settings = json.loads(named(objects, "ConfigMap", "everloop-settings")["data"]["settings.json"])
        settings[SECTIONS[part]] |= {"host": "127.0.0.1", "port": 0}
        text = json.dumps(settings).replace("/var/lib/everloop", str(folder / part))
        (folder / part).mkdir()
        assert container["command"] == ["everloop"]
        given = {one["name"]: one["value"] for one in container["env"] if "value" in one}
        tmp = folder / f"{part}-tmp"
        tmp.mkdir()
        self.log = folder / f"{part}.log"
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "pipelines.cli", *container["args"], "--json"],
                env={**environment, **given, "EVERLOOP_SETTINGS": text, "HOME": str(tmp), "TMPDIR": str(tmp)},
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
            )

    def url(self) -> str:
        assert self.process.stdout
        said = json.loads(self.process.stdout.readline() or "{}")
        assert said, self.log.read_text()
        return str(said.get("url") or said["metrics"].removesuffix("/metrics"))

    def probe(self, url: str, probe: str) -> int:
        try:
            with urllib.request.urlopen(url + self.probes[probe]["httpGet"]["path"], timeout=10) as answer:
                return int(answer.status)
        except urllib.error.HTTPError as error:
            with error:
                return int(error.code)

    def kill(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        if self.process.stdout:
            self.process.stdout.close()


@pytest.fixture
def started(newest: str, s3_url: str, tmp_path: Path) -> Iterator[dict[str, Pod]]:
    values = {
        "home": s3_url,
        "settings": {
            "rollout": {"predictors": "urls", "predictor_url": "http://127.0.0.1:9/{short}"},
            "serving": {"drain_seconds": 0.2},
        },
    }
    objects = render(newest, values)
    # As in a pod: nothing of this machine but its programs, and the store's keys as the Secret gives them.
    keys = {name: os.environ[name] for name in os.environ if name.startswith("AWS_")}
    environment = {"PATH": os.environ["PATH"], "PYTHONPATH": str(Path(__file__).parents[2]), **keys}
    pods: dict[str, Pod] = {}
    try:
        for part in SECTIONS:
            pods[part] = Pod(objects, part, tmp_path, environment)
        yield pods
    finally:
        for pod in pods.values():
            pod.kill()


def until(what: Any, seconds: float = 60) -> Any:
    deadline = time.monotonic() + seconds
    while not (value := what()):
        assert time.monotonic() < deadline, "it never came"
        time.sleep(0.1)
    return value


def test_every_part_lives_on_a_home_in_object_storage(started: dict[str, Pod], s3_url: str, tmp_path: Path) -> None:
    urls = {part: pod.url() for part, pod in started.items()}
    for part, pod in started.items():
        for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
            until(lambda pod=pod, part=part, probe=probe: pod.probe(urls[part], probe) == 200)
        with urllib.request.urlopen(f"{urls[part]}/metrics", timeout=10) as answer:
            assert b"everloop_" in answer.read()
    event = {"user_id": "u1", "item_id": "i1", "event": "click"}
    headers = {"Content-Type": "application/json"}
    request = urllib.request.Request(f"{urls['gateway']}/v1/events", json.dumps(event).encode(), headers)
    with urllib.request.urlopen(request, timeout=10) as answer:
        assert json.load(answer)["accepted"] == 1
    store = Home(s3_url).store
    said = until(lambda: len(found := store.list("status")) == 4 and found)
    assert {Path(one).stem for one in said} == {"gateway", "rollout", "monitor", "controller"}
    assert {part: Statuses(store).read(part).facts.get("fault", "") for part in ("rollout", "monitor")} == {
        "rollout": "",
        "monitor": "",
    }
    # The event reaches the store with the gateway's end at the latest; nothing was written outside of state and /tmp.
    for pod in started.values():
        pod.process.send_signal(signal.SIGTERM)
    assert {part: pod.process.wait(timeout=60) for part, pod in started.items()} == dict.fromkeys(started, 0)
    assert store.list("log/events")
    assert (tmp_path / "gateway" / "history.sqlite").exists()
    assert (tmp_path / "controller" / "controller.sqlite").exists()
    assert not [file for part in ("rollout", "monitor") for file in (tmp_path / part).iterdir()]
