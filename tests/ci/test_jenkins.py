"""The Jenkinsfiles, compiled by Jenkins' Groovy and read by the reader beside this file; and a night of retraining, its
commands run as Jenkins' `sh` runs them."""

import hashlib
import json
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
READER = ROOT / "tests" / "ci" / "jenkins" / "Reader.groovy"
HOME = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
CACHE = Path(os.environ.get("EVERLOOP_CACHE") or HOME / "everloop")
COPY = "org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy-dependencies"
# What makes a stage's command more than a make target.
COMMANDS = ("docker login", ".venv/bin/everloop submit", ".venv/bin/everloop gitops sync")
Json = dict[str, Any]


@pytest.fixture(scope="session")
def jars() -> Path:
    """The folder with Groovy and the CPS transformer, fetched once by their coordinates in pom.xml."""
    pom = READER.parent / "pom.xml"
    folder = CACHE / "jenkins" / hashlib.sha256(pom.read_bytes()).hexdigest()[:16]
    missing = [program for program in ("java", "mvn") if not shutil.which(program)]
    if missing and not os.environ.get("CI"):
        pytest.skip(f"Jenkinsfiles are read by Groovy, fetched by Maven: {' and '.join(missing)} not found")
    if not folder.exists():
        new = folder.with_name(f"{folder.name}.{os.getpid()}")
        fetch = ["mvn", "--quiet", "--batch-mode", "--file", str(pom), COPY, f"-DoutputDirectory={new}"]
        done = subprocess.run(fetch, capture_output=True, text=True, timeout=200)
        assert done.returncode == 0, done.stdout
        try:
            new.rename(folder)
        except OSError:  # another worker was faster
            shutil.rmtree(new)
    return folder


@pytest.fixture(scope="session")
def read(jars: Path) -> Callable[..., dict[str, Json]]:
    def call(*files: Path) -> dict[str, Json]:
        # Groovy 2.4 looks into Java's own classes, as it does inside Jenkins.
        java = ["java", "--add-opens", "java.base/java.lang=ALL-UNNAMED", "-XX:TieredStopAtLevel=1", "-cp", f"{jars}/*"]
        command = [*java, "groovy.ui.GroovyMain", str(READER), *map(str, files)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=120)
        assert done.returncode == 0, done.stderr
        return dict(json.loads(done.stdout))

    return call


@pytest.fixture(scope="module")
def pipelines(read: Callable[..., dict[str, Json]]) -> dict[str, Json]:
    found = read(ROOT / "Jenkinsfile", ROOT / "ci" / "jenkins" / "retrain.Jenkinsfile")
    assert {Path(name).name: one["errors"] for name, one in found.items()} == {
        "Jenkinsfile": [],
        "retrain.Jenkinsfile": [],
    }
    return {Path(name).name: one["pipeline"] for name, one in found.items()}


def stages(pipeline: Json) -> Iterator[Json]:
    for stage in pipeline.get("stages", []):
        yield stage
        yield from stages(stage)


def steps(given: list[Json]) -> Iterator[Json]:
    for step in given:
        yield step
        yield from steps(step.get("steps", []))


def scripts(pipeline: Json) -> list[str]:
    return [
        step["script"] for stage in stages(pipeline) for step in steps(stage.get("steps", [])) if step["is"] == "sh"
    ]


def test_every_command_is_a_make_target_or_one_of_ours(
    pipelines: dict[str, Json], made: Callable[[list[str]], None]
) -> None:
    found = [script for pipeline in pipelines.values() for script in scripts(pipeline)]
    made([script for script in found if script.startswith("make ")])
    assert [
        script for script in found if not script.startswith("make ") and not any(c in script for c in COMMANDS)
    ] == []
    assert len(found) > 12


def test_the_stages_are_those_of_github(pipelines: dict[str, Json]) -> None:
    jenkins = {script for script in scripts(pipelines["Jenkinsfile"]) if script.startswith("make ")}
    wanted = {
        "packages",
        "check",
        "test",
        "drill",
        "soak",
        "images",
        "release-check",
        "release-images",
        "release-chart",
        "sign",
    }
    assert {script.split()[1] for script in jenkins} == wanted


def test_a_release_wants_a_tag_and_keys_only_where_they_are_used(pipelines: dict[str, Json]) -> None:
    found = {stage["name"]: stage for stage in stages(pipelines["Jenkinsfile"])}
    assert {"is": "tag", "pattern": "v*"} in found["release"]["when"]
    with_keys = {
        name for name, stage in found.items() if "withCredentials" in {s["is"] for s in stage.get("steps", [])}
    }
    assert with_keys == {"log in", "sign"}


def test_pipelines_end_and_do_not_pile_up(pipelines: dict[str, Json]) -> None:
    for pipeline in pipelines.values():
        assert {"timeout", "disableConcurrentBuilds", "buildDiscarder"} <= {
            option["is"] for option in pipeline["options"]
        }
    assert pipelines["retrain.Jenkinsfile"]["triggers"] == [{"is": "cron", "spec": "H 3 * * *"}]


