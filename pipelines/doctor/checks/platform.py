"""The neighbours: Kubeflow Pipelines, Argo CD, Prometheus operator, KEDA, metrics, Knative and Istio.

A definition without its controller takes objects and does nothing with them: that counts as not there.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from pipelines.doctor import kinds
from pipelines.doctor.cluster import Cluster
from pipelines.doctor.findings import NO, OK, UNKNOWN, WARNING, Finding, Unanswered
from pipelines.doctor.wants import Wants
from pipelines.doctor.workloads import ARGO_CD, ISTIO, KEDA, KNATIVE, PROMETHEUS_OPERATOR, Place, running


@dataclass(frozen=True)
class Neighbour:
    area: str
    api_version: str
    kind: str
    place: Place
    kinds: tuple[str, ...]  # objects of ours that it acts on
    install: str


NEIGHBOURS = (
    Neighbour(
        "Prometheus operator", "monitoring.coreos.com/v1", "ServiceMonitor", PROMETHEUS_OPERATOR,
        ("ServiceMonitor", "PodMonitor", "PrometheusRule"), "install it, or switch these objects off: https://prometheus-operator.dev",
    ),
    Neighbour("KEDA", "keda.sh/v1alpha1", "ScaledObject", KEDA, ("ScaledObject",), "install it, or use the HorizontalPodAutoscaler: https://keda.sh/docs/latest/deploy/"),
    Neighbour("Argo CD", "argoproj.io/v1alpha1", "Application", ARGO_CD, ("Application", "ApplicationSet", "AppProject"), "https://argo-cd.readthedocs.io/en/stable/getting_started/"),
    Neighbour("Knative", "serving.knative.dev/v1", "Service", KNATIVE, (), "https://knative.dev/docs/install/"),
    Neighbour("Istio", "networking.istio.io/v1", "VirtualService", ISTIO, ("VirtualService",), "https://istio.io/latest/docs/setup/"),
)  # fmt: skip
METRICS_SERVER = "install metrics-server: https://github.com/kubernetes-sigs/metrics-server"


def check(cluster: Cluster, wants: Wants) -> Iterator[Finding]:
    for neighbour in NEIGHBOURS:
        try:
            yield from _neighbour(cluster, wants, neighbour)
        except Unanswered as why:
            yield Finding(neighbour.area, neighbour.kind, UNKNOWN, str(why), asked=_asked(wants, neighbour))
    yield from _metrics(cluster, wants)


def _asked(wants: Wants, neighbour: Neighbour) -> bool:
    return any(wants.asks(kind) for kind in neighbour.kinds)


def _neighbour(cluster: Cluster, wants: Wants, neighbour: Neighbour) -> Iterator[Finding]:
    asked = _asked(wants, neighbour)
    if not kinds.serves(cluster, neighbour.api_version, neighbour.kind):
        yield Finding(neighbour.area, neighbour.kind, NO, "not installed", neighbour.install if asked else "", asked)
        return
    try:
        program = running(cluster, neighbour.place)
    except Unanswered as why:
        yield Finding(neighbour.area, "version", OK, f"installed; version not visible ({why})", asked=asked)
        return
    if program is None:
        found = "defined, but its controller was not found under the usual names: nothing may act on its objects"
        yield Finding(neighbour.area, "controller", WARNING, found, "kubectl get deployments,statefulsets -A", asked)
    elif not program.ready:
        do = f"kubectl -n {program.namespace} get pods"
        yield Finding(
            neighbour.area, "controller", NO, f"{program.namespace}/{program.name} has no ready pod", do, asked
        )
    else:
        yield Finding(neighbour.area, "version", OK, str(program.version or "installed"), asked=asked)


def _metrics(cluster: Cluster, wants: Wants) -> Iterator[Finding]:
    """A HorizontalPodAutoscaler by CPU or memory reads metrics.k8s.io; without it, it stays where it is for ever."""
    asked = wants.asks("HorizontalPodAutoscaler")
    answer = cluster.get("/apis/metrics.k8s.io/v1beta1/nodes", limit="1")
    if answer.ok:
        yield Finding("metrics", "metrics.k8s.io", OK, "served: autoscaling by CPU and memory works", asked=asked)
    elif (answer.missing or answer.status == 503) and not asked and _scales(wants):
        found = "not served: KServe's autoscaler leaves each release at kserve.min_replicas"
        yield Finding("metrics", "metrics.k8s.io", WARNING, found, METRICS_SERVER)
    elif answer.missing or answer.status == 503:
        found = "not served: a HorizontalPodAutoscaler never scales"
        yield Finding("metrics", "metrics.k8s.io", NO, found, METRICS_SERVER, asked)
    elif answer.status == 403 and kinds.serves(cluster, "metrics.k8s.io/v1beta1", "NodeMetrics"):
        yield Finding("metrics", "metrics.k8s.io", OK, "served", asked=asked)
    else:
        yield Finding("metrics", "metrics.k8s.io", UNKNOWN, answer.why, asked=asked)


def _scales(wants: Wants) -> bool:
    scaled = wants.settings.kserve
    return wants.kserve and scaled.mode != "knative" and scaled.max_replicas > scaled.min_replicas
