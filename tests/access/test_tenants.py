"""Tenants as namespaces: who belongs to one can do nothing in another, and every namespace refuses what it should.

Evaluated here; the same questions go to a real API server in tests/cluster/test_access.py.
"""

import subprocess
from collections.abc import Callable
from functools import cache
from itertools import permutations
from pathlib import Path
from typing import Any

import pytest
import yaml

from components.recsys.datasets import cache_folder
from tests.access.netpol import Network, Pod
from tests.access.rbac import Ask, Rbac, Subject, account
from tests.helm.charts import HOME, render

Json = dict[str, Any]
TENANTS = Path(__file__).parents[2] / "manifests" / "tenants" / "example"
TEAMS = ("team-a", "team-b", "team-c")
ROLES = ("viewers", "engineers", "on-call", "auditors")
PARTS = ("gateway", "rollout", "monitor", "controller", "predictor", "steps")
ANYTHING = [
    Ask(verb, group, resource, "")
    for group, resource in (
        ("", "pods"),
        ("", "pods/log"),
        ("", "pods/exec"),
        ("", "secrets"),
        ("", "configmaps"),
        ("", "serviceaccounts/token"),
        ("apps", "deployments"),
        ("batch", "jobs"),
        ("serving.kserve.io", "inferenceservices"),
        ("rbac.authorization.k8s.io", "rolebindings"),
        ("networking.k8s.io", "networkpolicies"),
        ("argoproj.io", "workflowtaskresults"),
    )
    for verb in ("get", "list", "watch", "create", "update", "patch", "delete")
]


@pytest.fixture(autouse=True)
def _programs(newest: str, tool: Callable[[str], str]) -> None:
    """Says what to do where helm or kubectl is missing."""
    tool("kubectl")


@cache
def tenant(team: str) -> list[Json]:
    command = [str(cache_folder() / "tools" / "kubectl"), "kustomize", str(TENANTS / team)]
    return list(yaml.safe_load_all(subprocess.run(command, check=True, capture_output=True, text=True).stdout))


@cache
def cluster() -> list[Json]:
    """Every tenant with an installation in it."""
    return [one for team in TEAMS for one in (*tenant(team), *render("helm4", {"home": HOME}, namespace=team))]


def members(team: str) -> list[Subject]:
    people = [Subject("Group", f"{team}-{role}") for role in ROLES]
    return [*people, *(account(team, f"everloop-{part}") for part in PARTS)]


@pytest.mark.parametrize(("own", "other"), list(permutations(TEAMS, 2)))
def test_nobody_of_a_tenant_can_do_anything_in_another(own: str, other: str) -> None:
    rbac = Rbac(cluster())
    for who in members(own):
        assert rbac.granted(who, other) == set(), who
        assert not any(rbac.allows(who, Ask(a.verb, a.group, a.resource, other)) for a in ANYTHING), who


def test_at_home_the_same_people_can_do_something() -> None:
    """So the test above does not hold because the names are wrong."""
    rbac = Rbac(cluster())
    for team in TEAMS:
        idle = {who for who in members(team) if not rbac.granted(who, team)}
        assert idle == {account(team, f"everloop-{part}") for part in ("gateway", "monitor", "controller", "predictor")}


@pytest.mark.parametrize("role", ROLES)
def test_people_read_no_secret_open_no_shell_and_grant_no_right(role: str) -> None:
    rbac, who = Rbac(cluster()), Subject("Group", f"team-a-{role}")
    forbidden = [
        Ask("get", "", "secrets", "team-a", "everloop-store"),
        Ask("list", "", "secrets", "team-a"),
        Ask("create", "", "pods/exec", "team-a", "everloop-gateway-0"),
        Ask("create", "", "pods", "team-a"),
        Ask("create", "", "serviceaccounts/token", "team-a", "everloop-rollout"),
        Ask("create", "rbac.authorization.k8s.io", "rolebindings", "team-a"),
        Ask("patch", "rbac.authorization.k8s.io", "roles", "team-a", "everloop-viewer"),
        Ask("delete", "networking.k8s.io", "networkpolicies", "team-a", "deny"),
        Ask("patch", "", "resourcequotas", "team-a", "tenant"),
        Ask("patch", "serving.kserve.io", "inferenceservices", "team-a", "everloop-9f2c4ab0d1e2"),
        Ask("patch", "", "configmaps", "team-a", "everloop-settings"),
    ]
    assert [ask for ask in forbidden if rbac.allows(who, ask)] == []


