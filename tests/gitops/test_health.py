"""The InferenceService health check on its table of cases, run by a real Lua 5.1 with no more library than Argo CD gives."""

import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from lupa.lua51 import LuaRuntime

HEALTH = Path(__file__).parents[2] / "manifests" / "argocd" / "health"
SCRIPT = (HEALTH / "inferenceservice.lua").read_text()
CASES = yaml.safe_load((HEALTH / "health_test.yaml").read_text())["tests"]
STATES = {"Healthy", "Progressing", "Degraded", "Suspended"}


def health(resource: dict[str, Any]) -> tuple[str, str]:
    lua = LuaRuntime(register_eval=False, register_builtins=False, unpack_returned_tuples=True)
    names = lua.globals()
    # What Argo CD gives: no string and no math, and of os the clock alone, which only `require` finds.
    lua.execute("local given = {time = os.time, date = os.date}; package.loaded.os = given")
    for library in ("string", "math", "io", "debug", "coroutine", "os"):
        names[library] = None
    names.obj = as_lua(lua, resource)
    found = lua.execute(SCRIPT)
    return str(found["status"]), str(found["message"])


def as_lua(lua: LuaRuntime, value: Any) -> Any:
    """Lists from 1, as Argo CD hands them over; null is absent."""
    if isinstance(value, dict):
        return lua.table_from({key: as_lua(lua, one) for key, one in value.items() if one is not None})
    if isinstance(value, list):
        return lua.table_from([as_lua(lua, one) for one in value])
    return value


@pytest.mark.parametrize("case", CASES, ids=lambda case: Path(case["inputPath"]).stem)
def test_each_case_of_the_table(case: dict[str, Any]) -> None:
    resource = yaml.safe_load((HEALTH / case["inputPath"]).read_text())
    assert health(resource) == (case["healthStatus"]["status"], case["healthStatus"]["message"])


def test_the_table_has_every_state_and_every_file() -> None:
    assert {case["healthStatus"]["status"] for case in CASES} == STATES
    files = {path.relative_to(HEALTH).as_posix() for path in (HEALTH / "testdata").glob("*")}
    assert {case["inputPath"] for case in CASES} == files


@pytest.mark.parametrize("case", CASES, ids=lambda case: Path(case["inputPath"]).stem)
def test_whatever_is_missing_from_a_status_it_says_one_of_the_states(case: dict[str, Any]) -> None:
    """A script that fails would be shown as an error on every release."""
    resource = yaml.safe_load((HEALTH / case["inputPath"]).read_text())
    for cut in cuts(resource):
        status, message = health(cut)
        assert status in STATES
        assert message


def cuts(value: dict[str, Any], keep: tuple[str, ...] = ("metadata", "type", "status")) -> list[dict[str, Any]]:
    """Copies that each lack one key somewhere, but for those that every condition has."""
    found = []
    for key, below in value.items():
        if key not in keep or (key == "status" and isinstance(below, dict)):
            found.append({name: one for name, one in value.items() if name != key})
        if isinstance(below, dict):
            found += [{**value, key: one} for one in cuts(below, keep)]
        elif isinstance(below, list):
            for at, each in enumerate(below):
                if isinstance(each, dict):
                    found += [{**value, key: [*below[:at], one, *below[at + 1 :]]} for one in cuts(each, keep)]
    return found


def test_argo_cds_own_config_map_gets_the_script_as_it_is(tool) -> None:
    made = subprocess.run([tool("kubectl"), "kustomize", str(HEALTH)], capture_output=True, text=True, check=True)
    (config_map,) = yaml.safe_load_all(made.stdout)
    assert (config_map["metadata"]["name"], config_map["metadata"]["namespace"]) == ("argocd-cm", "argocd")
    assert config_map["data"] == {"resource.customizations.health.serving.kserve.io_InferenceService": SCRIPT}
    options = config_map["metadata"]["annotations"]["argocd.argoproj.io/sync-options"].split(",")
    assert {"Prune=false", "Delete=false", "ServerSideApply=true"} <= set(options)
