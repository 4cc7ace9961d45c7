"""Each environment as it would be applied: every object once, in one home, valid, and within the AppProject's limits."""

import re
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import yaml

from components.recsys.settings import Settings, parse
from components.recsys.version import VERSION
from pipelines.gitops import model
from pipelines.gitops.environments import model_path
from pipelines.recurring.declared import load
from serving.kserve.inference_service import inference_service
from tests.gitops.environments import (
    CRDS,
    NAMES,
    OVERLAYS,
    ROOT,
    Json,
    Rendered,
    charted,
    identity,
    kustomized,
    of,
    pods,
)
from tests.helm import restricted
from tests.helm.validity import Validity, crd, told

ARGOCD = ROOT / "manifests" / "argocd"
PIPELINES = ROOT / "manifests" / "pipelines"
WAVE = "argocd.argoproj.io/sync-wave"
HOOK = "argocd.argoproj.io/hook"
A, B = "a" * 64, "b" * 64

each_environment = pytest.mark.parametrize("name", NAMES)


@pytest.fixture(autouse=True)
def tools(tool) -> None:
    for name in ("kubectl", "kubectl132", "helm3", "helm4"):
        tool(name)


@each_environment
def test_nothing_is_there_twice(name: str) -> None:
    counted = Counter(identity(one) for one in Rendered.of(name).objects)
    assert {one: times for one, times in counted.items() if times > 1} == {}


def test_environments_pipelines_and_argo_cds_own_objects_do_not_meet_in_one_cluster() -> None:
    everything = [
        *kustomized(PIPELINES),
        *kustomized(ARGOCD),
        *(one for name in NAMES for one in Rendered.of(name).objects),
    ]
    counted = Counter(identity(one) for one in everything)
    assert {one: times for one, times in counted.items() if times > 1} == {}
    assert len(everything) > 60


@each_environment
def test_each_kind_has_one_home(name: str) -> None:
    """What takes values is the chart's, an environment's place is kustomize's: no part's objects are spread over both."""
    rendered = Rendered.of(name)
    component = "app.kubernetes.io/component"
    spread = {one["metadata"].get("labels", {}).get(component) for one in rendered.overlay} & {
        one["metadata"].get("labels", {}).get(component) for one in rendered.chart
    }
    assert spread <= {None}


@each_environment
def test_everything_lies_in_the_environments_namespace(name: str) -> None:
    rendered = Rendered.of(name)
    (namespace,) = (one for one in rendered.objects if one["kind"] == "Namespace")
    assert namespace["metadata"]["name"] == rendered.environment.namespace
    assert namespace["metadata"]["labels"]["pod-security.kubernetes.io/enforce"] == "restricted"
    elsewhere = {
        identity(one)
        for one in rendered.objects
        if one is not namespace and one["metadata"].get("namespace") != rendered.environment.namespace
    }
    assert elsewhere == set()


@pytest.mark.parametrize("place", [*NAMES, "argocd", "pipelines"])
def test_every_object_is_valid_for_kubernetes_1_32_and_1_37_and_the_crds(place: str, crds: Path) -> None:
    folders = {"argocd": ARGOCD, "pipelines": PIPELINES}
    objects = kustomized(folders[place]) if place in folders else with_releases(place)
    assert [fault for one in objects for fault in faults(one, crds)] == []


def test_root_is_valid_too(crds: Path) -> None:
    assert faults(yaml.safe_load((ARGOCD / "root.yaml").read_text()), crds) == []


def test_an_unknown_field_would_be_found(crds: Path) -> None:
    root = yaml.safe_load((ARGOCD / "root.yaml").read_text())
    root["spec"]["syncPolicy"]["automatd"] = {}
    service = next(one for one in with_releases("staging") if one["kind"] == "InferenceService")
    service["spec"]["predictor"]["replicas"] = 1
    assert faults(root, crds)
    assert faults(service, crds)


