"""The rights that installing takes, and those that the installed parts are given.

>>> [right for right in rights_of(wants) if right.purpose != INSTALL][0]
Right(purpose='what the rollout engine gets', verb='create', group='serving.kserve.io', resource='inferenceservices', namespace='team-a')
"""

from collections.abc import Iterator
from dataclasses import dataclass

from pipelines.access.needs import needs_of
from pipelines.doctor.wants import Wants

INSTALL, ENGINE = "to install", "what the rollout engine gets"
MAKE = ("get", "create", "patch", "delete")  # helm and kubectl apply read, make, change and remove
# What the chart makes always: by group and resource.
MADE = (
    ("apps", "deployments"),
    ("", "services"),
    ("", "configmaps"),
    ("", "secrets"),  # helm keeps its releases in them
    ("", "serviceaccounts"),
    ("rbac.authorization.k8s.io", "roles"),
    ("rbac.authorization.k8s.io", "rolebindings"),
)
# And by a switch: kind -> group and resource.
BY_SWITCH = {
    "NetworkPolicy": ("networking.k8s.io", "networkpolicies"),
    "PersistentVolumeClaim": ("", "persistentvolumeclaims"),
    "PodDisruptionBudget": ("policy", "poddisruptionbudgets"),
    "HorizontalPodAutoscaler": ("autoscaling", "horizontalpodautoscalers"),
    "ScaledObject": ("keda.sh", "scaledobjects"),
    "HTTPRoute": ("gateway.networking.k8s.io", "httproutes"),
    "Ingress": ("networking.k8s.io", "ingresses"),
    "ServiceMonitor": ("monitoring.coreos.com", "servicemonitors"),
    "PrometheusRule": ("monitoring.coreos.com", "prometheusrules"),
    "AlertmanagerConfig": ("monitoring.coreos.com", "alertmanagerconfigs"),
}


@dataclass(frozen=True)
class Right:
    purpose: str
    verb: str
    group: str  # "" is the core group
    resource: str
    namespace: str


def rights_of(wants: Wants) -> list[Right]:
    return [*_installing(wants), *_engine(wants)]


def _installing(wants: Wants) -> Iterator[Right]:
    made = [*MADE, *(each for kind, each in BY_SWITCH.items() if wants.asks(kind))]
    for group, resource in made:
        for verb in MAKE:
            yield Right(INSTALL, verb, group, resource, wants.namespace)


def _engine(wants: Wants) -> Iterator[Right]:
    """What the code asks, as helm/everloop/templates/roles.yaml grants it."""
    if wants.settings.rollout.predictors != "kserve":
        return
    namespace = wants.settings.kserve.namespace or wants.namespace
    for need in needs_of("rollout", "create" if wants.settings.rollout.kserve == "create" else "follow"):
        for verb in need.verbs:
            yield Right(ENGINE, verb, need.group, need.resource, namespace)
