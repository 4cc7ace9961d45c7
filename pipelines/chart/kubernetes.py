"""Kubernetes' own types as far as values take them, written as Kubernetes writes them.

>>> TolerationOfAny(key="dedicated", operator="Exists", effect="NoSchedule")

Only what passes Pod Security's "restricted" can be said: no host paths, no root, no added capability.
Source: https://kubernetes.io/docs/reference/kubernetes-api/ and https://kubernetes.io/docs/concepts/security/pod-security-standards/
"""

from typing import Annotated, Literal

from pydantic import Field

from pipelines.chart.base import (
    Bytes,
    Cores,
    Hostname,
    Key,
    LabelValue,
    MetadataKey,
    Path,
    RequiredName,
    Selector,
    Values,
)

Seconds = Annotated[int, Field(ge=0, le=86_400)]
Several = Annotated[list[LabelValue], Field(max_length=20)]
EnvName = Annotated[str, Field(pattern="^[A-Za-z_][A-Za-z0-9_]{0,127}$")]
FieldPath = Literal[
    "metadata.name", "metadata.namespace", "metadata.uid", "spec.nodeName", "spec.serviceAccountName", "status.podIP"
]


class Amounts(Values):
    cpu: Cores | None = None
    memory: Bytes | None = None
    ephemeral_storage: Bytes | None = Field(default=None, alias="ephemeral-storage")


class Resources(Values):
    """What a container asks for, and at most gets."""

    requests: Amounts = Amounts()
    limits: Amounts = Amounts()


class KeyRef(Values):
    name: RequiredName
    key: Key
    optional: bool = False


class FieldRef(Values):
    field_path: FieldPath


class SecretSource(Values):
    secret_key_ref: KeyRef


class ConfigMapSource(Values):
    config_map_key_ref: KeyRef


class FieldSource(Values):
    field_ref: FieldRef


class EnvValue(Values):
    name: EnvName
    value: str


class EnvFrom(Values):
    name: EnvName
    value_from: SecretSource | ConfigMapSource | FieldSource


EnvVar = EnvValue | EnvFrom


class Item(Values):
    key: Key
    path: Annotated[str, Field(pattern=r"^\.?[-_a-zA-Z0-9][-._a-zA-Z0-9]{0,99}$")]


class SecretFiles(Values):
    secret_name: RequiredName
    items: list[Item] = Field(default=[])
    optional: bool = False


class ConfigMapFiles(Values):
    name: RequiredName
    items: list[Item] = Field(default=[])
    optional: bool = False


class EmptyDirectory(Values):
    medium: Literal["", "Memory"] = ""
    size_limit: Bytes = "1Gi"


class Claim(Values):
    claim_name: RequiredName
    read_only: bool = False


class CsiVolume(Values):
    driver: Annotated[Hostname, Field(max_length=63)]
    read_only: bool = True
    volume_attributes: dict[Key, str] = Field(default={})


class SecretVolume(Values):
    name: RequiredName
    secret: SecretFiles


class ConfigMapVolume(Values):
    name: RequiredName
    config_map: ConfigMapFiles


class EmptyVolume(Values):
    name: RequiredName
    empty_dir: EmptyDirectory


class ClaimVolume(Values):
    name: RequiredName
    persistent_volume_claim: Claim


class DriverVolume(Values):
    name: RequiredName
    csi: CsiVolume


Volume = SecretVolume | ConfigMapVolume | EmptyVolume | ClaimVolume | DriverVolume


class VolumeMount(Values):
    name: RequiredName
    mount_path: Path
    sub_path: Annotated[str, Field(pattern=r"^[^/\s.][^\s.]*$")] | None = None
    read_only: bool = False


class SeccompDefault(Values):
    type: Literal["RuntimeDefault"] = "RuntimeDefault"


class SeccompLocal(Values):
    type: Literal["Localhost"]
    localhost_profile: Annotated[str, Field(pattern=r"^[-a-zA-Z0-9_]+(/[-a-zA-Z0-9_]+)*\.json$")]


User = Annotated[int, Field(ge=1, le=2**31 - 1)] | None


