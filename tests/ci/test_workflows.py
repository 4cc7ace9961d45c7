"""GitHub's workflows: every command is a make target, every action is what its comment says, no job has a right too many."""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[2]
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
PINS = yaml.safe_load((ROOT / "tests" / "ci" / "actions.yaml").read_text(encoding="utf-8"))
USES = re.compile(r"^\s*(?:-\s+)?uses:\s+(\S+)@(\S+)(?:\s+#\s*(\S+))?\s*$", re.MULTILINE)
# What is no make target: where the credentials of the job go in, and what GitHub's own program does.
COMMANDS = (
    'docker login ghcr.io --username "$GITHUB_ACTOR" --password-stdin <<<"$GITHUB_TOKEN"',
    'gh release create "$GITHUB_REF_NAME" dist/* --repo "$GITHUB_REPOSITORY" --verify-tag --generate-notes',
)
# What each job may do beyond reading the sources.
RIGHTS = {
    ("release", "images"): {"packages": "write"},
    ("release", "chart"): {"packages": "write"},
    ("release", "sign"): {"packages": "write", "id-token": "write", "attestations": "write"},
    ("release", "publish"): {"contents": "write"},
}
Json = dict[str, Any]


def workflow(path: Path) -> Json:
    return dict(yaml.safe_load(path.read_text(encoding="utf-8")))


def jobs() -> Iterator[tuple[str, str, Json]]:
    for path in WORKFLOWS:
        for name, job in workflow(path)["jobs"].items():
            yield path.stem, name, job


def runs() -> list[str]:
    return [step["run"].strip() for _, _, job in jobs() for step in job["steps"] if "run" in step]


def test_there_is_a_workflow_for_changes_and_one_for_releases() -> None:
    assert [path.name for path in WORKFLOWS] == ["ci.yml", "release.yml"]
    # PyYAML reads the key `on` as True.
    assert workflow(WORKFLOWS[0])[True] == {"push": {"branches": ["main"]}, "pull_request": None}
    assert workflow(WORKFLOWS[1])[True] == {"push": {"tags": ["v*"]}}


def test_every_command_is_a_make_target(made: Callable[[list[str]], None]) -> None:
    made([command for command in runs() if command.startswith("make ")])
    assert sorted({command for command in runs() if not command.startswith("make ")}) == sorted(COMMANDS)
    assert not [command for command in runs() if "\n" in command]


def test_a_release_passes_what_a_change_passes() -> None:
    first = [{step.get("run") for step in job["steps"]} for _, name, job in jobs() if name == "check-and-test"]
    assert len(first) == 2
    assert first[0] - {None} <= first[1]


def test_every_action_is_pinned_to_the_commit_of_the_tag_beside_it() -> None:
    found = [pin for path in WORKFLOWS for pin in USES.findall(path.read_text(encoding="utf-8"))]
    assert len(found) == sum("uses" in step for _, _, job in jobs() for step in job["steps"]) > 10
    assert [(action, tag, commit) for action, commit, tag in found if PINS.get(action, {}).get(tag) != commit] == []
    assert {action for action, _, _ in found} == PINS.keys(), "actions.yaml names what no workflow uses"


def test_rights_are_nothing_by_default_and_little_by_job() -> None:
    for path in WORKFLOWS:
        assert workflow(path)["permissions"] == {}
    for name, job, said in jobs():
        beyond = {right: how for right, how in said["permissions"].items() if (right, how) != ("contents", "read")}
        assert beyond == RIGHTS.get((name, job), {}), f"{name}: {job}"


def test_every_job_ends_and_workflows_do_not_pile_up() -> None:
    assert all(0 < job["timeout-minutes"] <= 60 for _, _, job in jobs())
    for path in WORKFLOWS:
        assert "github.ref" in workflow(path)["concurrency"]["group"]
    assert workflow(WORKFLOWS[1])["concurrency"]["cancel-in-progress"] is False


def test_no_expression_reaches_a_shell_and_no_key_stays_in_the_checkout() -> None:
    assert [command for command in runs() if "${{" in command] == []
    checkouts = [s for _, _, job in jobs() for s in job["steps"] if s.get("uses", "").startswith("actions/checkout@")]
    assert checkouts
    assert all(step["with"]["persist-credentials"] is False for step in checkouts)


def test_nothing_that_another_branch_can_write_gets_into_a_release() -> None:
    text = WORKFLOWS[1].read_text(encoding="utf-8")
    assert "actions/cache" not in text
    assert "cache:" not in text


def test_signing_waits_for_everything_and_publishing_for_signing() -> None:
    needs = {name: job.get("needs", []) for workflow, name, job in jobs() if workflow == "release"}
    assert needs == {
        "check-and-test": [], "images": "check-and-test", "chart": "images", "sign": ["images", "chart"], "publish": "sign",
    }  # fmt: skip


@pytest.fixture(scope="session")
def actionlint() -> str:
    if not shutil.which("go") and not os.environ.get("CI"):
        pytest.skip("actionlint is built by Go, which is not installed")
    done = subprocess.run(["bash", str(ROOT / ".ci" / "actionlint")], capture_output=True, text=True, timeout=280)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_actionlint_finds_nothing(actionlint: str, tmp_path: Path) -> None:
    done = subprocess.run([actionlint, *WORKFLOWS], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout) == (0, "")
    wrong = tmp_path / "wrong.yml"
    wrong.write_text(WORKFLOWS[0].read_text(encoding="utf-8").replace("github.ref }}", "github.reff }}"))
    assert "reff" in subprocess.run([actionlint, wrong], capture_output=True, text=True, timeout=60).stdout


INJECTED = "- run: make check\n      - run: echo ${{ github.event.pull_request.title }}"


@pytest.mark.parametrize(
    ("before", "after", "said"),
    [
        ("- run: make check", INJECTED, "template-injection"),
        ("@3d3c42e5aac5ba805825da76410c181273ba90b1 # v7.0.1", "@v7", "unpinned-uses"),
        ("permissions: {}", "permissions: write-all", "excessive-permissions"),
        ("persist-credentials: false", "fetch-depth: 1", "artipacked"),
        ("  pull_request:", "  pull_request_target:", "dangerous-triggers"),
    ],
)
def test_zizmor_finds_nothing_and_would(tmp_path: Path, before: str, after: str, said: str) -> None:
    """make check runs it on what is there; here it is seen to find what it is there for."""
    zizmor = [Path(sys.executable).parent / "zizmor", "--offline", "--no-progress", "--persona", "pedantic"]
    text = WORKFLOWS[0].read_text(encoding="utf-8")
    assert before in text
    wrong = tmp_path / ".github" / "workflows" / "ci.yml"
    wrong.parent.mkdir(parents=True)
    wrong.write_text(text.replace(before, after, 1))
    done = subprocess.run([*zizmor, wrong], capture_output=True, text=True, timeout=60)
    assert done.returncode != 0
    assert said in done.stdout
