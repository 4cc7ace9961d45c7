"""Each image as a pod of a namespace whose level is "restricted": it starts, writes to /tmp only, and holds what it says."""

import json
import os
import time
import uuid
from collections.abc import Iterator
from typing import Any

import pytest

from components.recsys.version import VERSION
from pipelines.images.manifests import images_in
from tests.cluster.conftest import Cluster
from tests.images import claims
from tests.images.conftest import GROUPS
from tests.images.facts import SCRIPT

REGISTRY = os.environ.get("EVERLOOP_REGISTRY", "").rstrip("/")
PATIENCE_SECONDS = 300  # a first pull of the largest image, on a busy node


@pytest.fixture(scope="module")
def namespace(cluster: Cluster) -> Iterator[str]:
    name = f"everloop-images-{uuid.uuid4().hex[:6]}"
    labels = {"pod-security.kubernetes.io/enforce": "restricted"}
    made = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels}}
    answer = cluster.kubectl("apply", "-f", "-", stdin=json.dumps(made))
    if answer.returncode:
        pytest.skip(f"no namespace can be made here: {answer.stderr.strip()}")
    yield name
    cluster.kubectl("delete", "namespace", name, "--wait=false")


def pod(image: str) -> dict[str, Any]:
    """Locked in as the chart's pods are."""
    locked = {"readOnlyRootFilesystem": True, "allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}}
    container = {
        "name": "everloop",
        "image": "/".join(filter(None, (REGISTRY, f"everloop/{image}:{VERSION}"))),
        "command": ["python3", "-c", SCRIPT],
        "securityContext": locked,
        "volumeMounts": [{"name": "tmp", "mountPath": "/tmp"}],
    }
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": image},
        "spec": {
            "restartPolicy": "Never",
            "automountServiceAccountToken": False,
            # No user: that of the image has to do.
            "securityContext": {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}},
            "containers": [container],
            "volumes": [{"name": "tmp", "emptyDir": {}}],
        },
    }


@pytest.mark.cluster
@pytest.mark.parametrize("image", sorted(GROUPS))
def test_an_image_runs_in_a_restricted_namespace(cluster: Cluster, namespace: str, image: str) -> None:
    answer = cluster.kubectl("-n", namespace, "apply", "-f", "-", stdin=json.dumps(pod(image)))
    assert answer.returncode == 0, answer.stderr
    ended = finished(cluster, namespace, image)
    log = cluster.kubectl("-n", namespace, "logs", image).stdout
    assert ended == "Succeeded", log
    claims.check(image, json.loads(log))
    print(
        f"everloop/{image}: uid 65532, read-only, {len(json.loads(log)['packages'])} Python packages as its SBOM says"
    )


@pytest.mark.cluster
def test_everything_that_runs_for_us_is_in_the_list_or_the_platforms(cluster: Cluster) -> None:
    """`kubectl get pods -o yaml | everloop images -`: it reads what a cluster answers, with what was put into pods."""
    listed = cluster.kubectl("get", "pods", "-A", "-o", "json").stdout
    running = json.loads(listed)["items"]
    if not running:
        pytest.skip("no pod runs on this cluster")
    wanted = {
        container["image"]
        for each in running
        for container in [*each["spec"].get("initContainers", []), *each["spec"]["containers"]]
    }
    assert wanted <= set(images_in([json.loads(listed)]))


def finished(cluster: Cluster, namespace: str, name: str) -> str:
    """The phase in which a pod ended. Skips where the cluster has no such image."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < deadline:
        status = json.loads(cluster.kubectl("-n", namespace, "get", "pod", name, "-o", "json").stdout)["status"]
        if status["phase"] in ("Succeeded", "Failed"):
            return str(status["phase"])
        for container in status.get("containerStatuses", []):
            waiting = container["state"].get("waiting", {})
            if waiting.get("reason", "").startswith(("ErrImage", "ImagePull", "ErrImageNeverPull")):
                pytest.skip(f"the cluster has no {container['image']}: {waiting.get('message', waiting['reason'])}")
        time.sleep(1)
    return "neither ended nor failed"
