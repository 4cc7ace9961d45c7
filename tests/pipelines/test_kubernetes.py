"""What the compiled pipeline asks of a cluster, step by step, and what somebody finds who starts it in Kubeflow's UI."""

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from components.image import IMAGE
from components.recsys.settings import Settings, settings_of
from pipelines.compile import compile_package, version_name
from pipelines.kubernetes import STORE_KEYS, STORE_SECRET
from pipelines.local import STEPS
from pipelines.training import NAME, arguments

ROOT = Path(__file__).parents[2]
MOVE_THE_WORLD = {"ingest", "gate", "register"}  # tables, champion, ledger: each time anew
SHOWN = {  # what the UI draws of each step, beside what it hands on
    "ingest": {"summary": "Markdown"},
    "validate": {"summary": "Markdown", "charts": "HTML", "metrics": "Metrics"},
    "prepare": {"summary": "Markdown"},
    "train": {"metrics": "Metrics"},
    "evaluate": {"summary": "Markdown", "charts": "HTML", "metrics": "Metrics"},
    "gate": {"summary": "Markdown", "curve": "ClassificationMetrics"},
    "register": {"summary": "Markdown", "report": "HTML", "metrics": "Metrics"},
}


@pytest.fixture(scope="module")
def compiled() -> tuple[dict[str, Any], dict[str, Any]]:
    spec, platform = yaml.safe_load_all(compile_package(NAME))
    return spec, platform["platforms"]["kubernetes"]["deploymentSpec"]["executors"]


@pytest.fixture(scope="module")
def manifest() -> dict[str, Any]:
    """The committed PipelineVersion, which Argo CD or kubectl bring to a cluster."""
    pipeline, version = yaml.safe_load_all((ROOT / "manifests" / "pipelines" / f"{NAME}.yaml").read_text())
    assert (pipeline["kind"], version["kind"]) == ("Pipeline", "PipelineVersion")
    assert version["spec"]["pipelineName"] == pipeline["metadata"]["name"] == NAME
    assert version["metadata"]["name"] == version_name(NAME)
    return dict(version["spec"])


def tasks_of(spec: dict[str, Any]) -> dict[str, Any]:
    loop = next(part["dag"]["tasks"] for name, part in spec["components"].items() if name.startswith("comp-for-loop"))
    return {**spec["root"]["dag"]["tasks"], **loop}


@pytest.mark.parametrize("step", STEPS)
def test_every_step_has_room_no_root_and_a_writable_tmp(compiled: Any, step: str) -> None:
    spec, platform = compiled
    container = spec["deploymentSpec"]["executors"][f"exec-{step}"]["container"]
    asked = {"resourceCpuRequest", "resourceCpuLimit", "resourceMemoryRequest", "resourceMemoryLimit"}
    assert asked <= set(container["resources"])
    assert container["image"] == IMAGE
    assert platform[f"exec-{step}"]["securityContext"] == {"runAsNonRoot": True}
    assert [mount["mountPath"] for mount in platform[f"exec-{step}"]["emptyDirMounts"]] == ["/tmp"]


@pytest.mark.parametrize("step", STEPS)
def test_nothing_is_installed_when_a_step_runs(compiled: Any, step: str) -> None:
    command = " ".join(compiled[0]["deploymentSpec"]["executors"][f"exec-{step}"]["container"]["command"])
    assert "pip" not in command
    assert "from components.recsys import" in command


def test_only_steps_that_use_the_home_get_the_stores_keys_and_can_do_without(compiled: Any) -> None:
    spec, platform = compiled
    for step in STEPS:
        secrets = platform[f"exec-{step}"].get("secretAsEnv", [])
        uses_home = "home" in spec["components"][f"comp-{step}"]["inputDefinitions"]["parameters"]
        assert [secret["secretName"] for secret in secrets] == [STORE_SECRET] * uses_home, step
        for secret in secrets:
            assert secret["optional"]
            assert [key["envVar"] for key in secret["keyToEnv"]] == list(STORE_KEYS)


def test_no_key_is_written_into_what_is_deployed(manifest: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever the environment holds while it is compiled, and whatever is typed in for a run: keys are references."""
    for name in STORE_KEYS:
        monkeypatch.setenv(name, f"plain-{name}")
    assert b"plain-" not in compile_package(NAME)
    for executor in manifest["pipelineSpec"]["deploymentSpec"]["executors"].values():
        assert not {variable["name"] for variable in executor["container"].get("env", ())} & set(STORE_KEYS)
    parameters = manifest["pipelineSpec"]["root"]["inputDefinitions"]["parameters"]
    assert not [name for name in parameters if any(word in name for word in ("secret", "key", "token", "password"))]


def test_only_steps_that_compute_are_tried_again_and_none_that_moves_the_world_is_cached(compiled: Any) -> None:
    tasks = tasks_of(compiled[0])
    assert {name for name in STEPS if "retryPolicy" in tasks[name]} == {"train", "evaluate"}
    cached = {name for name in STEPS if tasks[name]["cachingOptions"].get("enableCache")}
    assert cached == set(STEPS) - MOVE_THE_WORLD


@pytest.mark.parametrize("step", STEPS)
def test_every_step_shows_what_it_found(compiled: Any, step: str) -> None:
    artifacts = compiled[0]["components"][f"comp-{step}"]["outputDefinitions"]["artifacts"]
    kinds = {name: each["artifactType"]["schemaTitle"].removeprefix("system.") for name, each in artifacts.items()}
    assert {name: kind for name, kind in kinds.items() if kind not in ("Dataset", "Model")} == SHOWN[step]


def test_the_pipeline_is_flat_so_that_the_first_look_tells_the_story(compiled: Any) -> None:
    spec, _ = compiled
    names = {task["taskInfo"]["name"] for task in spec["root"]["dag"]["tasks"].values()}
    assert names == {*STEPS, "train-candidates"} - {"train"}


def test_only_the_home_must_be_typed_in_and_everything_says_what_it_is(manifest: Any) -> None:
    parameters = manifest["pipelineSpec"]["root"]["inputDefinitions"]["parameters"]
    assert [name for name, each in parameters.items() if not each.get("isOptional")] == ["home"]
    for name, each in parameters.items():
        assert len(each["description"]) > 30, name
    assert parameters["sources"]["defaultValue"] == {"events": ["feedback"]}


def test_what_the_ui_offers_are_the_settings_defaults(manifest: Any) -> None:
    """A run with nothing but its home typed in is the run that `everloop run` makes: read back, they are the very settings."""
    parameters = manifest["pipelineSpec"]["root"]["inputDefinitions"]["parameters"]
    offered = {name: each["defaultValue"] for name, each in parameters.items() if name not in ("home", "sources")}
    assert settings_of(offered) == Settings()
    sent = arguments("s3://b/home", {"events": ["feedback"]}, Settings())
    assert json.loads(json.dumps(sent)) == {"home": "s3://b/home", "sources": {"events": ["feedback"]}, **offered}


def test_a_part_of_a_section_will_do() -> None:
    """What somebody types over a default in the UI need not repeat the rest of the section."""
    assert settings_of({"train": {"seed": 7.0}}).train.candidates == Settings().train.candidates
