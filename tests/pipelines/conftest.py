"""One finished home, made once for all workers and copied by each test that changes it; and a Kubeflow that is none.

The latter answers as Kubeflow Pipelines 2.17 does and fails as networks do. The real one is tried by tests/cluster.
"""

import fcntl
import json
import os
import re
import shutil
import subprocess
import sys
import threading
import urllib.parse
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from email.parser import BytesParser
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import yaml

from pipelines import endpoint as talking
from tests.answers import Answer

SMALL = ["--set", "train.candidates=[popularity, item_knn, ease]", "--set", "evaluate.bootstrap=200"]


def call(*arguments: str, **options: Any) -> Answer:
    """`everloop ARGUMENTS` in a process of its own."""
    environment = {**os.environ, "COLUMNS": "200", **options.pop("env", {})}
    done = subprocess.run(
        [sys.executable, "-m", "pipelines.cli", *arguments],
        capture_output=True,
        text=True,
        timeout=240,
        env=environment,
        **options,
    )
    return Answer(done.returncode, done.stdout, done.stderr)


@pytest.fixture(scope="session")
def everloop() -> Callable[..., Answer]:
    return call


@dataclass(frozen=True)
class Finished:
    """A home after one run on the synthetic travel world, the files it was run on, and the run's answer."""

    home: Path
    data: dict[str, str]
    answer: dict[str, Any]

    @property
    def sources(self) -> list[str]:
        return [part for kind, path in self.data.items() for part in (f"--{kind}", path)]


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Finished:
    base = tmp_path_factory.getbasetemp()
    base = base.parent if os.environ.get("PYTEST_XDIST_WORKER") else base
    with (base / "finished.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        record = base / "finished.json"
        if not record.exists():
            from components.recsys.simulator import write

            data = {kind: str(path) for kind, path in write(base / "travel").items()}
            sources = [part for kind, path in data.items() for part in (f"--{kind}", path)]
            done = call("run", *sources, "--home", str(base / "finished"), *SMALL, "--json")
            assert done.code == 0, done.err
            record.write_text(json.dumps({"data": data, "answer": done.json}))
        kept = json.loads(record.read_text())
    return Finished(base / "finished", kept["data"], kept["answer"])


@pytest.fixture
def home(finished: Finished, tmp_path: Path) -> Path:
    """A copy of the finished home, to be changed."""
    return Path(shutil.copytree(finished.home, tmp_path / "home", symlinks=True))


class Fake:
    """Kubeflow's state, and the faults it is asked to have."""

    def __init__(self) -> None:
        self.experiments: list[dict[str, Any]] = []
        self.pipelines: list[dict[str, Any]] = []
        self.versions: list[dict[str, Any]] = []
        self.runs: list[dict[str, Any]] = []
        self.logs: dict[str, str] = {}
        self.multi_user = False
        self.token = ""
        self.page = b""  # answered to everything instead
        self.lose_answers = 0  # of creations: the run is made, the connection breaks
        self.fail_next = 0  # requests answered with 503
        self.rival_first = False
        self.faults: list[tuple[str, str]] = []  # (regex of 'METHOD /path', what happens); each strikes once
        self.late: list[tuple[str, str, dict[str, str], bytes]] = []
        self.hung, self.released = threading.Event(), threading.Event()
        self.calls: list[str] = []
        self.schedules: list[dict[str, Any]] = []
        self.version = "2.17.0"
        self.most_firing = 0  # of one name's schedules, the most that were ever switched on at once

    def answer(self, method: str, path: str, query: dict[str, str], body: bytes) -> tuple[int, Any]:
        self.calls.append(f"{method} {path}")
        if method == "POST" and self.late:
            self._answer(*self.late.pop())
        if self.fail_next:
            self.fail_next -= 1
            return 503, {"message": "upstream"}
        fault = next((each for each in self.faults if re.fullmatch(each[0], f"{method} {path}")), None)
        if fault:
            self.faults.remove(fault)
        match fault:
            case (_, "lost"):  # it is done, and nobody hears of it
                self._answer(method, path, query, body)
                return 0, None
            case (_, "hangs"):  # it is done, and nobody hears of it for long
                self._answer(method, path, query, body)
                self.hung.set()
                self.released.wait(30)
                return 0, None
            case (_, "late"):  # it is done only just before something else is made
                self.late.append((method, path, query, body))
                return 0, None
            case (_, "dropped"):
                return 0, None
            case (_, code):
                return int(code), {"message": f"told to fail with {code}"}
        return self._answer(method, path, query, body)

    def _answer(self, method: str, path: str, query: dict[str, str], body: bytes) -> tuple[int, Any]:
        predicate = json.loads(query["filter"])["predicates"][0] if "filter" in query else {}
        name = predicate.get("string_value", "")
        match [method, *path.strip("/").split("/")]:
            case ["GET", "apis", "v2beta1", "healthz"]:
                return 200, {"multi_user": self.multi_user, "tag_name": self.version}
            case ["GET", "apis", "v2beta1", "experiments"]:
                assert query.get("namespace", "") == ("team" if self.multi_user else "")
                return 200, {"experiments": [e for e in self.experiments if e["display_name"] == name]}
            case ["POST", "apis", "v2beta1", "experiments"]:
                return 200, self._add(self.experiments, "experiment_id", json.loads(body))
            case ["GET", "apis", "v2beta1", "pipelines", "names", wanted]:
                found = [p for p in self.pipelines if p["name"] == wanted]
                return (200, found[0]) if found else (404, {"message": f"ResourceNotFoundError: {wanted} not found"})
            case ["POST", "apis", "v2beta1", "pipelines"]:
                if json.loads(body)["name"] in {each["name"] for each in self.pipelines}:
                    return 409, {"message": "Already exists"}
                return 200, self._add(self.pipelines, "pipeline_id", json.loads(body))
            case ["GET", "apis", "v2beta1", "pipelines", _, "versions"]:  # one a page
                at = int(query.get("page_token") or 0)
                more = {"next_page_token": str(at + 1)} if at + 1 < len(self.versions) else {}
                return 200, {"pipeline_versions": self.versions[at : at + 1], **more}
            case ["POST", "apis", "v2beta1", "pipelines", "upload_version"]:
                package = BytesParser().parsebytes(b"Content-Type: " + self.content_type.encode() + b"\r\n\r\n" + body)
                spec, platform = yaml.safe_load_all(package.get_payload()[0].get_payload(decode=True))  # type: ignore
                version = {"name": query["name"], "pipeline_spec": {"pipeline_spec": spec, "platform_spec": platform}}
                return 200, self._add(self.versions, "pipeline_version_id", version)
            case ["GET", "apis", "v2beta1", "runs"]:
                key = "recurring_run_id" if predicate.get("key") == "recurring_run_id" else "display_name"
                return 200, {"runs": [r for r in self.runs if r.get(key) == name]}
            case ["POST", "apis", "v2beta1", "runs"]:
                asked = json.loads(body)
                if self.rival_first:
                    self._add(self.runs, "run_id", {**asked, "created_at": "2026-11-23T09:00:00Z"})
                run = self._add(self.runs, "run_id", {**asked, "created_at": f"2026-11-23T10:00:{len(self.runs):02}Z"})
                if self.lose_answers:
                    self.lose_answers -= 1
                    return 0, None
                return 200, run
            case ["GET", "apis", "v2beta1", "runs", run_id]:
                return 200, next(run for run in self.runs if run["run_id"] == run_id)
            case ["POST", "apis", "v2beta1", "runs", action] if action.endswith(":terminate"):
                run = next(run for run in self.runs if run["run_id"] == action.removesuffix(":terminate"))
                run["state"] = "CANCELING"
                return 200, {}
            case ["GET", "apis", "v1alpha1", "runs", _, "nodes", pod, "log"] if pod in self.logs:
                return 200, self.logs[pod].encode()
            case ["GET", "apis", "v2beta1", "recurringruns"]:  # two a page
                at = int(query.get("page_token") or 0)
                more = {"next_page_token": str(at + 2)} if at + 2 < len(self.schedules) else {}
                return 200, {"recurringRuns": self.schedules[at : at + 2], **more}
            case ["POST", "apis", "v2beta1", "recurringruns"]:
                asked = json.loads(body)
                assert 1 <= int(asked["max_concurrency"]) <= 10
                assert asked["pipeline_version_reference"]["pipeline_version_id"] in {
                    each["pipeline_version_id"] for each in self.versions
                }
                asked |= {"created_at": self._now(), "updated_at": self._now()}
                asked["status"] = f"{asked['mode']}D"
                made = self._add(self.schedules, "recurring_run_id", asked)
                self._watch()
                return 200, made
            case ["POST", "apis", "v2beta1", "recurringruns", action]:
                schedule_id, verb = action.split(":")
                for each in self.schedules:
                    if each["recurring_run_id"] == schedule_id:
                        each |= {"status": f"{verb.upper()}D", "updated_at": self._now()}
                        self._watch()
                        return 200, {}
            case ["DELETE", "apis", "v2beta1", "recurringruns", schedule_id]:
                found = [each for each in self.schedules if each["recurring_run_id"] == schedule_id]
                self.schedules = [each for each in self.schedules if each not in found]
                spared = query.get("propagation_policy") == "ORPHAN" and self.version >= "2.16"
                for run in self.runs:  # Kubernetes collects what belonged to it
                    if run.get("recurring_run_id") == schedule_id and run["state"] == "RUNNING" and not spared:
                        run["state"] = "KILLED"
                return (200, {}) if found else (404, {"message": f"recurring run {schedule_id} not found"})
        return 404, {"message": f"no {method} {path}"}

    def _now(self) -> str:
        return f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}"

    def _watch(self) -> None:
        on = [each["display_name"].rpartition("-")[0] for each in self.schedules if each["status"] == "ENABLED"]
        self.most_firing = max([self.most_firing, *(on.count(name) for name in on)])

    content_type = ""

    def _add(self, kind: list[dict[str, Any]], key: str, value: dict[str, Any]) -> dict[str, Any]:
        kind.append({**value, key: str(uuid.uuid4())})
        return kind[-1]


@pytest.fixture
def fake() -> Fake:
    return Fake()


@pytest.fixture
def endpoint(fake: Fake, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    monkeypatch.setattr(talking, "PAUSES", (0.01, 0.01, 0.01))

    class Handler(BaseHTTPRequestHandler):
        def serve(self) -> None:
            parts = urllib.parse.urlsplit(self.path)
            query = dict(urllib.parse.parse_qsl(parts.query))
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            fake.content_type = self.headers.get("Content-Type", "")
            if fake.token and self.headers.get("Authorization") != f"Bearer {fake.token}":
                code, value = 401, {"message": "Unauthorized"}
            elif fake.page:
                code, value = 200, fake.page
            else:
                code, value = fake.answer(self.command, parts.path, query, body)
            if not code:
                self.close_connection = True
                return
            data = value if isinstance(value, bytes) else json.dumps(value).encode()
            self.send_response(code)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        do_GET = do_POST = do_DELETE = serve

        def log_message(self, *_: Any) -> None:
            """Nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()
