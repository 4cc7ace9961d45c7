"""Processes that have only what an image has, and a home with one release for them."""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from components.recsys.events import ingest, read_events, read_items
from components.recsys.frames import Catalogue, Interactions
from components.recsys.home import Home
from components.recsys.ledger import Ledger
from components.recsys.models import MODELS
from components.recsys.models.base import Training
from components.recsys.release import releases_of, save
from components.recsys.settings import Settings
from tests.images.closure import modules_beyond

GROUPS = {"steps": ("pipelines", "redis"), "serving": ("serving",), "monitoring": ("monitoring",), "gitops": ()}


@dataclass(frozen=True)
class Lean:
    """Runs Python with the packages of one image only."""

    environment: dict[str, str]

    def python(self, *arguments: str) -> "subprocess.CompletedProcess[str]":
        return subprocess.run(
            [sys.executable, *arguments], env=self.environment, capture_output=True, text=True, timeout=120, check=False
        )

    def everloop(self, *arguments: str) -> "subprocess.CompletedProcess[str]":
        return self.python("-m", "pipelines.cli", *arguments)

    @contextmanager
    def running(self, *arguments: str) -> Iterator[dict[str, Any]]:
        """A server until the block ends; gives what it answers when it is ready."""
        command = [sys.executable, "-m", "pipelines.cli", *arguments, "--json"]
        with subprocess.Popen(
            command, env=self.environment, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
        ) as process:
            assert process.stdout
            try:
                answer = dict(json.loads(process.stdout.readline() or "{}"))
                assert "error" not in answer, answer["error"]
                yield answer
            finally:
                process.terminate()
                process.communicate(timeout=30)


@pytest.fixture(scope="session")
def lean(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Lean]:
    """The process runner of an image: lean("serving")."""
    folder = tmp_path_factory.mktemp("lacks")

    def of(image: str) -> Lean:
        lacks = folder / image
        if not lacks.exists():
            lacks.write_text("\n".join(sorted(modules_beyond(*GROUPS[image]))))
        place = str(Path(__file__).parent / "lean")
        return Lean({**os.environ, "PYTHONPATH": place, "EVERLOOP_TEST_LACKS": str(lacks), "COLUMNS": "200"})

    return of


@pytest.fixture(scope="session")
def released(tmp_path_factory: pytest.TempPathFactory) -> Home:
    """A home whose champion learnt from twenty people of two tastes."""
    folder = tmp_path_factory.mktemp("released")
    taken = [(user, film) for user in range(20) for film in range(user % 2, 12, 2) if (user + film) % 5]
    (folder / "events.csv").write_text(
        "user_id,item_id,timestamp\n" + "".join(f"u{u},f{f},{1_600_000_000 + 60 * f + u}\n" for u, f in taken)
    )
    (folder / "items.csv").write_text("item_id,title\n" + "".join(f"f{film},Film {film}\n" for film in range(12)))
    home = Home(folder / "home")
    sources = {kind: str(folder / f"{kind}.csv") for kind in ("events", "items")}
    data = ingest(home, sources, Settings().data).data
    interactions = Interactions.from_frame(read_events(home, data))
    catalogue = Catalogue.align(interactions.items, read_items(home, data))
    model = MODELS["ease"](MODELS["ease"].Config()).fit(Training(interactions, catalogue))
    content = {"data": {name: {k: v for k, v in part.items() if k != "version"} for name, part in data.items() if part}}
    provenance = {"data_version": {name: part["version"] for name, part in data.items() if part}}
    digest = save(releases_of(home), model, catalogue, content, provenance, {"history_lengths": [1]}, "# Films\n")
    Ledger(home).append("promote", digest, "the first")
    return home


@pytest.fixture
def until_the_end() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack
