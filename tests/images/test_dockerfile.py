"""The Dockerfile as text: what can be told without building it."""

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from components.recsys.version import VERSION
from tests.images.closure import PROJECT
from tests.images.conftest import GROUPS

ROOT = Path(__file__).parents[2]
DOCKERFILE = ROOT / "components" / "Dockerfile"
TEXT = "\n".join(line for line in DOCKERFILE.read_text().splitlines() if not line.startswith("#"))
INSTRUCTIONS = [line.strip() for line in TEXT.replace("\\\n", " ").splitlines() if line.strip()]


def stages() -> dict[str, list[str]]:
    """Instructions by stage, each with those of the stage that it starts from."""
    found: dict[str, list[str]] = {"": []}
    name = ""
    for line in INSTRUCTIONS:
        if line.startswith("FROM "):
            _, base, _, name = line.split()
            found[name] = list(found.get(base, []))
        found[name].append(line)
    return found


def test_it_passes_the_linter_without_an_exception() -> None:
    done = subprocess.run(
        [str(Path(sys.executable).parent / "hadolint"), str(DOCKERFILE)], capture_output=True, text=True, timeout=60
    )
    assert (done.returncode, done.stdout) == (0, "")
    assert re.findall("hadolint ignore=(.*)", DOCKERFILE.read_text()) == ["DL3008"]  # Debian's versions: see there


def test_there_is_one_base_which_is_an_argument() -> None:
    bases = {line.split()[1] for line in INSTRUCTIONS if line.startswith("FROM ")}
    assert bases - set(stages()) == {"${BASE}"}
    assert set(stages()[""]) == {
        "ARG REGISTRY=docker.io/library",
        "ARG BASE=${REGISTRY}/python:3.11-slim-bookworm",
    }


@pytest.mark.parametrize("target", sorted(GROUPS))
def test_a_target_is_run_by_a_number_and_runs_everloop(target: str) -> None:
    lines = stages()[target]
    assert [line for line in lines if line.startswith("USER ")] == ["USER 65532:65532"]
    assert 'ENTRYPOINT ["everloop"]' in lines
    assert f"ARG VERSION={VERSION}" in lines


@pytest.mark.parametrize("target", sorted(GROUPS))
def test_a_target_runs_nothing_and_takes_only_its_packages_and_the_code(target: str) -> None:
    """What builds is in other stages, and no tool of theirs is left in an image. Only gitops gets a program: git."""
    lines = stages()[target]
    runs = [line for line in lines if line.startswith(("RUN ", "ADD "))]
    assert [run.split()[:3] for run in runs] == ([["RUN", "apt-get", "update"]] if target == "gitops" else [])
    assert [line for line in lines if line.startswith("COPY ")] == [
        f"COPY --from={target}-packages /opt/everloop /opt/everloop",
        "COPY --from=code /code/opt/everloop /opt/everloop",
    ]


@pytest.mark.parametrize("target", sorted(GROUPS))
def test_a_target_installs_the_groups_that_the_tests_of_lean_processes_allow(target: str) -> None:
    (line,) = (line for line in stages()[f"{target}-packages"] if "packages.sh" in line and line.startswith("RUN"))
    groups = re.search(r'"([\w,]*)(\$\{EXTRAS.*)?"', line)
    assert groups
    assert tuple(filter(None, groups[1].split(","))) == GROUPS[target]
    assert set(GROUPS[target]) <= set(PROJECT["optional-dependencies"])


def test_everything_installed_has_its_one_resolved_version() -> None:
    """All that pip does in the build is held by constraints.txt, which pins each package of each group."""
    assert "PIP_CONSTRAINT=/src/constraints.txt" in TEXT
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    assert all(re.fullmatch(r"[\w.-]+==[\w.+]+", line) for line in lines if not line.startswith("#"))


def test_neural_releases_get_their_package_by_a_build_argument() -> None:
    assert tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]["neural"]
    assert all("ARG EXTRAS" in stages()[f"{target}-packages"] for target in ("steps", "serving"))
    assert "ARG PIP_EXTRA_INDEX_URL" in stages()["builder"]
