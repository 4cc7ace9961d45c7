"""A home in the middle of things: a champion with a former one, and a candidate whose rollout is under way."""

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import pytest

from components.recsys.errors import EverloopError
from components.recsys.events import ingest, read_events, read_items
from components.recsys.frames import Catalogue, Interactions
from components.recsys.home import Home
from components.recsys.ledger import Ledger
from components.recsys.models import MODELS
from components.recsys.models.base import Training
from components.recsys.release import releases_of, save
from components.recsys.settings import Settings
from pipelines.cli import app
from serving.rollout.engine import Engine
from serving.rollout.predictors import UrlPredictors

USERS, ITEMS = 30, 12


SETTINGS = Settings.model_validate({"rollout": {"predictors": "urls", "predictor_url": "http://127.0.0.1:9/{digest}"}})


class Elsewhere(UrlPredictors):
    """Predictors that answer: the pages are about what somebody does, not about processes."""

    def ensure(self, digest: str) -> str | None:
        return self.url_of(digest)

    def condition(self, digest: str) -> Literal["ready"]:
        return "ready"


@dataclass(frozen=True)
class Place:
    home: Path
    former: str
    champion: str
    candidate: str

    def turn(self) -> None:
        """The rollout engine does what it was asked."""
        Engine(Home(self.home), SETTINGS, Elsewhere(SETTINGS)).turn()


def ask(*words: str) -> int:
    """The exit code of `everloop WORDS`."""
    try:
        code = app(list(words), standalone_mode=False)
    except EverloopError as error:
        return error.exit_code
    return code if isinstance(code, int) else 0


@pytest.fixture
def everloop() -> Callable[..., int]:
    return ask


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> Place:
    folder = tmp_path_factory.mktemp("loop")
    rows = [
        f"u{user},i{item},{1_600_000_000 + 3600 * (user + item)}"
        for user in range(USERS)
        for item in range(ITEMS)
        if (user + item) % 3
    ]
    (folder / "events.csv").write_text("user_id,item_id,timestamp\n" + "\n".join(rows) + "\n")
    home = Home(folder / "home")
    data = ingest(home, {"events": str(folder / "events.csv")}, Settings().data).data
    interactions = Interactions.from_frame(read_events(home, data))
    catalogue = Catalogue.align(interactions.items, read_items(home, data))
    kind, digests = MODELS["ease"], []
    for l2 in (5.0, 50.0, 500.0):
        model = kind(kind.Config(l2=l2)).fit(Training(interactions, catalogue))
        content = {
            "data": {k: {n: v for n, v in part.items() if n != "version"} if part else None for k, part in data.items()}
        }
        versions = {"data_version": {name: part["version"] if part else None for name, part in data.items()}}
        digests.append(save(releases_of(home), model, catalogue, content, versions, {}, "# A card\n"))
    for digest in digests[:2]:
        Ledger(home).append("promote", digest, "passed the gate")
    Ledger(home).append("approve", digests[2], "passed the gate")
    return Place(folder / "home", *digests)


@pytest.fixture
def place(made: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Place:
    """A copy that may be changed, as EVERLOOP_HOME."""
    home = Path(shutil.copytree(made.home, tmp_path / "home"))
    monkeypatch.setenv("EVERLOOP_HOME", str(home))
    monkeypatch.chdir(tmp_path)
    assert ask("rollout", "start", made.candidate) == 0
    place = Place(home, made.former, made.champion, made.candidate)
    place.turn()
    return place
