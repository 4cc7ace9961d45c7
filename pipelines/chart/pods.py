"""What can be said of every part's pods.

>>> class Monitor(Part):
...     resources: Resources = Field(default=room("100m", "512Mi", "4Gi"), description=ROOM)
"""

from typing import Annotated, Literal

from pydantic import Field

from pipelines.chart.base import Annotations, Bytes, Labels, Name, Selector, Values
from pipelines.chart.kubernetes import (
    Affinity,
    Amounts,
    EnvVar,
    PodSecurityContext,
    Probe,
    Resources,
    Seconds,
    SecurityContext,
    Toleration,
    TopologySpread,
    Volume,
    VolumeMount,
)

ROOM = "What a pod asks for and at most gets; no limit on cpu, since a throttled part looks like a broken one."


def room(cpu: str, memory: str, most_memory: str) -> Resources:
    return Resources(requests=Amounts(cpu=cpu, memory=memory), limits=Amounts(memory=most_memory))


class ServiceAccount(Values):
    """Who it is to the API server and to the cloud's storage."""

    create: bool = Field(default=True, description="false: `name` exists already, or the namespace's default is taken.")
    name: Name = Field(default="", description="Empty: named after the part.")
    annotations: Annotations = Field(
        default={},
        description="Workload identity: eks.amazonaws.com/role-arn, azure.workload.identity/client-id, iam.gke.io/gcp-service-account.",
    )
    labels: Labels = Field(default={}, description="More labels.")


class Persistence(Values):
    """A volume for what must outlive the pod."""

    enabled: bool = Field(default=True, description="false: an emptyDir, lost with the pod.")
    existing_claim: Name = Field(default="", description="A claim of yours; the chart then makes none.")
    storage_class: Name = Field(default="", description="Empty: the cluster's default.")
    access_mode: Literal["ReadWriteOnce", "ReadWriteOncePod", "ReadWriteMany"] = Field(
        default="ReadWriteOnce", description="One pod writes at a time."
    )
    size: Bytes = Field(default="1Gi", description="Of the volume.")
    keep: bool = Field(default=True, description="Keep the claim when the chart is uninstalled.")
    annotations: Annotations = Field(default={}, description="Of the claim.")


class Service(Values):
    """The address inside the cluster."""

    type: Literal["ClusterIP", "NodePort", "LoadBalancer"] = Field(default="ClusterIP", description="Kubernetes' type.")
    annotations: Annotations = Field(default={}, description="For the cloud's load balancer, for example.")


class Identity(Values):
    """An account alone: pods that others make run under it."""

    service_account: ServiceAccount = Field(default=ServiceAccount(), description="Its service account.")


class Part(Values):
    """One part of the loop."""

    service_account: ServiceAccount = Field(default=ServiceAccount(), description="Its own service account.")
    store_secret: Name = Field(
        default="", description="Secret with this part's own keys of the store; empty: store.existingSecret."
    )
    resources: Resources = Field(default=Resources(), description=ROOM)
    pod_labels: Labels = Field(default={}, description="More labels of the pods.")
    pod_annotations: Annotations = Field(default={}, description="Annotations of the pods.")
    pod_security_context: PodSecurityContext = Field(
        default=PodSecurityContext(), description='Of the pod. All that can be said passes Pod Security "restricted".'
    )
    security_context: SecurityContext = Field(default=SecurityContext(), description="Of the containers.")
    node_selector: Selector = Field(default={}, description="Labels that a node must have.")
    tolerations: list[Toleration] = Field(default=[], description="Taints that do not matter.")
    affinity: Affinity = Field(default=Affinity(), description="Which nodes, beside or away from which pods.")
    topology_spread_constraints: list[TopologySpread] = Field(
        default=[], description="How replicas spread; the chart fills in the labelSelector."
    )
    priority_class_name: Name = Field(default="", description="Who goes first when nodes are short.")
    termination_grace_period_seconds: Seconds = Field(
        default=30, description="Longest time from SIGTERM to SIGKILL; the chart takes more where draining needs it."
    )
    extra_env: list[EnvVar] = Field(default=[], description="More environment variables.")
    extra_volumes: list[Volume] = Field(default=[], description="More volumes, of the kinds that `restricted` allows.")
    extra_volume_mounts: list[VolumeMount] = Field(default=[], description="Where they are mounted.")
    liveness_probe: Probe = Field(default=Probe(), description="Restarts a part that hangs.")
    readiness_probe: Probe = Field(default=Probe(), description="Takes a pod out of its Service.")
    startup_probe: Probe = Field(
        default=Probe(period_seconds=2, failure_threshold=90), description="How long a start may take."
    )


Replicas = Annotated[int, Field(ge=1, le=1000)]
