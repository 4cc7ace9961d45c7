"""Images: on the nodes already, or to be pulled; the Secrets to pull them with; pulls that fail now."""

from collections.abc import Iterator

from pipelines.doctor.cluster import Cluster
from pipelines.doctor.findings import NO, OK, UNKNOWN, WARNING, Finding
from pipelines.doctor.pods import pods_of
from pipelines.doctor.wants import Wants

AREA = "images"
FAILING = ("ImagePullBackOff", "ErrImagePull", "InvalidImageName", "ErrImageNeverPull")


def check(cluster: Cluster, wants: Wants) -> Iterator[Finding]:
    yield from _secrets(cluster, wants)
    yield from _failing(cluster, wants)
    nodes = cluster.items("/api/v1/nodes")
    held = [_images(node) for node in nodes]
    for image in sorted({image for pod in pods_of(wants) for image in pod.images if image}):
        on = sum(_normal(image) in names for names in held)
        if nodes and on == len(nodes):
            yield Finding(AREA, image, OK, "on every node" if on > 1 else "on the node")
        else:
            found = f"on {on} of {len(nodes)} nodes; the others pull it, which cannot be tried from here"
            yield Finding(
                AREA, image, UNKNOWN, found, f"kubectl run pull --rm -i --restart=Never --image={image} -- true"
            )


def _images(node: dict[str, object]) -> set[str]:
    """A kubelet tells its 50 largest images only: one that is not named may be there all the same."""
    status = node.get("status")
    listed = status.get("images") if isinstance(status, dict) else None
    return {_normal(name) for each in listed or () for name in each.get("names") or ()}


def _normal(image: str) -> str:
    return image.removeprefix("docker.io/").removeprefix("library/")


def _secrets(cluster: Cluster, wants: Wants) -> Iterator[Finding]:
    """Pull Secrets that pods name and the namespace lacks: the kubelet goes on without them, and the pull is refused."""
    named = {
        str(each.get("name")) for pod in pods_of(wants) for each in pod.spec.get("imagePullSecrets") or () if each.get("name")
    }  # fmt: skip
    named.update(wants.chart.image.pull_secrets if wants.chart else ())
    named.update(wants.settings.kserve.image_pull_secrets)
    for name in sorted(named):
        answer = cluster.get(f"/api/v1/namespaces/{wants.namespace}/secrets/{name}")
        if answer.missing:
            do = f"kubectl -n {wants.namespace} create secret docker-registry {name} --docker-server=REGISTRY --docker-username=NAME"
            yield Finding(AREA, f"pull Secret {name}", NO, "does not exist", do)
        elif answer.ok:
            yield Finding(AREA, f"pull Secret {name}", OK, "exists")
        else:
            yield Finding(AREA, f"pull Secret {name}", UNKNOWN, answer.why)


def _failing(cluster: Cluster, wants: Wants) -> Iterator[Finding]:
    for pod in cluster.items(f"/api/v1/namespaces/{wants.namespace}/pods"):
        status = pod.get("status") or {}
        for each in [*(status.get("initContainerStatuses") or ()), *(status.get("containerStatuses") or ())]:
            reason = ((each.get("state") or {}).get("waiting") or {}).get("reason")
            if reason in FAILING:
                name = pod["metadata"]["name"]
                do = f"kubectl -n {wants.namespace} describe pod {name}"
                yield Finding(AREA, str(each.get("image")), WARNING, f"{reason} in pod {name}", do)
