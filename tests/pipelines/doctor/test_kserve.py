"""KServe 0.16 to 0.21, in Standard mode, with Knative, with both, with and without Gateway API: what would be ignored."""

import os
from itertools import product
from pathlib import Path

import pytest
import yaml

from pipelines.doctor.checks.kserve import _by_shape
from pipelines.doctor.findings import NO, OK, UNKNOWN, WARNING, exit_code
from pipelines.doctor.wants import Wants

VERSIONS = ("0.16.0", "0.17.1", "0.18.1", "0.19.0", "0.20.0", "0.21.0")
CANARY = [{"predictor": {"name": "next", "model": {}}, "trafficPercent": 5}]
CASES = list(product(VERSIONS, ("Standard", "Knative"), (False, True), (False, True)))


@pytest.mark.parametrize(("version", "default", "knative", "gateway_api"), CASES)
def test_each_split_is_refused_exactly_where_it_would_be_ignored(
    version, default, knative, gateway_api, installed, diagnose, service, one
) -> None:
    installed(version, default, knative, gateway_api)
    percent, canary = service(canaryTrafficPercent=5), service("Standard", canary=CANARY)
    findings = diagnose(Wants("team-a", objects=(percent, canary)))
    assert one(findings, "KServe", "version").found == version
    by_percent = one(findings, "KServe", "InferenceService m: canaryTrafficPercent")
    by_canary = one(findings, "KServe", "InferenceService m: spec.canary")
    assert by_percent.verdict == (OK if default == "Knative" else NO)
    assert by_canary.verdict == (OK if version == "0.21.0" and gateway_api else NO)
    assert exit_code(findings) == 1 or (by_percent.verdict, by_canary.verdict) == (OK, OK)


@pytest.mark.parametrize("knative", [False, True])
@pytest.mark.parametrize("default", ["Standard", "Knative"])
def test_modes_are_told_and_one_that_lacks_its_platform_is_warned_of(
    default, knative, installed, diagnose, one
) -> None:
    installed("0.16.0", default, knative)
    findings = diagnose()
    assert one(findings, "KServe", "modes").found == ("Standard and Knative" if knative else "Standard")
    told = one(findings, "KServe", "default mode")
    assert told.verdict == (WARNING if default == "Knative" and not knative else OK)
    assert exit_code(findings) == 0


@pytest.mark.parametrize(
    ("definition", "says"),
    [("0.19.0", "drops spec.canary"), ("0.20.0", "")],
)
def test_a_field_that_the_definition_lacks_is_named(definition, says, installed, diagnose, service) -> None:
    installed(definition)
    findings = diagnose(Wants("team-a", objects=(service("Standard", canary=CANARY),)))
    dropped = [each.found for each in findings if each.area == "manifests" and each.verdict == NO]
    assert dropped == ([f"this cluster's definition {says}"] if says else [])


def test_a_new_controller_over_old_definitions_is_seen_and_its_new_field_refused(
    installed, diagnose, service, one
) -> None:
    installed("0.21.0", gateway_api=True, definition="0.19.0")
    findings = diagnose(Wants("team-a", objects=(service("Standard", canary=CANARY),)))
    assert one(findings, "KServe", "definition").verdict == WARNING
    refused = one(findings, "KServe", "InferenceService m: spec.canary")
    assert (refused.verdict, "drops the field" in refused.found) == (NO, True)


def test_spec_canary_needs_its_mode_spelled_out(installed, diagnose, service, one) -> None:
    installed("0.21.0", gateway_api=True)
    for mode in ("", "RawDeployment", "Knative"):
        findings = diagnose(Wants("team-a", objects=(service(mode, canary=CANARY),)))
        refused = one(findings, "KServe", "InferenceService m: spec.canary")
        assert (refused.verdict, "spelled out" in refused.found) == (NO, True)


