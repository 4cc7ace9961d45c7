"""The programs behind definitions: a CRD whose controller is gone takes objects and does nothing with them.

>>> running(cluster, KSERVE)
Program(name='kserve-controller-manager', namespace='kserve', image='kserve/kserve-controller:v0.20.0', version=..., ready=1)
"""

from collections.abc import Iterator
from dataclasses import dataclass

from pipelines.doctor.cluster import Cluster, Json
from pipelines.doctor.findings import Unanswered
from pipelines.doctor.kinds import labels
from pipelines.doctor.versions import Version, of_image, parse


@dataclass(frozen=True)
class Place:
    """Where a controller is looked for: by labels in all namespaces, then by name in the usual ones."""

    names: tuple[str, ...]
    namespaces: tuple[str, ...]
    selectors: tuple[str, ...] = ()
    kinds: tuple[str, ...] = ("deployments",)
    container: str = ""  # the one whose image tells the version; the first by default


@dataclass(frozen=True)
class Program:
    name: str
    namespace: str
    image: str
    version: Version | None
    ready: int


KSERVE = Place(
    ("kserve-controller-manager",),
    ("kserve", "kubeflow", "opendatahub", "redhat-ods-applications"),
    ("control-plane=kserve-controller-manager",),
    container="manager",
)
KUBEFLOW = Place(("ml-pipeline",), ("kubeflow",), container="ml-pipeline-api-server")
ARGO_CD = Place(
    ("argocd-application-controller",),
    ("argocd", "openshift-gitops"),
    ("app.kubernetes.io/name=argocd-application-controller",),
    ("statefulsets", "deployments"),
)
PROMETHEUS_OPERATOR = Place(
    ("prometheus-operator", "kube-prometheus-stack-operator", "monitoring-kube-prometheus-operator"),
    ("monitoring", "prometheus", "observability", "openshift-monitoring"),
    (
        "app.kubernetes.io/name=prometheus-operator",
        "app=kube-prometheus-stack-operator",
        "app.kubernetes.io/name=kube-prometheus-stack-prometheus-operator",
    ),
)
KEDA = Place(
    ("keda-operator",), ("keda", "openshift-keda"), ("app.kubernetes.io/name=keda-operator", "app=keda-operator")
)
KNATIVE = Place(("controller",), ("knative-serving",))
ISTIO = Place(("istiod",), ("istio-system",), ("app=istiod",))
METRICS_SERVER = Place(("metrics-server",), ("kube-system",), ("k8s-app=metrics-server",))


def running(cluster: Cluster, place: Place) -> Program | None:
    """The first found; None where one may look and finds nothing. Raises Unanswered where one may not look."""
    refusals = []
    for path, query in _questions(place):
        try:
            found = cluster.items(path, **query)
        except Unanswered as why:
            refusals.append(str(why))
            continue
        named = [each for each in found if query or each["metadata"]["name"] in place.names]
        if named:
            return _program(named[0], place)
    if refusals:
        raise Unanswered(refusals[0])
    return None


def _questions(place: Place) -> Iterator[tuple[str, dict[str, str]]]:
    for namespace in place.namespaces:
        for kind in place.kinds:
            yield f"/apis/apps/v1/namespaces/{namespace}/{kind}", {}
    for selector in place.selectors:
        for kind in place.kinds:
            yield f"/apis/apps/v1/{kind}", {"labelSelector": selector}


def _program(found: Json, place: Place) -> Program:
    pod = found.get("spec", {}).get("template", {}).get("spec", {})
    containers = pod.get("containers") or [{}]
    chosen = next((each for each in containers if each.get("name") == place.container), containers[0])
    image = str(chosen.get("image") or "")
    said = labels(found).get("app.kubernetes.io/version", "")
    return Program(
        name=str(found["metadata"]["name"]),
        namespace=str(found["metadata"].get("namespace", "")),
        image=image,
        version=of_image(image) or parse(said),
        ready=int((found.get("status") or {}).get("readyReplicas") or 0),
    )
