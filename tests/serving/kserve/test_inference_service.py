"""The InferenceService of a release is one that KServe takes in each mode, stores as it is, and runs restricted."""

import json
from typing import Any

import kubernetes_validate
import pytest
from typer.testing import CliRunner

from components.recsys.errors import InputError
from components.recsys.settings import Settings, load_settings
from components.recsys.version import VERSION
from serving.app import App
from serving.kserve.inference_service import BY_ENGINE, disruption_budget, image_of, inference_service, name_of
from serving.kserve.quantities import canonical
from serving.measures import Measures
from serving.service import Service

HOME = "s3://everloop/home"
MODES = ("standard", "knative", "auto")
# spec.predictor is a pod's spec and these: https://kserve.github.io/website/docs/reference/crd-api
OF_KSERVE = {
    "minReplicas",
    "maxReplicas",
    "containerConcurrency",
    "timeout",
    "scaleMetric",
    "scaleTarget",
    "deploymentStrategy",
}


def made(digest: str, *overrides: str) -> Any:
    return inference_service(digest, load_settings(None, overrides), HOME)


def container_of(service: Any) -> Any:
    [container] = service["spec"]["predictor"]["containers"]
    return container


@pytest.mark.parametrize("storage", ["direct", "initializer"])
@pytest.mark.parametrize("replicas", [1, 3])
@pytest.mark.parametrize("mode", MODES)
def test_every_field_is_one_that_kserve_and_kubernetes_know(
    mode: str, replicas: int, storage: str, digest: str, inference_services: Any
) -> None:
    overrides = [f"kserve.mode={mode}", f"kserve.min_replicas={replicas}", f"kserve.storage={storage}"]
    overrides += ["kserve.pod={nodeSelector: {disk: ssd}}", "kserve.image_pull_secrets=[registry]"]
    service = made(digest, *overrides)
    assert [error.message for error in inference_services.iter_errors(service)] == []
    pod = {key: value for key, value in service["spec"]["predictor"].items() if key not in OF_KSERVE}
    meta = {"name": service["metadata"]["name"], "labels": service["metadata"]["labels"]}
    for version in ("1.32", "1.37") if (mode, replicas) == ("standard", 3) else ("1.37",):
        kubernetes_validate.validate(
            {"apiVersion": "v1", "kind": "Pod", "metadata": meta, "spec": pod}, version, strict=True
        )


def test_knative_gets_no_field_that_its_webhook_refuses(digest: str, knative_services: Any) -> None:
    """Knative's own schema knows no grace period, and pod-wide security contexts only behind a switch that is off."""
    predictor = made(digest, "kserve.mode=knative")["spec"]["predictor"]
    template = {key: value for key, value in predictor.items() if key not in OF_KSERVE - {"containerConcurrency"}}
    service = {
        "apiVersion": "serving.knative.dev/v1",
        "kind": "Service",
        "metadata": {"name": "x"},
        "spec": {"template": {"spec": {**template, "timeoutSeconds": predictor["timeout"]}}},
    }
    assert [error.message for error in knative_services.iter_errors(service)] == []
    behind_switches = {"securityContext", "initContainers", "topologySpreadConstraints", "nodeSelector", "affinity"}
    assert not behind_switches & set(predictor)
    assert "startupProbe" not in container_of(made(digest, "kserve.mode=knative"))
    assert made(digest, "kserve.mode=auto")["spec"]["predictor"].keys() <= predictor.keys()


@pytest.mark.parametrize("mode", MODES)
def test_its_pod_passes_the_restricted_level(mode: str, digest: str) -> None:
    """https://kubernetes.io/docs/concepts/security/pod-security-standards: each container says it, whoever adds others."""
    predictor = made(digest, f"kserve.mode={mode}")["spec"]["predictor"]
    context = container_of(made(digest, f"kserve.mode={mode}"))["securityContext"]
    assert context["allowPrivilegeEscalation"] is False
    assert context["capabilities"] == {"drop": ["ALL"]}
    assert context["runAsNonRoot"] is True
    assert context["seccompProfile"] == {"type": "RuntimeDefault"}
    assert context["readOnlyRootFilesystem"] is True
    assert all(set(volume) - {"name"} <= {"emptyDir"} for volume in predictor["volumes"])
    assert predictor["automountServiceAccountToken"] is False


