"""The whole pipeline on one machine, as a process of its own, by KFP's local runner."""

import re
import subprocess
import sys
import time
from pathlib import Path

import pytest

from components.recsys.home import Home
from components.recsys.ledger import Ledger
from components.recsys.release import load, releases_of

SMALL = ["--set", "train.candidates=[popularity, item_knn, ease]", "--set", "evaluate.bootstrap=200"]
STEPS = ["ingest", "validate", "prepare", "train", "evaluate", "gate", "register"]


def test_a_run_ends_with_a_champion_that_can_be_loaded(finished) -> None:
    answer = finished.answer
    assert answer["outcome"] == "promoted"
    assert answer["champion"] == answer["release"] == Ledger(Home(finished.home)).champion()
    assert set(answer["candidates"]) == {"popularity", "item_knn", "ease"}
    for candidate in answer["candidates"].values():
        figure = candidate["metrics"]["ndcg"]
        assert figure["low"] <= figure["value"] <= figure["high"]
    assert load(releases_of(Home(finished.home)), answer["release"]).model.name == answer["chosen"]
    assert answer["untracked"] == ""
    assert len(answer["samples"]) == 3
    assert all(item["reason"] and item["title"] for sample in answer["samples"] for item in sample["items"])


def test_the_report_is_one_file_that_needs_no_network(finished) -> None:
    page = Path(finished.answer["report"]).read_text()
    assert finished.answer["release"] in page
    assert not re.search(r"""(src|href)=["']?(https?:)?//""", page)
    assert "<svg" in page


def test_a_second_run_is_answered_from_the_cache_and_says_so(finished, home: Path, everloop) -> None:
    # The cache holds absolute paths, so the second run is on the finished home itself; it changes nothing there.
    again = everloop("run", *finished.sources, "--home", str(finished.home), *SMALL)
    assert again.code == 0, again.err
    assert "from the cache: validate, prepare, train, evaluate" in again.out
    assert "nothing added" in again.err
    assert "unchanged" in again.out
    assert Ledger(Home(finished.home)).champion() == finished.answer["release"]


def test_another_setting_is_not_answered_from_the_cache(finished, home: Path, everloop) -> None:
    again = everloop(
        "run", *finished.sources, "--home", str(home), *SMALL, "--set", "train.models.ease.l2=37", "--json"
    )
    assert again.code in (0, 1), again.err
    assert "train" not in again.json["cached"]


def test_reproducing_a_release_gives_its_digest(finished, everloop) -> None:
    done = everloop("reproduce", finished.answer["release"][:10], "--home", str(finished.home), "--json")
    assert done.code == 0, done.err
    assert done.json["digest"] == finished.answer["release"]


def test_the_same_data_settings_and_seed_give_the_same_digest_elsewhere(finished, tmp_path: Path, everloop) -> None:
    done = everloop(
        "run", *finished.sources, "--home", str(tmp_path / "other"), *SMALL, "--json", env={"OMP_NUM_THREADS": "1"}
    )
    assert done.code == 0, done.err
    assert done.json["release"] == finished.answer["release"]


def test_a_run_goes_on_without_mlflow_and_says_so(finished, home: Path, everloop) -> None:
    down = ["--set", "tracking.uri=http://127.0.0.1:9", "--set", "train.seed=5"]
    done = everloop("run", *finished.sources, "--home", str(home), *SMALL, *down, "--json")
    assert done.code in (0, 1), done.err
    assert "not tracked: MLflow at http://127.0.0.1:9 failed" in done.json["untracked"]


@pytest.mark.filterwarnings("ignore:The ``noload`` loader strategy:DeprecationWarning")  # inside mlflow
def test_every_candidate_is_in_mlflow_by_user_group(finished) -> None:
    from mlflow.tracking import MlflowClient

    client = MlflowClient(f"sqlite:///{finished.home / 'mlflow.db'}")
    experiment = client.get_experiment_by_name("everloop")
    assert experiment is not None
    runs = {run.info.run_name: run for run in client.search_runs([experiment.experiment_id])}
    assert {"popularity", "item_knn", "ease"} <= set(runs)
    assert any(name.startswith("ndcg/activity/") for name in runs["ease"].data.metrics)
    assert {"ndcg", "ndcg.low", "ndcg.high"} <= set(runs["ease"].data.metrics)


def test_killed_in_any_step_the_champion_serves_on_and_the_next_run_works(finished, home: Path, everloop) -> None:
    before = finished.answer["release"]
    for number, step in enumerate(STEPS):
        # Another seed each time, so that nothing is answered from the cache before the step is reached.
        _run_and_kill(finished, home, step, seed=100 + number)
        assert Ledger(Home(home)).champion() == before, step
        load(releases_of(Home(home)), before)
    done = everloop("run", *finished.sources, "--home", str(home), *SMALL, "--json")
    assert done.code == 0, done.err
    assert done.json["champion"] == before


def _run_and_kill(finished, home: Path, step: str, seed: int) -> None:
    """Run in a process group of its own and kill -9 all of it, a moment after the step has started."""
    script = f"""
import os, signal, sys, threading
from components.recsys.home import Home
from components.recsys.settings import load_settings
from pipelines.local import run_local
os.setpgrp()
def listener(message):
    if message["event"] == "started" and message["step"].split()[0] == {step!r}:
        threading.Timer({0.05 + 0.13 * (seed % 3)}, lambda: os.killpg(0, signal.SIGKILL)).start()
small = ["train.candidates=[popularity, item_knn, ease]", "evaluate.bootstrap=200"]
settings = load_settings(None, [*small, "train.seed={seed}", "gate.alpha=0.01"])
run_local(Home({str(home)!r}), { ({kind: [path] for kind, path in finished.data.items()})!r}, settings, listener)
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=120)
    assert done.returncode == -9, (step, done.returncode, done.stderr[-2000:])


def test_two_runs_at_once_on_one_home_wait_for_each_other(finished, home: Path) -> None:
    command = [sys.executable, "-m", "pipelines.cli", "run", *finished.sources, "--home", str(home), *SMALL]
    first = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    time.sleep(0.3)
    second = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    told = [process.communicate(timeout=200)[1] for process in (first, second)]
    assert [first.returncode, second.returncode] == [0, 0], told
    assert sum("waiting up to" in text for text in told) == 1


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--events", "no-such.csv"], "no-such.csv"),
        (["--events", "EMPTY"], "empty"),
        (["--items", "x.csv"], "--events"),
        (["--data", "nothing"], "ml-100k and travel"),
        (["--set", "train.candidates=[easy]"], "ease"),
        (["--set", "train.sed=1"], "did you mean 'seed'?"),
    ],
)
def test_bad_input_is_one_sentence_and_exit_code_2(arguments: list[str], words: str, tmp_path: Path, everloop) -> None:
    (tmp_path / "empty.csv").touch()
    arguments = [str(tmp_path / "empty.csv") if part == "EMPTY" else part for part in arguments]
    done = everloop(
        "run",
        *arguments,
        "--home",
        str(tmp_path / "home"),
        cwd=tmp_path,
        env={"PYTHONPATH": str(Path(__file__).parents[2])},
    )
    assert done.code == 2, (done.code, done.err)
    assert words in done.err
    assert "Traceback" not in done.out + done.err


def test_a_home_that_cannot_be_written_is_one_sentence_and_exit_code_3(finished, everloop) -> None:
    done = everloop("run", *finished.sources, "--home", "/sys/everloop")
    assert done.code == 3
    assert "choose another --home" in done.err
    assert "Traceback" not in done.err
