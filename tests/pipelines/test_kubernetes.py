"""What the compiled pipeline asks of a cluster, step by step."""

from typing import Any

import pytest
import yaml

from pipelines.compile import compile_package
from pipelines.kubernetes import STORE_KEYS, STORE_SECRET
from pipelines.local import STEPS
from pipelines.training import NAME


@pytest.fixture(scope="module")
def compiled() -> tuple[dict[str, Any], dict[str, Any]]:
    spec, platform = yaml.safe_load_all(compile_package(NAME))
    return spec, platform["platforms"]["kubernetes"]["deploymentSpec"]["executors"]


@pytest.mark.parametrize("step", STEPS)
def test_every_step_has_room_no_root_and_a_writable_tmp(compiled: Any, step: str) -> None:
    spec, platform = compiled
    resources = spec["deploymentSpec"]["executors"][f"exec-{step}"]["container"]["resources"]
    assert {"resourceCpuRequest", "resourceCpuLimit", "resourceMemoryRequest", "resourceMemoryLimit"} <= set(resources)
    assert platform[f"exec-{step}"]["securityContext"] == {"runAsNonRoot": True}
    assert [mount["mountPath"] for mount in platform[f"exec-{step}"]["emptyDirMounts"]] == ["/tmp"]


def test_only_steps_that_use_the_home_get_the_stores_keys_and_can_do_without(compiled: Any) -> None:
    spec, platform = compiled
    for step in STEPS:
        secrets = platform[f"exec-{step}"].get("secretAsEnv", [])
        uses_home = "home" in spec["components"][f"comp-{step}"]["inputDefinitions"]["parameters"]
        assert [secret["secretName"] for secret in secrets] == [STORE_SECRET] * uses_home, step
        for secret in secrets:
            assert secret["optional"]
            assert [key["envVar"] for key in secret["keyToEnv"]] == list(STORE_KEYS)


def test_only_steps_that_compute_are_tried_again_or_cached(compiled: Any) -> None:
    spec, _ = compiled
    loop = next(part["dag"]["tasks"] for name, part in spec["components"].items() if name.startswith("comp-for-loop"))
    tasks = {**spec["root"]["dag"]["tasks"], **loop}
    assert {name for name in STEPS if "retryPolicy" in tasks[name]} == {"train", "evaluate"}
    assert {name for name in STEPS if tasks[name]["cachingOptions"].get("enableCache")} == {
        "validate",
        "prepare",
        "train",
        "evaluate",
    }


def test_the_pipeline_is_flat_so_that_the_first_look_tells_the_story(compiled: Any) -> None:
    spec, _ = compiled
    names = {task["taskInfo"]["name"] for task in spec["root"]["dag"]["tasks"].values()}
    assert names == {*STEPS, "train-candidates"} - {"train"}
