"""Several writers at once: one of two orders wins or both come in sequence, and model.yaml is never half of each."""

import contextlib
import os
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from components.recsys.errors import Refused
from components.recsys.ledger import Ledger
from pipelines.gitops.changes import Decide, Seen, Wanted, change
from pipelines.gitops.environments import model_path
from pipelines.gitops.git import cloned
from pipelines.gitops.model import parsed
from tests.gitops.conftest import copied

A, B, C = (letter * 64 for letter in "abc")


def git(folder: Path, *arguments: str) -> str:
    return subprocess.run(["git", *arguments], cwd=folder, capture_output=True, text=True, check=True).stdout.strip()


def every_version(repository, env: str = "staging") -> list[str]:
    """The stable and candidate release of each commit, oldest first; each file whole, or `parsed` raises."""
    found = []
    for commit in git(repository.bare, "rev-list", "--reverse", "main", "--", model_path(env)).splitlines():
        model = parsed(git(repository.bare, "show", f"{commit}:{model_path(env)}") + "\n", model_path(env))
        found.append(model.candidate or model.stable)
    return found


def ordering(digest: str, meanwhile=lambda: None) -> Decide:
    """A decision for `digest`, in the middle of which something else happens, once."""
    left = [meanwhile]

    def decide(seen: Seen) -> Wanted:
        if left:
            left.pop()()
        return Wanted(replace(seen.model, candidate=digest), "a candidate", {})

    return decide


def test_somebody_elses_commit_to_other_files_costs_only_another_try(repository) -> None:
    repository.order("staging", stable=A)
    with cloned(str(repository.bare)) as clone:
        done = change(clone, "staging", ordering(B, lambda: repository.change("README.md", "Moved on\n")))
    assert git(repository.bare, "rev-parse", "main") == done.commit
    assert git(repository.bare, "show", "main:README.md") == "Moved on"
    assert repository.model("staging").candidate == B


def test_another_environments_release_is_no_matter(repository) -> None:
    repository.order("staging", stable=A)
    with cloned(str(repository.bare)) as clone:
        change(clone, "staging", ordering(B, lambda: repository.order("prod", stable=C)))
    assert (repository.model("staging").candidate, repository.model("prod").stable) == (B, C)


def test_a_change_of_the_same_model_meanwhile_is_refused_and_names_who(repository) -> None:
    repository.order("staging", stable=A)
    with (
        cloned(str(repository.bare)) as clone,
        pytest.raises(
            Refused, match=r"before changed staging meanwhile \(commit \w{12}\): now stable a+, candidate c+"
        ),
    ):
        change(clone, "staging", ordering(B, lambda: repository.order("staging", stable=A, candidate=C)))
    assert repository.model("staging").candidate == C


def test_on_top_comes_after_whatever_others_wrote(repository) -> None:
    repository.order("staging", stable=A)
    with cloned(str(repository.bare)) as clone:
        change(clone, "staging", ordering(B, lambda: repository.order("staging", stable=C)), on_top=True)
    model = repository.model("staging")
    assert (model.stable, model.candidate) == (C, B)


def everloop(*arguments: str) -> "subprocess.Popen[str]":
    command = [sys.executable, "-m", "pipelines.cli", "gitops", *arguments]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=os.environ)


@pytest.fixture
def three(home, releases, champion) -> list[str]:
    """Three approved releases."""
    digests = [releases() for _ in range(3)]
    for digest in digests:
        Ledger(home).append("approve", digest, "fine")
    return digests


@pytest.mark.parametrize("in_sequence", [False, True])
def test_of_processes_that_promote_at_once_one_wins_or_all_come_in_sequence(
    repository, champion, three, in_sequence
) -> None:
    """Real processes; another one pushes other files all the while."""
    stop = threading.Event()

    def others() -> None:
        for number in range(1000):
            if stop.is_set():
                return
            with contextlib.suppress(AssertionError):  # they lose races too; their next push brings both
                repository.change(f"other/{number}.txt", "x\n")
            time.sleep(0.2)

    noise = threading.Thread(target=others)
    noise.start()
    more = ["--replace"] if in_sequence else []
    processes = [everloop("promote", each, "--env", "staging", "--repo", str(repository.bare), *more) for each in three]
    said = [process.communicate(timeout=200)[1] for process in processes]
    stop.set()
    noise.join()
    codes = [process.returncode for process in processes]
    won = [digest for digest, code in zip(three, codes, strict=True) if code == 0]
    history = every_version(repository)[-1 - len(won) :]
    assert history[0] == champion
    assert sorted(history[1:]) == sorted(won)
    if in_sequence:
        assert codes == [0, 0, 0], said
    else:
        assert sorted(codes) == [0, 1, 1], said
        assert all("meanwhile" in one or "has not ended" in one for one, code in zip(said, codes, strict=True) if code)


@settings(max_examples=5, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.lists(st.tuples(st.sampled_from("bcde"), st.booleans()), min_size=1, max_size=3), st.booleans())
def test_whoever_writes_between_look_and_push_every_version_is_one_whole_order(
    template, tmp_path, others, on_top
) -> None:
    """others: orders by other writers and, with False, changes of other files, all in the middle of ours."""
    repository = copied(template, Path(tempfile.mkdtemp(dir=tmp_path)))
    repository.order("staging", stable=A)
    written = [letter * 64 for letter, orders in others if orders]

    def meanwhile() -> None:
        for number, (letter, orders) in enumerate(others):
            if orders:
                repository.order("staging", stable=letter * 64)
            else:
                repository.change(f"other/{number}.txt", f"{letter}\n")

    before = every_version(repository)
    with cloned(str(repository.bare)) as clone:
        try:
            change(clone, "staging", ordering("f" * 64, meanwhile), on_top=on_top)
            pushed = ["f" * 64]
        except Refused:
            pushed = []
    assert bool(pushed) == (on_top or not written)
    collapsed = [one for number, one in enumerate(written) if number == 0 or written[number - 1] != one]
    assert every_version(repository) == before + collapsed + pushed
