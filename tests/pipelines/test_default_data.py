"""The data of a run that names none: MovieLens 100K, or the synthetic travel world where that cannot be fetched."""

import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from components.recsys.simulator import label_of

SMALL = ["--set", "train.candidates=[popularity, item_knn]", "--set", "evaluate.bootstrap=100"]
OTHER_SOURCES = ("PIP_EXTRA_INDEX_URL", "PIP_FIND_LINKS", "PIP_NO_INDEX", "PIP_CONSTRAINT")


@pytest.fixture
def offline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, str]]:
    """An environment whose package index is a port on which nobody listens, with nothing fetched before."""
    for name in OTHER_SOURCES:
        monkeypatch.delenv(name, raising=False)
    with socket.socket() as bound:  # bound, never listening: every connection is refused
        bound.bind(("127.0.0.1", 0))
        closed = f"http://127.0.0.1:{bound.getsockname()[1]}/simple"
        yield {
            "PIP_INDEX_URL": closed,
            "PIP_CONFIG_FILE": os.devnull,
            "PIP_NO_CACHE_DIR": "1",
            "EVERLOOP_CACHE": str(tmp_path / "cache"),
        }


def test_without_a_network_one_sentence_says_so_and_the_labelled_travel_world_is_used(
    tmp_path: Path, offline: dict[str, str], everloop
) -> None:
    done = everloop("run", "--home", str(tmp_path / "home"), *SMALL, env=offline)
    assert done.code == 0, done.err
    told = [line for line in done.err.splitlines() if "MovieLens" in line]
    assert told == [
        "MovieLens 100K could not be fetched (pip download recbole==1.2.1 failed); "
        "using the synthetic travel world instead (labelled, not real data)"
    ]
    label = "Synthetic travel world, not real data"
    assert f"Recommendations for three people ({label})" in done.out
    assert "syn-u" in done.out
    (report,) = (tmp_path / "home" / "runs").glob("*/report.html")
    assert label in report.read_text()
    assert not (tmp_path / "cache" / "ml-100k").exists(), "nothing half fetched is left"


def test_who_asks_for_movielens_by_name_gets_it_or_a_sentence(
    tmp_path: Path, offline: dict[str, str], everloop
) -> None:
    done = everloop("run", "--data", "ml-100k", "--home", str(tmp_path / "home"), env=offline)
    assert done.code == 3
    assert "MovieLens 100K could not be fetched" in done.err
    assert "Traceback" not in done.out + done.err
    assert not (tmp_path / "home").exists()


def test_only_synthetic_data_carry_the_label() -> None:
    assert label_of(["syn-f0001", "syn-s0002"]) == "Synthetic travel world, not real data"
    assert label_of(["1", "synagogue", "242"]) == ""
