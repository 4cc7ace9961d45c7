"""How traffic reaches the gateway, and how many gateways there are.

>>> Autoscaling(kind="hpa", max_replicas=6)
"""

from typing import Annotated, Literal

from pydantic import Field

from pipelines.chart.base import Annotations, Labels, Name, Path, Percent, PortNumber, RequiredName, Values, Wildcard
from pipelines.chart.kubernetes import Seconds
from pipelines.chart.pods import Replicas


class Budget(Values):
    """A PodDisruptionBudget; only made where there can be more than one replica."""

    enabled: bool = Field(default=True, description="false: none.")
    max_unavailable: Annotated[int, Field(ge=1, le=1000)] | Percent = Field(
        default=1, description="How many pods may be away at once, a number or a share."
    )


class KedaPrometheus(Values):
    """Requests a second, as Prometheus counts them."""

    server_address: Annotated[str, Field(pattern=r"^(https?://[-A-Za-z0-9.:]{1,200}(/[-A-Za-z0-9._~/]*)?)?$")] = Field(
        default="", description="http://prometheus.monitoring.svc:9090; empty: only cpu counts."
    )
    requests_per_second: Annotated[int, Field(ge=1, le=100_000)] = Field(
        default=300, description="What one replica should have to answer."
    )


class Keda(Values):
    """Only with kind: keda."""

    polling_interval: Annotated[int, Field(ge=1, le=3600)] = Field(default=15, description="Seconds between looks.")
    cooldown_period: Seconds = Field(default=300, description="Seconds of calm before it scales down.")
    prometheus: KedaPrometheus = Field(default=KedaPrometheus(), description="Requests a second as a measure.")


class Autoscaling(Values):
    """Either Kubernetes' own autoscaler or KEDA's; both at once would fight."""

    kind: Literal["none", "hpa", "keda"] = Field(default="none", description="none, hpa or keda.")
    min_replicas: Replicas = Field(default=2, description="Fewest replicas.")
    max_replicas: Replicas = Field(default=6, description="Most replicas.")
    cpu_percent: Annotated[int, Field(ge=1, le=1000)] = Field(
        default=70, description="Of the requested cpu, which replicas should use on average."
    )
    keda: Keda = Field(default=Keda(), description="KEDA's own.")


class ParentRef(Values):
    """A Gateway of the Gateway API."""

    name: RequiredName
    namespace: RequiredName | None = None
    section_name: RequiredName | None = None
    port: PortNumber | None = None


class HttpRoute(Values):
    """An HTTPRoute to the gateway."""

    enabled: bool = Field(default=False, description="Whether there is one.")
    parent_refs: Annotated[list[ParentRef], Field(max_length=32)] = Field(
        default=[], description="Gateways that it hangs on; at least one."
    )
    hostnames: Annotated[list[Wildcard], Field(max_length=16)] = Field(default=[], description="Empty: any.")
    path: Path = Field(default="/", description="Prefix of the paths that come here.")
    annotations: Annotations = Field(default={}, description="Of the route.")
    labels: Labels = Field(default={}, description="More labels, where a Gateway chooses its routes by them.")


class Tls(Values):
    secret_name: RequiredName
    hosts: Annotated[list[Wildcard], Field(max_length=16)] = Field(default=[])


class Ingress(Values):
    """An Ingress to the gateway."""

    enabled: bool = Field(default=False, description="Whether there is one.")
    class_name: Name = Field(default="", description="Empty: the cluster's default class.")
    hosts: Annotated[list[Wildcard], Field(max_length=16)] = Field(default=[], description="At least one.")
    path: Path = Field(default="/", description="Prefix of the paths that come here.")
    tls: list[Tls] = Field(default=[], description="Certificates, by Secret.")
    annotations: Annotations = Field(default={}, description="Of the Ingress.")
