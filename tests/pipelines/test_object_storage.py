"""A home in object storage is the same home: every step, the ledger and the commands work there as in a folder."""

from pathlib import Path
from typing import Any

import pytest

from components.recsys.home import Home
from components.recsys.ledger import Ledger
from components.recsys.release import load, releases_of

SMALL = ["--set", "train.candidates=[popularity, item_knn, ease]", "--set", "evaluate.bootstrap=200"]


def test_a_run_with_its_home_in_object_storage_gives_the_figures_and_the_digest_of_a_folder(
    s3_url: str, finished: Any, everloop: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EVERLOOP_CACHE", str(tmp_path))
    done = everloop("run", *finished.sources, "--home", s3_url, *SMALL, "--json")
    assert done.code == 0, done.err
    result, there = done.json, finished.answer
    assert (result["outcome"], result["chosen"], result["reasons"]) == ("promoted", there["chosen"], there["reasons"])
    assert result["candidates"] == there["candidates"]
    assert result["release"] == there["release"]
    assert "not tracked: the home is in object storage" in result["untracked"]
    home = Home(s3_url)
    assert [entry.release for entry in Ledger(home).entries()] == [result["release"]]
    assert load(releases_of(home), result["release"]).digest == result["release"]
    assert home.store.read(f"runs/{result['run']}/report.html").startswith(b"<!doctype html>")
    status = everloop("status", "--home", s3_url, "--json")
    assert status.json["champion"] == result["release"]
    again = everloop("run", *finished.sources, "--home", s3_url, *SMALL, "--json")
    assert (again.code, again.json["outcome"]) == (0, "unchanged")


def test_submit_without_an_endpoint_or_a_home_that_pods_see_is_one_sentence(
    finished: Any, everloop: Any, s3_url: str
) -> None:
    bare = {"env": {"KUBEFLOW_ENDPOINT": ""}}
    nowhere = everloop("submit", *finished.sources, "--home", s3_url, "--json", **bare)
    assert (nowhere.code, nowhere.json["error"].split("?")[0]) == (2, "which Kubeflow")
    folder = everloop("submit", *finished.sources, "--home", "a-folder", "--endpoint", "http://127.0.0.1:9", "--json")
    assert (folder.code, "Traceback" in folder.err) == (3, False)
    assert "cannot be reached" in folder.json["error"]
