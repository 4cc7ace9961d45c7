"""Who may do what, as Kubernetes' RBAC decides it: the union of the rules of every role that is bound to somebody.

>>> rules = Rbac(objects)
>>> rules.allows(account("shop", "everloop-rollout"), Ask("list", "serving.kserve.io", "inferenceservices", "shop"))
True

There is no denial and no order. A RoleBinding gives a Role's, or a ClusterRole's, rules in its own namespace only.
`resourceNames` limits to objects of these names: `create`, whose object has no name yet when it is asked about, is never allowed by
such a rule, nor is a `list` without a name. Source: https://kubernetes.io/docs/reference/access-authn-authz/rbac/
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

Json = dict[str, Any]
AGGREGATE = "rbac.authorization.k8s.io/aggregate-to-"


@dataclass(frozen=True)
class Subject:
    """kind: ServiceAccount, User or Group."""

    kind: str
    name: str
    namespace: str = ""


@dataclass(frozen=True)
class Ask:
    """group: "" for the core. resource: with a subresource as pods/log. name: "" for a collection."""

    verb: str
    group: str
    resource: str
    namespace: str
    name: str = ""


def account(namespace: str, name: str) -> Subject:
    return Subject("ServiceAccount", name, namespace)


class Rbac:
    """The RBAC objects among some manifests."""

    def __init__(self, objects: list[Json]) -> None:
        self.roles = {
            (one["kind"], one["metadata"].get("namespace", ""), one["metadata"]["name"]): one.get("rules") or []
            for one in objects
            if one["kind"] in ("Role", "ClusterRole")
        }
        self.bindings = [one for one in objects if one["kind"] in ("RoleBinding", "ClusterRoleBinding")]

    def allows(self, who: Subject, ask: Ask) -> bool:
        return any(covers(rule, ask) for rule in self.rules(who, ask.namespace))

    def rules(self, who: Subject, namespace: str) -> Iterator[Json]:
        """Every rule that somebody has in a namespace."""
        for binding in self.bindings:
            everywhere = binding["kind"] == "ClusterRoleBinding"
            there = everywhere or binding["metadata"]["namespace"] == namespace
            if there and any(is_same(who, subject, binding) for subject in binding.get("subjects") or ()):
                yield from self.rules_of(binding)

    def rules_of(self, binding: Json) -> list[Json]:
        """Raises KeyError for a role that is not there, which Kubernetes would take as no rights at all."""
        ref = binding["roleRef"]
        namespace = binding["metadata"]["namespace"] if ref["kind"] == "Role" else ""
        return list(self.roles[ref["kind"], namespace, ref["name"]])

    def granted(self, who: Subject, namespace: str) -> set[tuple[str, str, str, str]]:
        """(verb, group, resource, name or "") of everything that somebody has in a namespace."""
        return {
            (verb, group, resource, name)
            for rule in self.rules(who, namespace)
            for verb in rule["verbs"]
            for group in rule.get("apiGroups", [])
            for resource in rule.get("resources", [])
            for name in rule.get("resourceNames") or [""]
        }

    def namespaces(self) -> set[str]:
        return {one["metadata"]["namespace"] for one in self.bindings if one["kind"] == "RoleBinding"}


def is_same(who: Subject, subject: Json, binding: Json) -> bool:
    if subject["kind"] == "ServiceAccount":
        namespace = subject.get("namespace") or binding["metadata"].get("namespace", "")
        return who == Subject("ServiceAccount", subject["name"], namespace)
    return who == Subject(subject["kind"], subject["name"])


def covers(rule: Json, ask: Ask) -> bool:
    names = rule.get("resourceNames") or []
    if names and (ask.name not in names or ask.verb in ("create", "deletecollection")):
        return False
    return (
        has(rule["verbs"], ask.verb)
        and has(rule.get("apiGroups", []), ask.group)
        and any(
            resource in ("*", ask.resource) or (resource.startswith("*/") and ask.resource.endswith(resource[1:]))
            for resource in rule.get("resources", [])
        )
    )


def has(values: list[str], wanted: str) -> bool:
    return "*" in values or wanted in values