@pytest.mark.parametrize(
    ("role", "ask"),
    [
        ("viewers", Ask("list", "", "pods", "team-a")),
        ("viewers", Ask("watch", "serving.kserve.io", "inferenceservices", "team-a")),
        ("engineers", Ask("get", "", "pods/log", "team-a", "everloop-gateway-0")),
        ("engineers", Ask("create", "", "pods/portforward", "team-a", "everloop-gateway-0")),
        ("engineers", Ask("create", "pipelines.kubeflow.org", "runs", "team-a")),
        ("on-call", Ask("delete", "", "pods", "team-a", "everloop-gateway-0")),
        ("on-call", Ask("patch", "apps", "deployments/scale", "team-a", "everloop-gateway")),
        ("auditors", Ask("list", "rbac.authorization.k8s.io", "rolebindings", "team-a")),
        ("auditors", Ask("list", "networking.k8s.io", "networkpolicies", "team-a")),
    ],
)
def test_a_role_is_good_for_its_job_and_a_viewer_for_no_other(role: str, ask: Ask) -> None:
    rbac = Rbac(cluster())
    assert rbac.allows(Subject("Group", f"team-a-{role}"), ask)
    if role != "viewers":
        assert not rbac.allows(Subject("Group", "team-a-viewers"), ask)


@pytest.mark.parametrize("team", TEAMS)
def test_a_namespace_asks_for_restricted_pods_and_has_a_quota_and_defaults(team: str) -> None:
    objects = {one["kind"]: one for one in tenant(team)}
    labels = objects["Namespace"]["metadata"]["labels"]
    assert objects["Namespace"]["metadata"]["name"] == team
    assert labels["pod-security.kubernetes.io/enforce"] == "restricted"
    hard = objects["ResourceQuota"]["spec"]["hard"]
    assert (hard["services.loadbalancers"], hard["services.nodeports"]) == ("0", "0")
    # What the quota counts of every pod, the defaults give to pods that say nothing; else they would be refused.
    limits = objects["LimitRange"]["spec"]["limits"][0]
    counted = {name for name in hard if name.startswith(("requests.", "limits.")) and not name.endswith(".storage")}
    given = {f"requests.{name}" for name in limits["defaultRequest"]} | {f"limits.{name}" for name in limits["default"]}
    assert counted - {"requests.storage"} <= given


def pod(team: str, part: str) -> Pod:
    """One of an installation's, whose ports all have the number 8000."""
    labels = {"name": "everloop", "instance": "everloop", "component": part}
    ports = {"http": 8000, "metrics": 8000}
    return Pod(team, {f"app.kubernetes.io/{name}": value for name, value in labels.items()}, ports)


def test_a_pod_of_a_tenant_reaches_nobody_in_another() -> None:
    names = {team: {"kubernetes.io/metadata.name": team} for team in (*TEAMS, "kubeflow", "kube-system")}
    network = Network(cluster(), names)
    parts = {team: [pod(team, part) for part in (*PARTS, "test")] for team in TEAMS}
    step = Pod("team-a", {"pipeline/runid": "r1"})
    for source in (*parts["team-a"], step, Pod("team-a", {"app": "notebook"})):
        for target in parts["team-b"]:
            for port in (80, 443, 6443, 8000, 8080, 8888):
                assert not network.allows(source, target, port), (source, target, port)
    assert network.allows(step, Pod("kubeflow", {"app": "ml-pipeline"}), 8888)
    assert network.allows(step, Pod("kube-system", {"k8s-app": "kube-dns"}), 53, "UDP")


def test_a_profile_takes_the_namespace_of_the_same_name_over() -> None:
    objects = {one["kind"]: one for one in tenant("team-c")}
    profile, namespace = objects["Profile"], objects["Namespace"]
    assert profile["metadata"] == {"name": "team-c"}  # of the cluster, in no namespace
    assert namespace["metadata"]["annotations"]["owner"] == profile["spec"]["owner"]["name"]
