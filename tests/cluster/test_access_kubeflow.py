"""A run of Kubeflow gets by with the rights that the chart gives to its steps, and is told when they are not there."""

import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from kfp import compiler, dsl

from pipelines.kubeflow import ENDED, Kubeflow
from tests.helm.charts import HOME, render

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(900)]


@dsl.container_component
def say(word: dsl.OutputPath(str), kept: dsl.Output[dsl.Artifact]):  # type: ignore[valid-type, no-untyped-def]
    script = 'mkdir -p "$(dirname "$0")" "$(dirname "$1")" && echo hello > "$0" && echo kept > "$1"'
    return dsl.ContainerSpec(image="busybox:1", command=["sh", "-c", script], args=[word, kept.path])


@dsl.container_component
def hear(word: str, kept: dsl.Input[dsl.Artifact]):  # type: ignore[no-untyped-def]
    return dsl.ContainerSpec(
        image="busybox:1", command=["sh", "-c", 'test "$0" = hello && cat "$1"'], args=[word, kept.path]
    )


@dsl.pipeline(name="everloop-access")
def talk():  # type: ignore[no-untyped-def]
    """A parameter and an artifact from one step to the next: all that steps of ours do with Kubeflow."""
    said = say()
    hear(word=said.outputs["word"], kept=said.outputs["kept"])


@pytest.fixture
def account(cluster: Any, tool: Callable[[str], str]) -> Iterator[Callable[[bool], str]]:
    """An account in Kubeflow's namespace, with the chart's Role or without."""
    tool("helm4")
    made: list[str] = []

    def create(with_role: bool) -> str:
        name = f"everloop-steps-{uuid.uuid4().hex[:6]}"
        values = {"home": HOME, "fullnameOverride": name, "steps": {"serviceAccount": {"name": name}}}
        kinds = ("ServiceAccount", "Role", "RoleBinding") if with_role else ("ServiceAccount",)
        ours = [
            one
            for one in render("helm4", values, namespace=cluster.namespace)
            if one["kind"] in kinds and one["metadata"]["labels"].get("app.kubernetes.io/component") == "steps"
        ]
        text = yaml.safe_dump_all(ours)
        made.append(text)
        done = cluster.kubectl("apply", "-f", "-", stdin=text)
        assert done.returncode == 0, done.stderr
        return name

    yield create
    for text in made:
        cluster.kubectl("delete", "--ignore-not-found", "-f", "-", stdin=text)


def ran(endpoint: str, account: str, folder: Path, seconds: float) -> str:
    """How a run under this account ended; RUNNING when it had not by then, and is ended."""
    package = folder / "talk.yaml"
    compiler.Compiler().compile(talk, str(package))
    kubeflow, mark = Kubeflow(endpoint), uuid.uuid4().hex[:6]
    pipeline = kubeflow.pipeline("everloop-access")
    version = kubeflow.upload_version(pipeline, f"access-{mark}", f"access {mark}", package.read_bytes())
    experiment = kubeflow.experiment("everloop-access")
    run = kubeflow.create_run(
        f"access-{mark}", experiment, pipeline, version["pipeline_version_id"], {}, service_account=account
    )
    deadline = time.monotonic() + seconds
    while (state := str(kubeflow.run(run["run_id"]).get("state", ""))) not in ENDED and time.monotonic() < deadline:
        time.sleep(2)
    if state not in ENDED:
        kubeflow.terminate(run["run_id"])
        return "RUNNING"
    return state


def test_a_run_succeeds_with_the_rights_of_the_steps(
    endpoint: str, account: Callable[[bool], str], tmp_path: Path
) -> None:
    assert ran(endpoint, account(True), tmp_path, 600) == "SUCCEEDED"


def test_without_them_it_does_not(endpoint: str, account: Callable[[bool], str], tmp_path: Path) -> None:
    """So the run above does not get its rights from elsewhere."""
    assert ran(endpoint, account(False), tmp_path, 120) != "SUCCEEDED"