def faults(one: Json, crds: Path) -> list[str]:
    if one["kind"] in CRDS:
        return told("its CRD", crd(crds / CRDS[one["kind"]], one["apiVersion"].partition("/")[2]), one)
    return Validity(crds).faults(one)


def with_releases(name: str) -> list[Json]:
    """An environment with a stable and a candidate release."""
    environment = of(name)
    text = model.rendered(model.Model(stable=A, candidate=B, home=environment.home), environment)
    return [*Rendered.of(name).objects, *list(yaml.safe_load_all(text))[1:]]


@each_environment
def test_helm_3_and_the_older_kustomize_render_the_same(name: str) -> None:
    rendered = Rendered.of(name)
    assert charted(name, rendered.environment.namespace, "helm3") == rendered.chart
    assert kustomized(OVERLAYS / name, "kubectl132") == rendered.overlay


@each_environment
def test_an_overlay_states_only_what_differs(name: str) -> None:
    """No value that the chart has by itself, and no patch that changes nothing."""
    own = yaml.safe_load((OVERLAYS / name / "values.yaml").read_text())
    chart = yaml.safe_load((ROOT / "helm" / "everloop" / "values.yaml").read_text())
    defaults = {**chart, "settings": Settings().model_dump(mode="json")}
    assert [path for path, value in leaves(own) if at(defaults, path) == value] == []
    base = {one["kind"]: one for one in kustomized(ROOT / "manifests" / "base")}
    kustomization = yaml.safe_load((OVERLAYS / name / "kustomization.yaml").read_text())
    for patch in kustomization.get("patches", []):
        for operation in yaml.safe_load(patch["patch"]):
            path = operation["path"].strip("/").split("/")
            assert at(base[patch["target"]["kind"]], path) not in (None, operation["value"])


def leaves(value: Any, path: tuple[str, ...] = ()) -> list[tuple[tuple[str, ...], Any]]:
    if not isinstance(value, dict) or not value:
        return [(path, value)]
    return [leaf for key, below in value.items() for leaf in leaves(below, (*path, key))]


def at(value: Any, path: Any) -> Any:
    for key in path:
        value = value.get(key) if isinstance(value, dict) else None
    return value


@each_environment
def test_the_two_places_that_name_the_namespace_agree(name: str) -> None:
    kustomization = yaml.safe_load((OVERLAYS / name / "kustomization.yaml").read_text())
    assert kustomization["namespace"] == of(name).namespace == f"everloop-{name}"


@each_environment
def test_git_makes_predictors_where_and_only_where_the_engine_follows_git(name: str) -> None:
    follows = Rendered.of(name).settings()["rollout"].get("kserve") == "follow"
    assert follows == (OVERLAYS / name / "model.yaml").is_file() == (of(name).promotion != "engine")


@pytest.mark.parametrize("name", [name for name in NAMES if of(name).promotion != "engine"])
def test_the_committed_model_is_what_everloop_would_write(name: str) -> None:
    text = (OVERLAYS / name / "model.yaml").read_text()
    found = model.parsed(text, model_path(name))
    assert found.home == of(name).home
    assert model.rendered(found, of(name)) == text, f"`everloop gitops render --env {name}` writes it anew"


@pytest.mark.parametrize("name", [name for name in NAMES if of(name).promotion != "engine"])
def test_git_asks_for_the_predictor_that_the_engine_expects(name: str) -> None:
    """Rendered from the values here, and from the chart's settings in the cluster: one object."""
    expected = inference_service(A, parse(Settings, Rendered.of(name).settings()), of(name).home)
    (found,) = (
        one
        for one in yaml.safe_load_all(model.rendered(model.Model(stable=A), of(name)))
        if one["kind"] == "InferenceService"
    )
    assert found["metadata"]["annotations"].pop(WAVE) == model.RELEASES_WAVE
    assert found == expected


