"""What the doctor says of this cluster is what kubectl says of it, and its verdicts are what the API server does.

A namespace is made and removed again; nothing else is stored: pods and InferenceServices are dry runs.
"""

import json
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

ENFORCE = "pod-security.kubernetes.io/enforce"
DIGEST = "0" * 64
STANDARD = {"serving.kserve.io/deploymentMode": "Standard"}
# A kind by which each neighbour is known to kubectl.
KINDS = {
    "Prometheus operator": "servicemonitors.monitoring.coreos.com",
    "KEDA": "scaledobjects.keda.sh",
    "Argo CD": "applications.argoproj.io",
    "Knative": "services.serving.knative.dev",
    "Gateway API": "httproutes.gateway.networking.k8s.io",
    "KServe": "inferenceservices.serving.kserve.io",
}


@pytest.fixture(scope="module")
def namespace(cluster: Any) -> Iterator[str]:
    """A namespace of the level "restricted", for as long as these tests run."""
    name = f"everloop-doctor-{uuid.uuid4().hex[:8]}"
    made = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": {ENFORCE: "restricted"}}}
    done = cluster.kubectl("create", "-f", "-", stdin=json.dumps(made))
    if done.returncode:
        pytest.skip(f"no namespace can be made here: {done.stderr.strip()}")
    yield name
    cluster.kubectl("delete", "namespace", name, "--wait=false")


@pytest.fixture(scope="module")
def ask(everloop: Callable[..., Any], namespace: str) -> Callable[..., tuple[int, list[dict[str, Any]]]]:
    def asked(*arguments: str) -> tuple[int, list[dict[str, Any]]]:
        answer = everloop("doctor", "--namespace", namespace, *arguments, "--json")
        assert answer.code in (0, 1), answer.err
        return answer.code, answer.json["findings"]

    return asked


@pytest.fixture(scope="module")
def findings(ask: Callable[..., Any]) -> list[dict[str, Any]]:
    """All that it says with releases on KServe."""
    return list(ask("--set", "rollout.predictors=kserve")[1])


def one(findings: list[dict[str, Any]], area: str, looked_at: str) -> dict[str, Any]:
    named = [each for each in findings if each["area"] == area and each["looked_at"].startswith(looked_at)]
    assert len(named) == 1, [(each["area"], each["looked_at"]) for each in findings]
    return named[0]


def told(cluster: Any, *arguments: str) -> Any:
    done = cluster.kubectl(*arguments, "-o", "json")
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_the_clusters_version_is_kubectls(cluster: Any, findings: list[dict[str, Any]]) -> None:
    version = (
        told(cluster, "version")["serverVersion"]["gitVersion"].removeprefix("v").partition("-")[0].partition("+")[0]
    )
    assert version in one(findings, "Kubernetes", "version")["found"]


@pytest.mark.parametrize("area", list(KINDS))
def test_a_neighbour_is_there_exactly_where_kubectl_knows_its_kind(
    area: str, cluster: Any, findings: list[dict[str, Any]]
) -> None:
    group = KINDS[area].partition(".")[2]
    listed = cluster.kubectl("api-resources", f"--api-group={group}", "-o", "name").stdout.split()
    absent = any(each["area"] == area and "not installed" in each["found"] for each in findings)
    assert (KINDS[area] in listed) is not absent


def test_kserves_version_and_mode_are_those_of_its_controller(cluster: Any, findings: list[dict[str, Any]]) -> None:
    found = told(cluster, "get", "deployments", "-A")["items"]
    controllers = [each for each in found if each["metadata"]["name"] == "kserve-controller-manager"]
    if not controllers:
        pytest.skip("no kserve-controller-manager on this cluster: KServe was not compared")
    image = controllers[0]["spec"]["template"]["spec"]["containers"][0]["image"]
    said = one(findings, "KServe", "version")
    assert said["verdict"] == "unknown" or said["found"].split(",")[0] in image
    where = controllers[0]["metadata"]["namespace"]
    config = told(cluster, "-n", where, "get", "configmap", "inferenceservice-config")["data"]
    names = {"RawDeployment": "Standard", "Serverless": "Knative"}
    mode = json.loads(config["deploy"])["defaultDeploymentMode"]
    assert one(findings, "KServe", "default mode")["found"].startswith(names.get(mode, mode))


def test_default_storage_class_is_kubectls(cluster: Any, findings: list[dict[str, Any]]) -> None:
    marked = [
        each["metadata"]["name"]
        for each in told(cluster, "get", "storageclass")["items"]
        if (each["metadata"].get("annotations") or {}).get("storageclass.kubernetes.io/is-default-class") == "true"
    ]
    said = one(findings, "volumes", "default class")
    assert (said["verdict"] == "no") is not bool(marked)
    assert all(name in said["found"] for name in marked)


