"""The evaluator itself, on cases whose answers Kubernetes' documentation gives."""

from typing import Any

import pytest

from tests.access.rbac import Ask, Rbac, Subject, account

Json = dict[str, Any]


def rules(*given: Json, binding: Json | None = None, kind: str = "Role") -> Rbac:
    role: Json = {"kind": kind, "metadata": {"name": "r"}, "rules": list(given)}
    if kind == "Role":
        role["metadata"]["namespace"] = "a"
    bound: Json = {
        "kind": "RoleBinding",
        "metadata": {"name": "b", "namespace": "a"},
        "roleRef": {"kind": kind, "name": "r"},
        "subjects": [{"kind": "ServiceAccount", "name": "engine", "namespace": "a"}],
    }
    return Rbac([role, {**bound, **(binding or {})}])


def rule(verbs: str, resources: str, group: str = "", names: list[str] | None = None) -> Json:
    value: Json = {"verbs": verbs.split(), "resources": resources.split(), "apiGroups": [group]}
    return value | ({"resourceNames": names} if names else {})


ENGINE = account("a", "engine")


@pytest.mark.parametrize(
    ("given", "ask", "answer"),
    [
        (rule("get", "pods"), Ask("get", "", "pods", "a", "p"), True),
        (rule("get", "pods"), Ask("list", "", "pods", "a"), False),
        (rule("get", "pods"), Ask("get", "apps", "pods", "a", "p"), False),
        (rule("get", "pods"), Ask("get", "", "pods", "b", "p"), False),
        (rule("get", "pods"), Ask("get", "", "pods/log", "a", "p"), False),  # a subresource is a resource of its own
        (rule("get", "pods/log"), Ask("get", "", "pods/log", "a", "p"), True),
        (rule("get", "*/log"), Ask("get", "", "pods/log", "a", "p"), True),
        (rule("get", "*"), Ask("get", "", "pods/log", "a", "p"), True),
        (rule("*", "pods"), Ask("patch", "", "pods", "a", "p"), True),
        (rule("get", "secrets", names=["one"]), Ask("get", "", "secrets", "a", "one"), True),
        (rule("get", "secrets", names=["one"]), Ask("get", "", "secrets", "a", "two"), False),
        (rule("create", "secrets", names=["one"]), Ask("create", "", "secrets", "a", "one"), False),
        (rule("list", "secrets", names=["one"]), Ask("list", "", "secrets", "a"), False),
    ],
)
def test_one_rule(given: Json, ask: Ask, answer: bool) -> None:
    assert rules(given).allows(ENGINE, ask) is answer


def test_rules_add_up_and_a_cluster_role_that_is_bound_in_a_namespace_holds_there_only() -> None:
    both = rules(rule("get", "pods"), rule("list", "pods"), kind="ClusterRole")
    assert all(both.allows(ENGINE, Ask(verb, "", "pods", "a")) for verb in ("get", "list"))
    assert not both.allows(ENGINE, Ask("get", "", "pods", "b"))


def test_an_account_of_the_same_name_elsewhere_is_somebody_else() -> None:
    one = rules(rule("get", "pods"))
    assert not one.allows(account("b", "engine"), Ask("get", "", "pods", "a"))
    assert not one.allows(Subject("User", "engine"), Ask("get", "", "pods", "a"))


def test_groups_and_users_are_told_apart() -> None:
    group = {"subjects": [{"kind": "Group", "name": "on-call"}]}
    one = rules(rule("get", "pods"), binding=group)
    assert one.allows(Subject("Group", "on-call"), Ask("get", "", "pods", "a"))
    assert not one.allows(Subject("User", "on-call"), Ask("get", "", "pods", "a"))


def test_a_binding_to_a_role_that_is_not_there_is_a_mistake() -> None:
    with pytest.raises(KeyError):
        list(rules(binding={"roleRef": {"kind": "Role", "name": "other"}}).rules(ENGINE, "a"))
