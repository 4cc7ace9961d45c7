"""Values of the network policies: who may reach the installation's pods, and where these may go.

>>> NetworkPolicy().egress.store.ports
[443]

Peers are written as in a NetworkPolicy. A destination without peers is every address on its ports; one without ports is not
used. The templates turn them into one policy a part (templates/networkpolicies.yaml); tests/access asks them who reaches whom.
"""

from typing import Annotated

from pydantic import Field

from pipelines.chart.base import PortNumber, Values
from pipelines.chart.kubernetes import LabelSelector

NUMBER = r"(25[0-5]|2[0-4][0-9]|1[0-9][0-9]|[1-9]?[0-9])"
Cidr = Annotated[str, Field(pattern=rf"^{NUMBER}(\.{NUMBER}){{3}}/(3[0-2]|[12]?[0-9])$", max_length=18)]


class AddressBlock(Values):
    """Addresses of version 4."""

    cidr: Cidr


class AddressPeer(Values):
    ip_block: AddressBlock


class PodPeer(Values):
    """Pods of the release's own namespace."""

    pod_selector: LabelSelector


class NamespacePeer(Values):
    """Pods of other namespaces; all of them without a pod selector."""

    namespace_selector: LabelSelector
    pod_selector: LabelSelector | None = None


Peer = AddressPeer | NamespacePeer | PodPeer
Peers = Annotated[list[Peer], Field(max_length=20)]
Ports = Annotated[list[PortNumber], Field(max_length=20)]


def namespace(name: str) -> NamespacePeer:
    """By the label that every namespace has since Kubernetes 1.22."""
    return NamespacePeer(namespace_selector=LabelSelector(match_labels={"kubernetes.io/metadata.name": name}))


class Destination(Values):
    """One thing that parts go to."""

    to: Peers = Field(default=[], description="Peers as in a NetworkPolicy; empty: every address.")
    ports: Ports = Field(default=[], description="Ports, as pods behind a Service have them; empty: not used.")


class EgressValues(Values):
    """Where parts may go; each part only where it has to."""

    dns: Destination = Field(
        default=Destination(to=[namespace("kube-system")], ports=[53, 5353]),
        description="Every part. Over TCP and UDP; 5353 is the port behind OpenShift's.",
    )
    store: Destination = Field(
        default=Destination(ports=[443]),
        description="Every part. Without `to` any address on these ports, since the addresses of cloud stores "
        "change; name the peers where the store is in the cluster.",
    )
    predictors: Destination = Field(
        default=Destination(),
        description="The gateway and the engine, beside predictor pods of the releases' namespace: Knative's "
        "gateway, or where rollout.predictor_url points.",
    )
    redis: Destination = Field(
        default=Destination(ports=[6379]), description="The gateway, where settings.serving.history is redis://."
    )
    database: Destination = Field(
        default=Destination(ports=[5432]),
        description="The controller, where settings.retrain.database is postgresql://.",
    )
    kubeflow: Destination = Field(
        default=Destination(to=[namespace("kubeflow")], ports=[8888]), description="The controller, to start runs."
    )
    api_server: Destination = Field(
        default=Destination(ports=[443, 6443]),
        description="The rollout engine, with rollout.predictors=kserve. An API server has no labels: name its addresses with ipBlock.",
    )


class IngressValues(Values):
    """Who may come in, beside the parts among themselves and the probes of the node."""

    gateway: Peers = Field(
        default=[PodPeer(pod_selector=LabelSelector())],
        description="Who may ask for lists: by default pods of the same namespace. Name the namespace of your "
        "ingress or Gateway controller here.",
    )
    metrics: Peers = Field(default=[namespace("monitoring")], description="Who scrapes metrics: where Prometheus runs.")
    alerts: Peers = Field(
        default=[namespace("monitoring")], description="Who may ask the controller for runs: where Alertmanager runs."
    )
    predictors: Peers = Field(
        default=[],
        description="Who may reach predictors beside the gateway and the engine, such as Knative's activator in knative-serving.",
    )


class NetworkPolicy(Values):
    """On by default. Only a network plugin that enforces NetworkPolicy makes them more than text (Calico, Cilium, most clouds')."""

    enabled: bool = Field(default=True, description="false: everybody may talk to everybody.")
    ingress: IngressValues = Field(default=IngressValues(), description="Who may come in.")
    egress: EgressValues = Field(default=EgressValues(), description="Where parts may go.")
