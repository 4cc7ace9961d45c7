"""A night's surroundings, real but for the cluster: a home in object storage, a repository of environments, and Kubeflow's
API of tests/pipelines, behind which a run here ends as soon as it is asked for, with a release or with a no."""

import importlib.util
import json
import os
import shlex
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from components.recsys.home import Home
from components.recsys.ledger import Ledger

ROOT = Path(__file__).parents[2]


def of_others(folder: str) -> ModuleType:
    """Another folder's conftest, whose fixtures pytest gives to its own tests only."""
    name = f"conftest_of_{folder}"
    spec = importlib.util.spec_from_file_location(name, ROOT / "tests" / folder / "conftest.py")
    assert spec is not None
    assert spec.loader is not None
    sys.modules[name] = module = importlib.util.module_from_spec(spec)  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


pipelines, gitops = of_others("pipelines"), of_others("gitops")
endpoint, as_somebody = pipelines.endpoint, gitops.as_somebody


class Cluster(pipelines.Fake):  # type: ignore[misc,name-defined]
    """Kubeflow's API. What a run does is played once it is looked for: a release is made and the ledger told, or the gate
    says no."""

    home: Home
    says_no: Callable[[str], bool] = staticmethod(lambda name: False)
    shown_late = False  # the first run must be looked for again before what it wrote can be read, though it ended

    def answer(self, method: str, path: str, query: dict[str, str], body: bytes) -> tuple[int, Any]:
        before = len(self.runs)
        code, value = super().answer(method, path, query, body)
        if len(self.runs) > before:
            self.runs[-1] |= {"state": "SUCCEEDED", "finished_at": self.runs[-1]["created_at"], "looked_for": 0}
        for run in value.get("runs", ()) if method == "GET" and isinstance(value, dict) else ():
            run["looked_for"] += 1
            if run["looked_for"] == (2 if self.shown_late and run is self.runs[0] else 1):
                self.play(run)
        return code, value

    def play(self, run: dict[str, Any]) -> None:
        result = {"outcome": "rejected", "release": ""}
        if not self.says_no(run["display_name"]):
            digest = gitops.make_release(self.home, len(self.runs))
            Ledger(self.home).append("promote", digest, "beats the champion", run=run["run_id"])
            result = {"outcome": "promoted", "release": digest}
        self.home.store.write(f"runs/{run['run_id']}/result.json", json.dumps(result).encode())


@dataclass
class Night:
    """Where a night's commands find things, and what they did there. environment: of a process that runs them."""

    kubeflow: Cluster
    repository: Any
    environment: dict[str, str] = field(default_factory=dict)

    @property
    def champion(self) -> str:
        entries = Ledger(self.kubeflow.home).entries()
        return entries[-1].champion if entries else ""

    @property
    def events(self) -> str:
        return self.environment["EVERLOOP_EVENTS"]

    @property
    def stable(self) -> str:
        return str(self.repository.model("staging").stable)


@pytest.fixture
def fake(s3_url: str) -> Cluster:
    cluster = Cluster()
    cluster.home = Home(s3_url)
    return cluster


@pytest.fixture
def repository(as_somebody: None, s3_url: str, tmp_path: Path) -> Any:
    """Environments in git, whose home is the night's."""
    return gitops.make_repository(tmp_path, s3_url)


@pytest.fixture
def night(fake: Cluster, endpoint: str, repository: Any, s3_url: str, tmp_path: Path) -> Night:
    here = Path(sys.executable).parent
    (tmp_path / "events.csv").write_text("user_id,item_id,timestamp\nann,tea,1772420000\n")
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith(("EVERLOOP_", "KUBEFLOW_"))},
        "PATH": f"{here}:{os.environ['PATH']}",
        "EVERLOOP_HOME": s3_url,
        "EVERLOOP_EVENTS": str(tmp_path / "events.csv"),
        "KUBEFLOW_ENDPOINT": endpoint,
        "EVERLOOP_GIT": str(repository.bare),
    }
    return Night(fake, repository, environment)


@pytest.fixture(scope="session")
def made() -> Callable[[list[str]], None]:
    """Asserts that make knows the targets of commands such as `make test ARGS=...`, by asking it what it would do."""

    def check(commands: list[str]) -> None:
        for command in sorted(set(commands)):
            target = shlex.split(command)[1]
            done = subprocess.run(["make", "-n", target], cwd=ROOT, capture_output=True, text=True, timeout=60)
            assert done.returncode == 0, f"{command}: {done.stderr}"
            assert f"\n{target}:" in (ROOT / "Makefile").read_text(encoding="utf-8"), f"{target} is a file, no target"

    return check