def test_an_annotation_goes_before_the_default_and_old_names_of_modes_count(installed, diagnose, service, one) -> None:
    installed("0.18.1", "RawDeployment", knative=True)
    findings = diagnose(Wants("team-a", objects=(service("Serverless", canaryTrafficPercent=10),)))
    assert one(findings, "KServe", "default mode").found == "Standard"
    assert one(findings, "KServe", "InferenceService m: canaryTrafficPercent").verdict == OK


def test_knative_mode_without_knative_is_refused(installed, diagnose, service) -> None:
    installed("0.20.0")
    findings = diagnose(Wants("team-a", objects=(service("Knative", canaryTrafficPercent=10),)))
    assert [
        each.looked_at for each in findings if "Knative Serving is not installed" in each.found and each.refused
    ] == ["InferenceService m"]


@pytest.mark.parametrize(
    ("image", "found"),
    [
        ("registry.local:5000/kserve/kserve-controller:v0.17.1@sha256:00", "0.17.1"),
        ("kserve/kserve-controller@sha256:00", "0.17.0"),  # then the ConfigMap's images tell
        ("kserve/kserve-controller:latest", "0.17.0"),
        ("kserve/kserve-controller:v0.18.0-rc1", "0.18.0"),
    ],
)
def test_the_version_comes_from_the_image_and_then_from_the_configured_images(
    image, found, installed, diagnose, one
) -> None:
    installed("0.17.0", image=image)
    assert one(diagnose(), "KServe", "version").found == found


def test_without_the_controller_in_sight_the_definition_says_what_is_certain(
    api, installed, diagnose, service, one
) -> None:
    installed("0.19.0")
    del api.paths["/api/v1/namespaces/kserve/configmaps/inferenceservice-config"]
    for path in [path for path in api.paths if path.endswith("deployments")]:
        del api.paths[path]
    findings = diagnose(Wants("team-a", objects=(service("Standard", canary=CANARY),)))
    version = one(findings, "KServe", "version")
    assert (version.verdict, "at least 0.17" in version.found) == (UNKNOWN, True)
    assert one(findings, "KServe", "InferenceService m: spec.canary").verdict == NO


def test_a_version_too_old_a_dead_controller_and_none_at_all(api, installed, diagnose, one) -> None:
    wants = Wants("team-a")
    asked = Wants(
        "team-a",
        settings=wants.settings.model_copy(
            update={"rollout": wants.settings.rollout.model_copy(update={"predictors": "kserve"})}
        ),
    )
    none = one(diagnose(asked), "KServe", "InferenceService")
    assert (none.verdict, none.refused) == (NO, True)
    assert not one(diagnose(wants), "KServe", "InferenceService").refused
    installed("0.15.2")
    assert one(diagnose(asked), "KServe", "version").refused
    for path in ("/apis/apps/v1/namespaces/kserve/deployments", "/apis/apps/v1/deployments"):
        api.paths[path]["items"][0]["status"] = {}
    assert "no ready pod" in one(diagnose(asked), "KServe", "controller").found


def test_gateway_api_that_kserve_is_told_to_use_and_that_is_not_there(api, installed, diagnose, one) -> None:
    installed("0.21.0", gateway_api=True)
    del api.paths["/apis/gateway.networking.k8s.io/v1"]
    assert "does not start" in one(diagnose(), "KServe", "ingress").found


def test_the_real_definition_of_0_20_is_known_by_its_shape() -> None:
    folder = Path(os.environ.get("EVERLOOP_CRDS") or Path(__file__).parents[4] / "shared/crds")
    file = folder / "kserve/serving.kserve.io_inferenceservices.yaml"
    if not file.exists():
        pytest.skip(f"{folder} holds no definitions of KServe: set EVERLOOP_CRDS")
    definition = yaml.load(file.read_text(), yaml.CSafeLoader)
    version = _by_shape(definition["spec"]["versions"][0]["schema"]["openAPIV3Schema"])
    assert str(version) == "0.20.0"
    assert _by_shape({"properties": {"spec": {"x-kubernetes-preserve-unknown-fields": True}}}) is None