class PodSecurityContext(Values):
    """null leaves a user or group to the cluster (OpenShift)."""

    run_as_non_root: Literal[True] = True
    run_as_user: User = 65532
    run_as_group: User = 65532
    fs_group: User = Field(default=65532, description="Volumes are writable for this group.")
    fs_group_change_policy: Literal["OnRootMismatch", "Always"] = "OnRootMismatch"
    seccomp_profile: SeccompDefault | SeccompLocal = SeccompDefault()


class Capabilities(Values):
    drop: Annotated[list[Literal["ALL"]], Field(min_length=1, max_length=1)] = Field(default=["ALL"])


class SecurityContext(Values):
    allow_privilege_escalation: Literal[False] = False
    read_only_root_filesystem: Literal[True] = True
    capabilities: Capabilities = Capabilities()


Effect = Literal["NoSchedule", "PreferNoSchedule", "NoExecute"]


class TolerationOfAny(Values):
    """Whatever the taint's value is; without a key, of every taint."""

    key: MetadataKey | None = None
    operator: Literal["Exists"]
    effect: Effect | None = None


class TolerationOfOne(Values):
    key: MetadataKey
    operator: Literal["Equal"] | None = None
    value: LabelValue | None = None
    effect: Effect | None = None


class TolerationOfAnyForAWhile(Values):
    key: MetadataKey | None = None
    operator: Literal["Exists"]
    effect: Literal["NoExecute"]
    toleration_seconds: Seconds


class TolerationOfOneForAWhile(Values):
    key: MetadataKey
    operator: Literal["Equal"] | None = None
    value: LabelValue | None = None
    effect: Literal["NoExecute"]
    toleration_seconds: Seconds


Toleration = TolerationOfAny | TolerationOfOne | TolerationOfAnyForAWhile | TolerationOfOneForAWhile


class LabelsIn(Values):
    key: MetadataKey
    operator: Literal["In", "NotIn"]
    values: Annotated[list[LabelValue], Field(min_length=1, max_length=20)]


class LabelsThere(Values):
    key: MetadataKey
    operator: Literal["Exists", "DoesNotExist"]


class LabelSelector(Values):
    match_labels: Selector = Field(default={})
    match_expressions: list[LabelsIn | LabelsThere] = Field(default=[])


class NodeTerm(Values):
    match_expressions: Annotated[list[LabelsIn | LabelsThere], Field(min_length=1)]


class NodeTerms(Values):
    node_selector_terms: Annotated[list[NodeTerm], Field(min_length=1)]


Weight = Annotated[int, Field(ge=1, le=100)]


class PreferredNodes(Values):
    weight: Weight
    preference: NodeTerm


class NodeAffinity(Values):
    required_during_scheduling_ignored_during_execution: NodeTerms | None = None
    preferred_during_scheduling_ignored_during_execution: list[PreferredNodes] = Field(default=[])


class PodTerm(Values):
    label_selector: LabelSelector
    topology_key: MetadataKey
    namespaces: list[RequiredName] = Field(default=[])


class PreferredPods(Values):
    weight: Weight
    pod_affinity_term: PodTerm


class PodAffinity(Values):
    required_during_scheduling_ignored_during_execution: list[PodTerm] = Field(default=[])
    preferred_during_scheduling_ignored_during_execution: list[PreferredPods] = Field(default=[])


class Affinity(Values):
    """Which nodes, beside or away from which pods."""

    node_affinity: NodeAffinity | None = None
    pod_affinity: PodAffinity | None = None
    pod_anti_affinity: PodAffinity | None = None


class TopologySpread(Values):
    """labelSelector is the part's own and filled in by the chart."""

    max_skew: Annotated[int, Field(ge=1, le=100)] = 1
    topology_key: MetadataKey
    when_unsatisfiable: Literal["ScheduleAnyway", "DoNotSchedule"] = "ScheduleAnyway"


class Probe(Values):
    """When a probe looks, and when it has seen enough. What it asks for is the chart's."""

    initial_delay_seconds: Seconds = 0
    period_seconds: Annotated[int, Field(ge=1, le=3600)] = 10
    timeout_seconds: Annotated[int, Field(ge=1, le=3600)] = 3
    failure_threshold: Annotated[int, Field(ge=1, le=1000)] = 3
