"""One finished home, made once for all workers and copied by each test that changes it."""

import fcntl
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

SMALL = ["--set", "train.candidates=[popularity, item_knn, ease]", "--set", "evaluate.bootstrap=200"]


@dataclass(frozen=True)
class Answer:
    """What a command said."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> dict[str, Any]:
        return dict(json.loads(self.out))


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