GOOD = "pipeline { agent any; stages { stage('a') { steps { sh 'make check' } } } }"
WRONG = [
    ("agent any; ", "", "agent is missing"),
    ("agent any", "agent { dockr 'x' }", "unknown dockr"),
    ("stages { stage('a') { steps { sh 'make check' } } }", "", "stages is missing"),
    ("stage('a') { steps { sh 'make check' } }", "", "stages is empty"),
    ("sh 'make check'", "", "steps is empty"),
    ("sh 'make check'", "shell 'make check'", "unknown shell"),
    ("sh 'make check'", "sh script: 'x', returnStdOut: true", "unknown parameter returnStdOut"),
    ("sh 'make check'", "sh label: 'x'", "script is missing"),
    ("sh 'make check'", 'sh "echo ${params.NAME}"', "the shell reads $NAME itself"),
    ("sh 'make check'", "withCredentials([token(credentialsId: 'a', variable: 'B')]) { sh 'x' }", "unknown token"),
    ("sh 'make check'", "if (true) { sh 'x' }", "expected NAME"),
    ("sh 'make check'", "sh 'make check", "expecting '''"),
    ("stage('a') {", "stage('a') { options { retries(2) };", "unknown retries"),
    ("stage('a') {", "stage('a') { options { disableConcurrentBuilds() };", "unknown disableConcurrentBuilds"),
    ("stage('a') {", "stage('a') { when { tags 'v*' };", "unknown tags"),
    ("stage('a') {", "stage('a') { when { not { branch 'a'; branch 'b' } };", "exactly one condition"),
    ("stage('a') {", "stage('a') { stages { stage('b') { steps { echo 'x' } } };", "exactly one of steps"),
    ("stage('a') {", "stage('a') { steps { echo 'x' } }; stage('a') {", "two stages are called a"),
    ("agent any", "agent any; agent none", "agent twice"),
    ("agent any", "agent any; trigers { cron('H 3 * * *') }", "unknown section trigers"),
    ("agent any", "agent any; triggers { crontab('H 3 * * *') }", "unknown crontab"),
    ("agent any", "agent any; options { timeout(time: 1, unit: 'HOUR') }", "unit is one of"),
    ("agent any", "agent any; parameters { string(defaultValue: '') }", "name is missing"),
    ("agent any", "agent any; environment { sh 'b' }", "expected NAME = VALUE"),
    ("agent any", "agent any; post { allways { echo 'x' } }", "unknown allways"),
    ("pipeline {", "def now = new Date()\npipeline {", "nothing beside it"),
]


def test_what_jenkins_refuses_is_refused(read: Callable[..., dict[str, Json]], tmp_path: Path) -> None:
    files = []
    for number, text in enumerate([GOOD, *(GOOD.replace(before, after, 1) for before, after, _ in WRONG)]):
        files.append(tmp_path / f"{number:02}")
        files[-1].write_text(text)
    good, *wrong = read(*files).values()
    assert good["errors"] == []
    missed = [
        (after, said, one["errors"]) for (_, after, said), one in zip(WRONG, wrong, strict=True) if said not in str(one)
    ]
    assert missed == []


def run(step: Json, environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
    """A step as Jenkins runs it. Credentials are in the environment already."""
    if step["is"] == "withCredentials":
        return [run(inner, environment) for inner in step["steps"]][-1]
    command = ["sh", "-xe", "-c", step["script"]]
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=120)


def build(pipeline: Json, names: list[str], environment: dict[str, str]) -> None:
    """The stages with these names, each tried as often as its options say."""
    for stage in stages(pipeline):
        if stage["name"] in names:
            tries = next((option["count"] for option in stage.get("options", []) if option["is"] == "retry"), 1)
            done = run(stage["steps"][0], environment)
            for _ in range(tries - 1):
                done = run(stage["steps"][0], environment) if done.returncode else done
            assert done.returncode == 0, done.stderr


def test_nights_on_kubeflow(pipelines: dict[str, Json], night: Any) -> None:
    """In the first night the first try fails after it started a run, and the second finds that run. Then the gate says no."""
    night.kubeflow.shown_late = True
    night.kubeflow.says_no = lambda name: len(night.kubeflow.runs) > 1
    retrain = pipelines["retrain.Jenkinsfile"]
    given = {parameter["name"]: parameter.get("defaultValue", "") for parameter in retrain["parameters"]}
    environment = {**night.environment, **given, "EVENTS": night.events, "ENVIRONMENT": "staging"}
    build(retrain, ["train", "offer"], {**environment, "BUILD_TAG": "jenkins-retrain-1"})
    first = night.stable
    assert first == night.champion != ""
    build(retrain, ["train", "offer"], {**environment, "BUILD_TAG": "jenkins-retrain-2"})
    assert night.stable == night.champion == first, "a no is an answer: the build is fine and nothing moves"
    assert [run["display_name"] for run in night.kubeflow.runs] == ["jenkins-retrain-1", "jenkins-retrain-2"]
