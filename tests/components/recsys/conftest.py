"""A run as the steps leave it just before `register`: everything judged, nothing released."""

import random
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from components.recsys import lifecycle
from components.recsys.home import Home
from components.recsys.registration import Registered, register
from components.recsys.settings import Settings, TrackingSettings, load_settings

CANDIDATES = ("popularity", "item_knn")
SETTINGS = ["train.candidates=[popularity, item_knn]", "evaluate.bootstrap=100"]
SECTIONS = ("data", "quality", "prepare", "train", "evaluate", "gate")


@dataclass(frozen=True)
class Judged:
    """folder: home and parts lie in it. settings: as a pipeline hands them on."""

    folder: Path
    version: dict[str, Any]
    settings: Settings

    @property
    def home(self) -> Home:
        return Home(self.folder / "home")

    @property
    def parts(self) -> dict[str, Path]:
        names = ("quality", "split", "evaluation", "challenger", "verdict")
        return {name: self.folder / "parts" / name for name in names}

    def register(self, run: str = "r1", **tracking: Any) -> Registered:
        settings = self.settings.model_dump(mode="json", exclude_none=True)
        chosen = {name: settings[name] for name in SECTIONS}
        return register(
            self.home, run, self.version, chosen, TrackingSettings(**tracking), self.parts, lambda text: None
        )


def write_files(folder: Path) -> dict[str, list[str]]:
    """Sixty people of two tastes, and their group."""
    chance = random.Random(7)
    events = [
        f"u{user},i{2 * chance.randrange(15) + user % 2},{1_700_000_000 + step * 86_400 + user}"
        for user in range(60)
        for step in range(12)
    ]
    (folder / "events.csv").write_text("\n".join(["user_id,item_id,timestamp", *events]))
    (folder / "items.csv").write_text(
        "\n".join(["item_id,title,genres", *(f"i{n},Film {n},G{n % 2}" for n in range(30))])
    )
    (folder / "users.csv").write_text(
        "\n".join(["user_id,club", *(f"u{n},{'gold' if n % 3 else 'blue'}" for n in range(60))])
    )
    return {kind: [str(folder / f"{kind}.csv")] for kind in ("events", "items", "users")}


@pytest.fixture(scope="session")
def judged_once(tmp_path_factory: pytest.TempPathFactory) -> Judged:
    folder = tmp_path_factory.mktemp("judged")
    settings = load_settings(None, SETTINGS)
    given, home, parts = settings.model_dump(mode="json", exclude_none=True), str(folder / "home"), folder / "parts"
    note = str(folder / "summary.md")
    done = lifecycle.ingest(home, write_files(folder), given["data"], note)
    lifecycle.validate(home, done.version, done.batch, given["quality"], str(parts / "quality"), note)
    quality, split = str(parts / "quality"), str(parts / "split")
    lifecycle.prepare(home, done.version, quality, given["prepare"], given["train"], split)
    models = [str(folder / "models" / name) for name in CANDIDATES]
    for name, model in zip(CANDIDATES, models, strict=True):
        lifecycle.train(name, given["train"], split, model)
    lifecycle.evaluate(given["evaluate"], split, models, str(parts / "evaluation"), note)
    lifecycle.gate(
        home,
        given["gate"],
        given["evaluate"],
        split,
        models,
        str(parts / "evaluation"),
        str(parts / "challenger"),
        str(parts / "verdict"),
        note,
    )
    return Judged(folder, done.version, settings)


@pytest.fixture
def judged(judged_once: Judged, tmp_path: Path) -> Judged:
    """A copy that may be changed."""
    return Judged(
        Path(shutil.copytree(judged_once.folder, tmp_path / "run")), judged_once.version, judged_once.settings
    )
