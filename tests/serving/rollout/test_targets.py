"""The file that says where predictors can be scraped: whole, only of those that answer, and written when it changes."""

import json
import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from components.recsys.errors import StoreError
from serving.rollout.measures import Measures
from serving.rollout.targets import VARIANTS, TargetsFile, groups, targets_path

A, B, C = "a" * 64, "b" * 64, "c" * 64


def predictor(digest, port, state="ready"):
    return {"release": digest[:12], "state": state, "url": f"http://127.0.0.1:{port}" if port else "", "pid": 1}


def facts(*predictors, champion=A, candidate=B, rollout="r-1", state="step"):
    return {
        "champion": champion,
        "candidate": candidate,
        "rollout": rollout,
        "state": state,
        "predictors": list(predictors),
        "share": 0.0,
        "guards": [],
    }


@pytest.fixture
def file(tmp_path):
    return TargetsFile(targets_path(tmp_path))


def test_each_variant_is_a_group_with_bounded_labels(file):
    assert file.write(facts(predictor(B, 2), predictor(A, 1), predictor(C, 3)))
    assert json.loads(file.path.read_text()) == [
        {"targets": ["127.0.0.1:1"], "labels": {"job": "predictor", "variant": "champion"}},
        {"targets": ["127.0.0.1:2"], "labels": {"job": "predictor", "variant": "candidate"}},
        {"targets": ["127.0.0.1:3"], "labels": {"job": "predictor", "variant": "former"}},
    ]


@pytest.mark.parametrize("state", ["starting", "crashed", "gone"])
def test_one_that_does_not_answer_is_not_in_it(file, state):
    file.write(facts(predictor(A, 1), predictor(B, 2, state)))
    assert [group["targets"] for group in json.loads(file.path.read_text())] == [["127.0.0.1:1"]]


def test_a_candidate_becomes_champion_and_one_that_was_taken_back_is_former():
    both = predictor(A, 1), predictor(B, 2)
    assert [g["labels"]["variant"] for g in groups(facts(*both, state="aborted"))] == ["champion", "former"]
    promoted = groups(facts(*both, champion=B, state="promoted"))
    assert [(g["targets"], g["labels"]["variant"]) for g in promoted] == [
        (["127.0.0.1:2"], "champion"),
        (["127.0.0.1:1"], "former"),
    ]


def test_what_has_not_changed_is_not_written_again_and_what_somebody_removed_is(file):
    now = facts(predictor(A, 1), predictor(B, 2))
    assert file.write(now)
    before = file.path.stat()
    assert not file.write({**now, "predictors": now["predictors"][::-1], "share": 0.5})
    assert (file.path.stat().st_ino, file.path.stat().st_mtime_ns) == (before.st_ino, before.st_mtime_ns)
    file.path.unlink()
    assert file.write(now)
    file.path.write_bytes(b'[{"targets": \xff')  # half of it, by whoever
    assert file.write(now)
    assert json.loads(file.path.read_text())


def test_a_reader_never_finds_a_part_of_it(file):
    file.write(facts())
    done = threading.Event()

    def change():
        for number in range(300):
            file.write(facts(*(predictor(C, 1000 + index) for index in range(number % 50))))
        done.set()

    thread = threading.Thread(target=change)
    thread.start()
    seen = set()
    while not done.is_set():
        seen.add(sum(len(group["targets"]) for group in json.loads(file.path.read_text())))
    thread.join()
    assert len(seen) > 1
    assert [path.name for path in file.path.parent.iterdir()] == ["predictors.json"]


def test_a_folder_that_cannot_be_written_is_told_in_a_sentence(tmp_path):
    (tmp_path / "loop").write_text("a file where a folder should be")
    with pytest.raises(StoreError, match=r"cannot be written .* mend the disk"):
        TargetsFile(targets_path(tmp_path)).write(facts(predictor(A, 1)))


@given(
    st.lists(st.tuples(st.sampled_from([A, B, C]), st.sampled_from(["ready", "starting", "crashed"])), max_size=3),
    st.sampled_from([A, B, ""]),
    st.sampled_from(["waiting", "shadow", "step", "promoting", "promoted", "aborted", ""]),
)
def test_the_file_and_the_gauge_of_predictors_agree(predictors, champion, state):
    now = facts(
        *(predictor(digest, 1 + index, condition) for index, (digest, condition) in enumerate(predictors)),
        champion=champion,
        state=state,
    )
    measures = Measures()
    measures.take(now, [], 0)
    told = {group["labels"]["variant"]: len(group["targets"]) for group in groups(now)}
    for variant in VARIANTS:
        gauge = measures.registry.get_sample_value("everloop_predictors", {"variant": variant})
        assert gauge == told.get(variant, 0)
