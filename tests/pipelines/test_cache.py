"""The local runner's cache: damaged artifacts are no answer, and the folder of runs stays small."""

import json
import os
from pathlib import Path

import pytest
from kfp import dsl

from components.recsys import lineage
from pipelines.cache import KEPT, CheckedCache, prune

ONE = ["--set", "train.candidates=[popularity]", "--set", "evaluate.bootstrap=100"]
Told = list[tuple[str, str]]


def artifact(work: Path, run: str) -> dsl.Artifact:
    """A model as a step leaves it: files and their lineage record."""
    folder = work / "runs" / run / "train" / "model"
    folder.mkdir(parents=True)
    (folder / "weights").write_bytes(os.urandom(1000))
    (folder / lineage.TIMES).write_text(json.dumps({"seconds": 1.5}))
    lineage.record(folder, "train", {}, {"candidate": run})
    return dsl.Model(name="model", uri=str(folder))


@pytest.fixture
def told() -> Told:
    return []


@pytest.fixture
def cache(tmp_path: Path, told: Told) -> CheckedCache:
    return CheckedCache(tmp_path / "cache" / "code", lambda step, text: told.append((step, text)))


def test_what_is_whole_is_answered_as_it_was_kept(tmp_path: Path, cache: CheckedCache, told: Told) -> None:
    model = artifact(tmp_path, "a")
    cache.put("key", {"model": model, "Output": ["popularity"]})
    answer = cache.get("key")
    assert answer is not None
    assert (answer["model"].path, answer["Output"]) == (model.path, ["popularity"])
    assert told == []


@pytest.mark.parametrize("file", ["weights", lineage.TIMES, lineage.FILE])
def test_one_flipped_byte_in_any_file_is_no_answer_and_a_sentence(
    file: str, tmp_path: Path, cache: CheckedCache, told: Told
) -> None:
    model = artifact(tmp_path, "a")
    cache.put("key", {"model": model})
    path = Path(model.path) / file
    flipped = bytearray(path.read_bytes())
    flipped[0] ^= 1
    path.write_bytes(flipped)
    assert cache.get("key") is None
    ((step, text),) = told
    assert step == "train"
    assert file in text
    assert "the step runs again" in text
    assert cache.get("key") is None
    assert len(told) == 1, "the entry is dropped, so it is told once"


@pytest.mark.parametrize("file", ["weights", lineage.FILE])
def test_a_missing_file_is_damage_too(file: str, tmp_path: Path, cache: CheckedCache, told: Told) -> None:
    model = artifact(tmp_path, "a")
    cache.put("key", {"models": [artifact(tmp_path, "b"), model]})
    (Path(model.path) / file).unlink()
    assert cache.get("key") is None
    assert len(told) == 1


def begin(work: Path) -> CheckedCache:
    """As a run begins: what is old goes, then the cache is opened."""
    prune(work)
    return CheckedCache(work / "cache" / "code", lambda step, text: None)


def runs(work: Path) -> set[str]:
    return {path.name for path in (work / "runs").glob("*")}


def test_twenty_runs_leave_the_newest_few_and_as_many_entries(tmp_path: Path) -> None:
    sizes = []
    for number in range(20):
        cache = begin(tmp_path)
        cache.put(f"key {number}", {"model": artifact(tmp_path, f"run-{number:02}")})
        sizes.append(sum(path.stat().st_size for path in tmp_path.rglob("*") if path.is_file()))
    assert max(sizes[KEPT + 1 :]) < 1.02 * sizes[KEPT]
    assert runs(tmp_path) == {f"run-{number:02}" for number in range(20 - KEPT - 1, 20)}
    assert len(list((tmp_path / "cache").rglob("*.json"))) == KEPT + 1
    assert cache.get("key 19") is not None
    assert cache.get("key 3") is None


def test_a_run_that_later_ones_are_answered_from_stays(tmp_path: Path, cache: CheckedCache) -> None:
    cache.put("base", {"model": artifact(tmp_path, "base")})
    for number in range(12):
        cache = begin(tmp_path)
        assert cache.get("base") is not None
        cache.put(f"key {number}", {"model": artifact(tmp_path, f"run-{number:02}")})
    assert "base" in runs(tmp_path)
    assert len(runs(tmp_path)) == KEPT + 1


def test_what_killed_runs_and_other_code_left_is_cleared_away(tmp_path: Path, cache: CheckedCache) -> None:
    for number in range(9):
        (tmp_path / "runs" / f"killed-{number}" / "train").mkdir(parents=True)
    other = CheckedCache(tmp_path / "cache" / "older-code", lambda step, text: None)
    (Path(other.cache_root) / "torn.json").write_text('{"model": {"__kfp_arti')
    assert prune(tmp_path) == 9 - KEPT
    assert runs(tmp_path) == {f"killed-{number}" for number in range(9 - KEPT, 9)}
    assert not (tmp_path / "cache" / "older-code").exists()
    assert prune(tmp_path) == 0


def test_nothing_to_prune_in_a_new_home(tmp_path: Path) -> None:
    assert prune(tmp_path / "not there yet") == 0


@pytest.fixture
def sources(tmp_path: Path) -> list[str]:
    """Forty people in two tastes: a run of a few seconds."""
    events = tmp_path / "events.csv"
    rows = [
        f"u{user},i{(user % 2) * 20 + (user * 7 + step) % 20},{1_600_000_000 + 86_400 * step + user}"
        for user in range(40)
        for step in range(12)
    ]
    events.write_text("\n".join(["user_id,item_id,timestamp", *rows]) + "\n")
    return ["--events", str(events)]


def test_a_run_on_a_damaged_cached_artifact_runs_the_step_again_and_comes_to_the_same_result(
    tmp_path: Path, sources: list[str], everloop
) -> None:
    home = tmp_path / "home"
    command = ["run", *sources, "--home", str(home), *ONE]
    first = everloop(*command, "--json")
    assert first.code == 0, first.err
    for number in range(8):
        (home / "pipeline" / "runs" / f"everloop-training-2020-{number}").mkdir()
        os.utime(home / "pipeline" / "runs" / f"everloop-training-2020-{number}", (number, number))
    (weights,) = (home / "pipeline" / "runs").glob("*/*/train/model/*/weights.safetensors")
    flipped = bytearray(weights.read_bytes())
    flipped[-1] ^= 1
    weights.write_bytes(flipped)

    again = everloop(*command, "--json")
    assert again.code == 0, again.err
    assert "weights.safetensors is not as it was recorded" in again.err
    assert "the step runs again" in again.err
    assert again.json["cached"] == ["validate", "prepare"], "what hangs on the damaged step runs again as well"
    assert again.json["candidates"] == first.json["candidates"]
    assert again.json["champion"] == first.json["champion"]
    assert len(runs(home / "pipeline")) == KEPT + 1