def test_a_release_is_taken_exactly_where_kserve_takes_one(
    cluster: Any, namespace: str, findings: list[dict[str, Any]]
) -> None:
    """The same object, created by kubectl as a dry run, so that KServe's own webhook decides."""
    from components.recsys.settings import load_settings
    from serving.kserve.inference_service import inference_service

    if any(each["area"] == "KServe" and "not installed" in each["found"] for each in findings):
        pytest.skip("no KServe on this cluster: no InferenceService was tried")
    made = inference_service(DIGEST, load_settings(None, ["rollout.predictors=kserve"]), "s3://bucket/home")
    done = cluster.kubectl("-n", namespace, "create", "--dry-run=server", "-f", "-", stdin=json.dumps(made))
    said = one(findings, "KServe", "a release of ours")
    assert (said["verdict"] == "ok") is (done.returncode == 0), (said, done.stderr)


def test_a_split_that_kserve_ignores_is_taken_by_its_webhook_and_refused_by_the_doctor(
    cluster: Any, namespace: str, ask: Callable[..., Any], findings: list[dict[str, Any]], tmp_path: Path
) -> None:
    """The reason for all of this: the cluster says yes, and does nothing."""
    if any(each["area"] == "KServe" and "not installed" in each["found"] for each in findings):
        pytest.skip("no KServe on this cluster: no split was tried")
    model = {"modelFormat": {"name": "sklearn"}, "storageUri": "s3://bucket/m"}
    asked = {
        "apiVersion": "serving.kserve.io/v1beta1",
        "kind": "InferenceService",
        "metadata": {"name": "m", "namespace": namespace, "annotations": STANDARD},
        "spec": {"predictor": {"model": model, "canaryTrafficPercent": 5}},
    }
    done = cluster.kubectl("-n", namespace, "create", "--dry-run=server", "-f", "-", stdin=json.dumps(asked))
    assert done.returncode == 0, done.stderr
    file = tmp_path / "m.yaml"
    file.write_text(yaml.safe_dump(asked))
    code, said = ask("--manifests", str(file))
    assert code == 1
    assert "would be ignored" in one(said, "KServe", "InferenceService m: canaryTrafficPercent")["found"]


def test_a_pod_that_the_namespace_forbids_is_refused_with_its_reason(
    cluster: Any, namespace: str, ask: Callable[..., Any], tmp_path: Path
) -> None:
    template = {"metadata": {"labels": {"app": "root"}}, "spec": {"containers": [{"name": "a", "image": "busybox:1"}]}}
    asked = {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "root", "namespace": namespace},
        "spec": {"selector": {"matchLabels": {"app": "root"}}, "template": template},
    }
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "root"}, "spec": template["spec"]}
    done = cluster.kubectl("-n", namespace, "create", "--dry-run=server", "-f", "-", stdin=json.dumps(pod))
    file = tmp_path / "root.yaml"
    file.write_text(yaml.safe_dump(asked))
    code, said = ask("--manifests", str(file))
    refused = one(said, "namespace", "Deployment root")
    assert ((code, refused["verdict"]) == (1, "no")) is (done.returncode != 0), (refused, done.stderr)
    assert done.returncode == 0 or "runAsNonRoot" in refused["found"]


def test_rights_are_those_of_kubectl_auth_can_i(
    cluster: Any, namespace: str, everloop: Callable[..., Any], tmp_path: Path
) -> None:
    """An account that may only read Deployments, and its own kubeconfig."""
    for command in (
        ("create", "serviceaccount", "reader"),
        ("create", "role", "reader", "--verb=get,list", "--resource=deployments.apps"),
        ("create", "rolebinding", "reader", "--role=reader", f"--serviceaccount={namespace}:reader"),
    ):
        assert cluster.kubectl("-n", namespace, *command).returncode == 0
    token = cluster.kubectl("-n", namespace, "create", "token", "reader")
    assert token.returncode == 0, token.stderr
    config = told(cluster, "config", "view", "--raw", "--minify")
    config["users"][0]["user"] = {"token": token.stdout.strip()}
    file = tmp_path / "kubeconfig"
    file.write_text(yaml.safe_dump(config))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("KUBECONFIG", str(file))
        answer = everloop("doctor", "--namespace", namespace, "--json")
        said = one(answer.json["findings"], "permissions", "to install")
        may = cluster.kubectl("-n", namespace, "auth", "can-i", "create", "deployments.apps").stdout.strip()
    assert (answer.code, said["verdict"], may) == (1, "no", "no")
    assert "you may not create, patch, delete deployments.apps" in said["found"]  # but it may read them


def test_the_homes_bucket_is_tried(home: str, ask: Callable[..., Any]) -> None:
    """With the keys of this process, at the forwarded address; the namespace has no Secret of its own."""
    said = ask("--home", home)[1]
    verdicts = {each["looked_at"]: each["verdict"] for each in said if each["area"] == "home"}
    assert {verdicts[name] for name in ("put-if-absent", "listing", "deleting", "clock")} == {"ok"}, verdicts
