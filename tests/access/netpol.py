"""Who reaches whom, as Kubernetes' NetworkPolicies say it.

>>> network = Network(objects, {"shop": {"kubernetes.io/metadata.name": "shop"}})
>>> network.allows(prometheus, gateway, 8000)
True

A pod that no policy selects for a direction is open in it; one that is selected is closed but for what some policy's rule
lets through. A connection needs both ends: egress of the one and ingress of the other. Ports may be names of the receiving pod's.
Source: https://kubernetes.io/docs/concepts/services-networking/network-policies/
"""

import ipaddress
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

Json = dict[str, Any]


@dataclass(frozen=True)
class Pod:
    namespace: str
    labels: Mapping[str, str]
    ports: Mapping[str, int] = field(default_factory=dict)
    address: str = "10.244.0.9"


@dataclass(frozen=True)
class Outside:
    """A machine that is no pod."""

    address: str


class Network:
    """The NetworkPolicies among some manifests. namespaces: name -> labels."""

    def __init__(self, objects: list[Json], namespaces: Mapping[str, Mapping[str, str]]) -> None:
        self.policies = [one for one in objects if one["kind"] == "NetworkPolicy"]
        self.namespaces = namespaces

    def allows(self, source: Pod | Outside, target: Pod | Outside, port: int, protocol: str = "TCP") -> bool:
        return self._lets("Egress", source, target, target, port, protocol) and self._lets(
            "Ingress", target, source, target, port, protocol
        )

    def _lets(
        self, way: str, owner: Pod | Outside, peer: Pod | Outside, target: Pod | Outside, port: int, protocol: str
    ) -> bool:
        """Whether the owner's policies of one direction let a connection pass."""
        if isinstance(owner, Outside):
            return True
        ours = [one for one in self.policies if self._selects(one, owner) and way in types(one["spec"])]
        rules = [(one, rule) for one in ours for rule in one["spec"].get(way.lower()) or []]
        return not ours or any(
            self._peers(policy, rule.get("from" if way == "Ingress" else "to"), peer)
            and opens(rule.get("ports"), target, port, protocol)
            for policy, rule in rules
        )

    def _selects(self, policy: Json, pod: Pod) -> bool:
        return policy["metadata"]["namespace"] == pod.namespace and matches(policy["spec"]["podSelector"], pod.labels)

    def _peers(self, policy: Json, peers: list[Json] | None, other: Pod | Outside) -> bool:
        return not peers or any(self._is_peer(policy, one, other) for one in peers)

    def _is_peer(self, policy: Json, peer: Json, other: Pod | Outside) -> bool:
        if "ipBlock" in peer:
            inside = ipaddress.ip_address(other.address) in ipaddress.ip_network(peer["ipBlock"]["cidr"])
            return inside and not any(
                ipaddress.ip_address(other.address) in ipaddress.ip_network(part)
                for part in peer["ipBlock"].get("except") or ()
            )
        if isinstance(other, Outside):
            return False
        if "namespaceSelector" in peer:
            there = matches(peer["namespaceSelector"], self.namespaces[other.namespace])
        else:
            there = other.namespace == policy["metadata"]["namespace"]
        return there and matches(peer.get("podSelector") or {}, other.labels)


def types(spec: Json) -> list[str]:
    """By default Ingress, and Egress where there are rules for it."""
    return list(spec.get("policyTypes") or ["Ingress", *(["Egress"] if spec.get("egress") else [])])


def matches(selector: Json, labels: Mapping[str, str]) -> bool:
    """An empty selector matches everything."""
    return all(labels.get(key) == value for key, value in (selector.get("matchLabels") or {}).items()) and all(
        holds(one, labels) for one in selector.get("matchExpressions") or ()
    )


def holds(expression: Json, labels: Mapping[str, str]) -> bool:
    value, values = labels.get(expression["key"]), expression.get("values") or []
    return {
        "In": value in values,
        "NotIn": value not in values,
        "Exists": value is not None,
        "DoesNotExist": value is None,
    }[expression["operator"]]


def opens(ports: list[Json] | None, target: Pod | Outside, port: int, protocol: str) -> bool:
    return not ports or any(one.get("protocol", "TCP") == protocol and is_port(one, target, port) for one in ports)


def is_port(one: Json, target: Pod | Outside, port: int) -> bool:
    wanted = one.get("port")
    if isinstance(wanted, str):
        return isinstance(target, Pod) and target.ports.get(wanted) == port
    return wanted is None or wanted <= port <= one.get("endPort", wanted)