@each_environment
def test_predictors_come_last_and_the_namespace_first(name: str) -> None:
    waves: dict[str, set[int]] = {}
    for one in with_releases(name):
        annotations = one["metadata"].get("annotations") or {}
        if HOOK not in annotations:
            waves.setdefault(one["kind"], set()).add(int(annotations.get(WAVE, 0)))
    releases = waves.pop("InferenceService")
    assert min(releases) > max(wave for kind, found in waves.items() for wave in found if kind != "PodDisruptionBudget")
    namespace = waves.pop("Namespace")
    assert max(namespace) < min(wave for found in waves.values() for wave in found)


@each_environment
def test_every_kind_is_one_that_the_project_allows(name: str) -> None:
    (project,) = (one for one in kustomized(ARGOCD) if one["kind"] == "AppProject")
    allowed = {(one["group"], one["kind"]) for one in project["spec"]["namespaceResourceWhitelist"]}
    wide = {(one["group"], one["kind"]) for one in project["spec"]["clusterResourceWhitelist"]}
    found = {identity(one)[:2] for one in [*with_releases(name), *kustomized(PIPELINES)]}
    assert found <= allowed | wide
    assert found & wide == wide == {("", "Namespace")}


def test_the_project_allows_nothing_that_the_chart_and_the_manifests_never_make() -> None:
    (project,) = (one for one in kustomized(ARGOCD) if one["kind"] == "AppProject")
    folders = (ROOT / "helm" / "everloop" / "templates", ROOT / "manifests" / "base", ROOT / "manifests" / "components")
    text = "".join(file.read_text() for folder in folders for file in folder.rglob("*.*"))
    made = set(re.findall(r"^\s*kind: \"?(\w+)", text, re.MULTILINE)) | {
        "InferenceService",
        "Pipeline",
        "PipelineVersion",
    }
    allowed = {one["kind"] for one in project["spec"]["namespaceResourceWhitelist"]}
    assert allowed - made == set()
    assert allowed & {"Secret", "ClusterRole", "Pod", "*"} == set()


@each_environment
def test_pods_are_restricted_have_their_own_account_and_no_token(name: str) -> None:
    found = pods(Rendered.of(name).overlay)
    assert found
    for pod, template in found:
        assert restricted.faults(template) == [], pod
        spec = template["spec"]
        assert (spec["serviceAccountName"], spec["automountServiceAccountToken"]) == (pod, False)
        assert all(one["securityContext"]["readOnlyRootFilesystem"] for one in spec["containers"])
        assert all({"cpu", "memory"} <= one["resources"]["requests"].keys() for one in spec["containers"])
        policies = [one for one in Rendered.of(name).overlay if one["kind"] == "NetworkPolicy"]
        labels = template["metadata"]["labels"].items()
        assert any(one["spec"]["podSelector"]["matchLabels"].items() <= labels for one in policies), pod


@each_environment
def test_images_are_of_this_version(name: str) -> None:
    images = {one["image"] for _, pod in pods(Rendered.of(name).objects) for one in pod["spec"]["containers"]}
    assert {image.rpartition(":")[2] for image in images} == {VERSION}


@pytest.mark.parametrize("file", sorted(OVERLAYS.glob("*/recurring-runs.yaml")), ids=lambda file: file.parent.name)
def test_recurring_runs_are_readable_and_each_environment_has_its_own_set(file: Path) -> None:
    declared = load(file)
    assert declared.set == of(file.parent.name).namespace
    assert declared.recurring
    mounted = Rendered.of(file.parent.name)
    (config_map,) = (
        one for one in mounted.overlay if one["kind"] == "ConfigMap" and "recurring-runs.yaml" in one.get("data", {})
    )
    assert config_map["data"]["recurring-runs.yaml"] == file.read_text()
    volumes = dict(pods(mounted.overlay))["everloop-recurring-runs"]["spec"]["volumes"]
    assert {"name": "declared", "configMap": {"name": config_map["metadata"]["name"]}} in volumes
