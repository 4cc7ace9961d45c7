"""The steps as functions over folders, across runs that end badly."""

import random
from pathlib import Path

import polars as pl
import pytest

from components.recsys import events, lifecycle
from components.recsys.errors import EverloopError, Refused
from components.recsys.frames import Catalogue, Interactions
from components.recsys.home import Home
from components.recsys.intake import pending
from components.recsys.ledger import Ledger
from components.recsys.models import MODELS
from components.recsys.models.base import Training
from components.recsys.release import releases_of, save


def log(path: Path, users: int, blank: float = 0.0, seed: int = 1) -> dict[str, list[str]]:
    chance = random.Random(seed)
    rows = [
        f"{'' if chance.random() < blank else f'u{u}'},i{chance.randrange(30)},{1_700_000_000 + seed * 90_000 + u * 977 + n * 7919}"
        for u in range(users)
        for n in range(12)
    ]
    path.write_text("\n".join(["user_id,item_id,timestamp", *rows]))
    return {"events": [str(path)]}


def items(path: Path, names: list[str]) -> list[str]:
    path.write_text("\n".join(["item_id,title", *(f"{name},Title {name}" for name in names)]))
    return [str(path)]


def ingest(home: Path, sources: dict[str, list[str]], tmp_path: Path) -> lifecycle.Ingested:
    return lifecycle.ingest(str(home), sources, {}, str(tmp_path / "summary.md"))


def validate(home: Path, done: lifecycle.Ingested, tmp_path: Path) -> None:
    lifecycle.validate(str(home), done.version, done.batch, {}, str(tmp_path / "report"), str(tmp_path / "v.md"))


def test_a_bad_batch_of_an_interrupted_run_is_never_trained_on(tmp_path: Path, capsys) -> None:
    home = tmp_path / "home"
    ingest(home, log(tmp_path / "bad.csv", 100, blank=0.4), tmp_path)  # and the run is killed before validate
    good = log(tmp_path / "good.csv", 60, seed=2)
    with pytest.raises(SystemExit) as stopped:
        validate(home, ingest(home, good, tmp_path), tmp_path)
    assert stopped.value.code == 1
    assert "interrupted run" in capsys.readouterr().out
    again = ingest(home, good, tmp_path)
    validate(home, again, tmp_path)
    table = events.read_events(Home(home), again.version)
    assert set(table["batch"]) == {again.batch}
    assert pending.batches_of(Home(home)) == []


def test_a_good_batch_of_an_interrupted_run_is_judged_and_kept(tmp_path: Path) -> None:
    home = tmp_path / "home"
    first = ingest(home, log(tmp_path / "one.csv", 60), tmp_path)
    second = ingest(home, log(tmp_path / "two.csv", 60, seed=2), tmp_path)
    validate(home, second, tmp_path)
    assert set(events.read_events(Home(home), second.version)["batch"]) == {first.batch, second.batch}
    assert pending.batches_of(Home(home)) == []


def test_a_stopped_batch_takes_its_items_back(tmp_path: Path) -> None:
    home, good = tmp_path / "home", log(tmp_path / "good.csv", 60)
    wrong = items(tmp_path / "wrong.csv", [f"x{n}" for n in range(200)])
    right = items(tmp_path / "right.csv", [f"i{n}" for n in range(30)])
    with pytest.raises(SystemExit):  # events on items that the items file does not know
        validate(home, ingest(home, {**good, "items": wrong}, tmp_path), tmp_path)
    done = ingest(home, {**good, "items": right}, tmp_path)
    validate(home, done, tmp_path)
    known = events.read_items(Home(home), lifecycle._whole(done.version))
    assert known is not None
    assert set(known["item_id"]) == {f"i{n}" for n in range(30)}


def test_what_a_pipeline_does_to_numbers_does_not_change_the_digest() -> None:
    spelled = lifecycle._spelled({name: {} for name in lifecycle.SECTIONS})
    changed = {name: dict(section) for name, section in spelled.items()}
    changed["train"]["seed"] = 42.0
    changed["evaluate"]["k"] = 10.0
    assert lifecycle._spelled(changed) == spelled
    with pytest.raises(EverloopError, match="did you mean 'seed'"):
        lifecycle._spelled({**changed, "train": {"sed": 1}})


def test_a_champion_that_no_run_made_is_no_opponent_and_one_is_told_what_to_do(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    home = Home(str(tmp_path / "home"))
    frame = pl.DataFrame({"user_id": ["a", "a", "b"], "item_id": ["x", "y", "x"], "timestamp": [1, 2, 3]})
    interactions = Interactions.from_frame(frame.with_columns(pl.from_epoch("timestamp").dt.replace_time_zone("UTC")))
    catalogue = Catalogue.align(interactions.items, None)
    model = MODELS["popularity"](MODELS["popularity"].Config()).fit(Training(interactions, catalogue))
    digest = save(releases_of(home), model, catalogue, {"settings": {}, "data": {}}, {})
    Ledger(home).append("promote", digest, "by hand")
    unused = [str(tmp_path / name) for name in ("evaluation", "challenger", "verdict", "summary")]
    with pytest.raises(SystemExit) as stopped:
        lifecycle.gate(home.url, {}, {}, "", [], *unused)
    assert stopped.value.code == Refused.exit_code
    assert "made by hand and not by a run" in "".join(capsys.readouterr())
