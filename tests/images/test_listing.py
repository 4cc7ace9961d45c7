"""images.txt names what real helm and kustomize render, and one registry holds all of it."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from components.recsys.errors import InputError
from components.recsys.version import VERSION
from pipelines.images import rendering
from pipelines.images.listing import HEAD
from pipelines.images.manifests import images_in, outside, parsed

ROOT = Path(__file__).parents[2]
REGISTRY = "registry.example:5000/ml"
SHELLS = ("pip install", "pip3 install", "ensurepip", "apt-get", "apk add", "curl ", "wget ", "npm ", "conda ")


@pytest.fixture(scope="module")
def objects(tool: Callable[[str], str]) -> list[Any]:
    for program in ("helm4", "kubectl"):
        tool(program)
    return rendering.rendered()


def test_the_list_is_what_is_rendered(objects: list[Any]) -> None:
    assert (ROOT / "images.txt").read_text() == HEAD + "".join(f"{image}\n" for image in images_in(objects))


def test_every_image_is_ours_and_of_this_version(objects: list[Any]) -> None:
    assert images_in(objects) == [f"everloop/{role}:{VERSION}" for role in ("gitops", "monitoring", "serving", "steps")]


def test_all_kinds_that_can_name_an_image_were_rendered(objects: list[Any]) -> None:
    kinds = {each["kind"] for each in objects}
    assert kinds >= {
        "Deployment",
        "Pod",
        "InferenceService",
        "PipelineVersion",
        "Ingress",
        "HTTPRoute",
        "ServiceMonitor",
    }


def test_with_a_registry_nothing_comes_from_elsewhere(objects: list[Any]) -> None:
    found = images_in(rendering.rendered(REGISTRY))
    assert outside(found, REGISTRY) == []
    assert found == [f"{REGISTRY}/{image}" for image in images_in(objects)]


def test_a_registry_in_an_overlay_reaches_its_inference_services(tool: Callable[[str], str], tmp_path: Path) -> None:
    tool("kubectl")
    (tmp_path / "model.yaml").write_text(rendering.predictor())
    (tmp_path / "kustomization.yaml").write_text("resources: [model.yaml]\n")
    (service,) = parsed(rendering.kustomized(tmp_path, REGISTRY), "model")
    assert images_in([service]) == [f"{REGISTRY}/everloop/serving:{VERSION}"]


def test_no_container_installs_or_fetches_a_program(objects: list[Any]) -> None:
    """Also not in the commands that kfp compiled: the pods of a closed network need no way out."""
    seen = 0
    for words in commands(objects):
        seen += 1
        assert not [shell for shell in SHELLS if shell in words], words
    assert seen >= 12  # seven steps and more, four parts, a predictor: the walk has not gone blind


def commands(value: Any) -> list[str]:
    """The command and arguments of everything that names an image."""
    if isinstance(value, list):
        return [words for each in value for words in commands(each)]
    if not isinstance(value, dict):
        return []
    own = [" ".join(map(str, [*value.get("command", []), *value.get("args", [])]))] if is_container(value) else []
    return own + [words for each in value.values() for words in commands(each)]


def is_container(value: dict[str, Any]) -> bool:
    return isinstance(value.get("image"), str) and ("command" in value or "args" in value)


def test_a_missing_program_is_told_with_the_command_that_brings_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EVERLOOP_CACHE", str(tmp_path))
    with pytest.raises(InputError, match=r"helm4 is missing.*make tools"):
        rendering.chart()


def test_chart_pipelines_and_package_have_one_version() -> None:
    chart = yaml.safe_load((ROOT / "helm" / "everloop" / "Chart.yaml").read_text())
    assert (str(chart["version"]), str(chart["appVersion"])) == (VERSION, VERSION)
    versions = [
        each["metadata"]["name"]
        for path in (ROOT / "manifests" / "pipelines").glob("*.yaml")
        for each in yaml.safe_load_all(path.read_text())
        if each["kind"] == "PipelineVersion"
    ]
    assert versions
    assert all(name.endswith("-" + VERSION.replace(".", "-")) for name in versions)