def test_kserve_stores_it_as_it_is(digest: str) -> None:
    """What the webhooks of 0.16 to 0.21 would add or rewrite is there already, so that git sees no difference."""
    service = made(digest, "kserve.cpu_limit=1.5", "kserve.memory_limit=2048Mi")
    resources = container_of(service)["resources"]
    assert resources["limits"] == {"cpu": "1500m", "memory": "2Gi"}
    for kind in ("requests", "limits"):
        assert set(resources[kind]) == {"cpu", "memory"}
        assert all(canonical(value) == value for value in resources[kind].values())
    assert container_of(service)["name"] == "kserve-container"
    assert service["metadata"]["annotations"]["serving.kserve.io/deploymentMode"] == "Standard"
    assert "status" not in service
    assert "serving.kserve.io/deploymentMode" not in made(digest, "kserve.mode=auto")["metadata"]["annotations"]


def test_the_same_release_gives_the_same_object_and_another_no_shared_name(digest: str, other: str) -> None:
    assert json.dumps(made(digest)) == json.dumps(made(digest))
    assert name_of(digest) == "everloop-9f2c4ab0d1e2" == made(digest)["metadata"]["name"]
    assert name_of(other) != name_of(digest)
    assert made(digest)["metadata"]["annotations"]["everloop.dev/digest"] == digest
    assert made(digest)["metadata"]["labels"]["everloop.dev/release"] == digest[:12]


def test_who_made_it_is_a_label(digest: str) -> None:
    label = "app.kubernetes.io/managed-by"
    assert made(digest)["metadata"]["labels"][label] == "everloop-gitops"
    engine = inference_service(digest, Settings(), HOME, BY_ENGINE)
    assert engine["metadata"]["labels"][label] == "everloop-rollout"


def test_people_can_add_labels_but_not_take_ours(digest: str) -> None:
    service = made(digest, "kserve.labels={team: travel, everloop.dev/release: x}", "kserve.annotations={a: b}")
    assert service["metadata"]["labels"]["team"] == "travel"
    assert service["metadata"]["labels"]["everloop.dev/release"] == digest[:12]
    assert service["metadata"]["annotations"]["a"] == "b"


def test_a_fixed_number_of_pods_needs_no_autoscaler(digest: str) -> None:
    service = made(digest, "kserve.min_replicas=2", "kserve.max_replicas=2")
    assert service["metadata"]["annotations"]["serving.kserve.io/autoscalerClass"] == "none"
    assert "scaleMetric" not in service["spec"]["predictor"]


def test_each_mode_scales_by_what_it_has(digest: str) -> None:
    assert made(digest)["spec"]["predictor"]["scaleMetric"] == "cpu"
    assert made(digest, "kserve.mode=knative")["spec"]["predictor"]["scaleMetric"] == "concurrency"
    assert "scaleMetric" not in made(digest, "kserve.mode=auto")["spec"]["predictor"]


@pytest.mark.parametrize(
    ("override", "sentence"),
    [
        ("kserve.scale_metric=rps", "need kserve.mode knative"),
        ("kserve.scale_target=101", "percentage"),
        ("kserve.min_replicas=4", "at least min_replicas"),
        ("kserve.cpu_request=3", "above its limit"),
        ("kserve.memory_limit=1 GB", "kserve.memory_limit"),
        ("kserve.mode=RawDeployment", "kserve.mode"),
    ],
)
def test_what_kserve_would_drop_or_refuse_is_refused_here(override: str, sentence: str, digest: str) -> None:
    with pytest.raises(InputError, match=sentence):
        made(digest, override)


@pytest.mark.parametrize("bad", ["", "9f2c", "g" * 64, "9F2C4AB0D1E2" + "0" * 52, "../" + "0" * 61])
def test_a_part_of_a_digest_is_refused(bad: str) -> None:
    with pytest.raises(InputError, match="no digest"):
        made(bad)


@pytest.mark.parametrize("home", ["/data/home", "file:///data/home", ".everloop"])
def test_a_home_that_pods_cannot_reach_is_refused(home: str, digest: str) -> None:
    with pytest.raises(InputError, match="object storage"):
        inference_service(digest, Settings(), home)


def test_its_arguments_are_options_and_settings_that_exist(digest: str) -> None:
    from pipelines.cli import app

    known = CliRunner().invoke(app, ["serve", "--help"], env={"COLUMNS": "200", "NO_COLOR": "1"}).stdout
    container = container_of(made(digest))
    assert container["command"] == ["everloop"]
    assert container["args"][0] == "serve"
    overrides = []
    for argument in container["args"]:
        option, _, value = argument.partition("=")
        assert not option.startswith("--") or option in known
        if option == "--set":
            overrides.append(value)
    settings = load_settings(None, overrides).serving
    assert (settings.host, settings.port, settings.drain_seconds) == ("0.0.0.0", 8080, 5)
    assert container["args"][container["args"].index("--expect") + 1] == digest


def test_where_the_release_comes_from(digest: str) -> None:
    direct, copied = container_of(made(digest)), container_of(made(digest, "kserve.storage=initializer"))
    assert f"{HOME}/releases/{digest}" in direct["args"]
    assert {"AWS_ENDPOINT_URL", "AWS_ACCESS_KEY_ID"} <= {one["name"] for one in direct["env"]}
    assert all(one["valueFrom"]["secretKeyRef"]["optional"] for one in direct["env"])
    assert "/mnt/models" in copied["args"]
    assert copied["env"] == [{"name": "STORAGE_URI", "value": f"{HOME}/releases/{digest}"}]
    annotations = made(digest, "kserve.storage=initializer")["metadata"]["annotations"]
    assert annotations["serving.kserve.io/storageSecretName"] == "everloop-store"
    assert container_of(made(digest, "kserve.storage_secret=''"))["env"] == []


def test_its_probes_ask_where_the_server_answers(digest: str) -> None:
    app = App(Service(Settings().serving, None, Measures()))  # type: ignore[arg-type] - no history is asked for
    container = container_of(made(digest))
    for probe in ("readinessProbe", "livenessProbe", "startupProbe"):
        assert container[probe]["httpGet"]["path"] in app.routes
        assert container[probe]["httpGet"]["port"] == container["ports"][0]["containerPort"]


def test_the_grace_period_covers_the_drain_and_what_is_under_way(digest: str) -> None:
    for drain, grace in ((5, 10), (20, 0), (0, 30)):
        service = made(digest, f"kserve.drain_seconds={drain}", f"serving.grace_seconds={grace}")
        assert service["spec"]["predictor"]["terminationGracePeriodSeconds"] > drain + grace
        assert f"--set=serving.drain_seconds={drain}" in container_of(service)["args"]


def test_the_image_is_of_this_version_and_from_the_registry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("EVERLOOP_REGISTRY", raising=False)
    assert image_of(Settings().kserve) == f"everloop/serving:{VERSION}"
    monkeypatch.setenv("EVERLOOP_REGISTRY", "registry.example/ml/")
    assert image_of(Settings().kserve) == f"registry.example/ml/everloop/serving:{VERSION}"
    given = load_settings(None, ["kserve.image=other/serving@sha256:abc"]).kserve
    assert image_of(given) == "other/serving@sha256:abc"


def test_several_pods_get_a_budget_and_one_may_be_moved(digest: str) -> None:
    assert disruption_budget(digest, Settings()) is None
    settings = load_settings(None, ["kserve.min_replicas=2"])
    budget = disruption_budget(digest, settings)
    assert budget is not None
    kubernetes_validate.validate(budget, "1.37", strict=True)
    assert budget["spec"]["selector"]["matchLabels"].items() <= made(digest)["metadata"]["labels"].items()
