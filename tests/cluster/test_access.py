"""Access on a real API server: roles as it evaluates them, Pod Security as it admits, quotas as it counts.

NetworkPolicies are taken and stored here; whether anything enforces them depends on the cluster's network plugin (the kit's does
not), so who reaches whom is evaluated in tests/access/test_network.py.
"""

import copy
import json
import subprocess
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest
import yaml

from components.recsys.settings import load_settings
from pipelines.access.needs import NEEDS
from serving.kserve.inference_service import inference_service
from tests.access.rbac import Ask, Rbac, Subject
from tests.access.test_tenants import ANYTHING, members, tenant
from tests.helm.charts import CHART, HOME, pods, render

pytestmark = pytest.mark.cluster
Json = dict[str, Any]
CLUSTER_WIDE = ("Namespace",)


@dataclass(frozen=True)
class Tenants:
    """Two namespaces of this test's own, each with an installation's accounts and rights."""

    names: dict[str, str]  # team -> namespace
    objects: list[Json]
    kubectl: Callable[..., Any]


@pytest.fixture(scope="module")
def tenants(cluster: Any, tool: Callable[[str], str]) -> Iterator[Tenants]:
    tool("helm4")
    tool("kubectl")
    mark = uuid.uuid4().hex[:6]
    names = {team: f"everloop-{team}-{mark}" for team in ("team-a", "team-b")}
    objects = []
    for team, name in names.items():
        objects += [placed(one, team, name) for one in tenant(team)]
        objects += render("helm4", {"home": HOME}, namespace=name)
    kinds = {"Namespace", "ResourceQuota", "LimitRange", "NetworkPolicy", "ServiceAccount", "Role", "RoleBinding"}
    try:
        applied = [one for one in objects if one["kind"] in kinds]
        done = cluster.kubectl("apply", "--validate=strict", "-f", "-", stdin=yaml.safe_dump_all(applied))
        assert done.returncode == 0, done.stderr
        yield Tenants(names, objects, cluster.kubectl)
    finally:
        cluster.kubectl("delete", "namespace", *names.values(), "--wait=false", "--ignore-not-found")


def placed(one: Json, team: str, name: str) -> Json:
    """A tenant's object in a namespace of another name."""
    moved = copy.deepcopy(one)
    if one["kind"] in CLUSTER_WIDE:
        moved["metadata"]["name"] = name
    else:
        assert moved["metadata"]["namespace"] == team
        moved["metadata"]["namespace"] = name
    return moved


def reviewed(kubectl: Callable[..., Any], questions: list[tuple[Subject, Ask]]) -> list[bool]:
    """What the API server itself says, in SubjectAccessReviews."""
    reviews = [
        {
            "apiVersion": "authorization.k8s.io/v1",
            "kind": "SubjectAccessReview",
            "spec": {**spelled(who), "resourceAttributes": attributes(ask)},
        }
        for who, ask in questions
    ]
    done = kubectl(
        "create", "-o", "json", "-f", "-", stdin=json.dumps({"apiVersion": "v1", "kind": "List", "items": reviews})
    )
    assert done.returncode == 0, done.stderr
    answers = [json.loads(part) for part in split_json(done.stdout)]
    found = [one for answer in answers for one in answer.get("items", [answer])]
    assert len(found) == len(questions)
    return [bool(one["status"]["allowed"]) for one in found]


def split_json(text: str) -> Iterator[str]:
    """kubectl writes one object after the other."""
    decoder, at = json.JSONDecoder(), 0
    while at < len(text.rstrip()):
        _, end = decoder.raw_decode(text, at)
        yield text[at:end]
        at = end + (len(text[end:]) - len(text[end:].lstrip()))


def spelled(who: Subject) -> Json:
    if who.kind == "ServiceAccount":
        groups = ["system:serviceaccounts", f"system:serviceaccounts:{who.namespace}", "system:authenticated"]
        return {"user": f"system:serviceaccount:{who.namespace}:{who.name}", "groups": groups}
    return {"user": "somebody", "groups": [who.name, "system:authenticated"]}


def attributes(ask: Ask) -> Json:
    resource, _, subresource = ask.resource.partition("/")
    value = {"verb": ask.verb, "group": ask.group, "resource": resource, "namespace": ask.namespace}
    return value | ({"subresource": subresource} if subresource else {}) | ({"name": ask.name} if ask.name else {})


def everybody(tenants: Tenants, team: str) -> list[Subject]:
    """The people and accounts of a team, the accounts where they really are."""
    return [
        Subject(who.kind, who.name, tenants.names[team]) if who.kind == "ServiceAccount" else who
        for who in members(team)
    ]


def test_every_need_is_met_and_nothing_beside_it(tenants: Tenants) -> None:
    home, other = tenants.names.values()
    questions = [
        (
            Subject("ServiceAccount", f"everloop-{need.part}", home),
            Ask(verb, need.group, need.resource, namespace, name),
        )
        for need in NEEDS
        if need.when in ("create", "always")
        for verb in need.verbs
        for name in need.names or ("",)
        for namespace in (home, other)
    ]
    answers = reviewed(tenants.kubectl, questions)
    wrong = [one for one, answer in zip(questions, answers, strict=True) if answer is not (one[1].namespace == home)]
    assert wrong == []


@pytest.mark.parametrize("team", ["team-a", "team-b"])
def test_the_api_server_decides_as_our_evaluator_does(tenants: Tenants, team: str) -> None:
    """At home and in the other tenant, for every person and account: which makes the evaluator's tests count."""
    rbac = Rbac(tenants.objects)
    asks = [ask for number, ask in enumerate(ANYTHING) if number % 3 == 0 or ask.verb in ("create", "get")]
    questions = [
        (who, Ask(ask.verb, ask.group, ask.resource, namespace))
        for who in everybody(tenants, team)
        for namespace in tenants.names.values()
        for ask in asks
    ]
    answers = reviewed(tenants.kubectl, questions)
    differ = [one for one, answer in zip(questions, answers, strict=True) if answer is not rbac.allows(*one)]
    assert differ == []
    elsewhere = [
        one
        for one, answer in zip(questions, answers, strict=True)
        if answer and one[1].namespace != tenants.names[team]
    ]
    assert elsewhere == []
    assert any(answers)


def test_the_command_of_the_docs_says_yes_and_no(tenants: Tenants) -> None:
    home, other = tenants.names.values()
    account = f"--as=system:serviceaccount:{home}:everloop-rollout"
    for verb, namespace, said in (("list", home, "yes"), ("list", other, "no"), ("update", home, "no")):
        resource = "inferenceservices.serving.kserve.io"
        done = tenants.kubectl("auth", "can-i", verb, resource, "-n", namespace, account)
        assert done.stdout.strip() == said, (verb, namespace, done.stderr)


def as_pods(tenants: Tenants, namespace: str) -> dict[str, Json]:
    """Every pod that the installation leads to: of the chart, of `helm test`, of a release."""
    found: dict[str, Json] = {}
    for name, template in pods([one for one in tenants.objects if one["metadata"].get("namespace") == namespace]):
        found[name] = {**template, "metadata": {"labels": template["metadata"]["labels"]}}
    predictor = inference_service("a" * 64, load_settings(None, ["rollout.predictors=kserve"]), HOME)
    fields = {"serviceAccountName", "automountServiceAccountToken", "enableServiceLinks", "containers", "volumes"}
    fields |= {"securityContext", "terminationGracePeriodSeconds", "topologySpreadConstraints"}
    spec = {key: value for key, value in predictor["spec"]["predictor"].items() if key in fields}
    found["predictor"] = {"metadata": {"labels": predictor["metadata"]["labels"]}, "spec": spec}
    return found


def admitted(tenants: Tenants, namespace: str, pod: Json) -> str:
    """What the API server says against a pod; "" when it would take it."""
    metadata = {**pod["metadata"], "name": "tried", "namespace": namespace}
    value = {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": pod["spec"]}
    done = tenants.kubectl("create", "--dry-run=server", "--validate=strict", "-f", "-", stdin=json.dumps(value))
    return "" if done.returncode == 0 else str(done.stderr)


def test_every_pod_is_admitted_to_a_restricted_namespace(tenants: Tenants) -> None:
    namespace = tenants.names["team-a"]
    tried = as_pods(tenants, namespace)
    assert {"everloop-gateway", "everloop-rollout", "everloop-monitor", "everloop-controller", "predictor"} <= set(
        tried
    )
    assert {name: said for name, pod in tried.items() if (said := admitted(tenants, namespace, pod))} == {}


def test_a_pod_that_may_more_is_refused_there(tenants: Tenants) -> None:
    namespace = tenants.names["team-a"]
    pod = copy.deepcopy(as_pods(tenants, namespace)["everloop-gateway"])
    pod["spec"]["containers"][0]["securityContext"]["allowPrivilegeEscalation"] = True
    assert 'violates PodSecurity "restricted' in admitted(tenants, namespace, pod)


@pytest.mark.parametrize(
    ("resources", "words"),
    [
        ({"requests": {"cpu": "9", "memory": "1Gi"}, "limits": {"memory": "1Gi"}}, "exceeded quota: tenant"),
        ({"requests": {"memory": "33Gi"}, "limits": {"memory": "33Gi"}}, "maximum memory usage per Container is 32Gi"),
        ({}, ""),  # defaults of the LimitRange stand in
    ],
)
def test_a_tenant_gets_no_more_than_its_quota(tenants: Tenants, resources: Json, words: str) -> None:
    namespace = tenants.names["team-b"]  # 8 CPU
    pod = copy.deepcopy(as_pods(tenants, namespace)["everloop-monitor"])
    pod["spec"]["containers"][0]["resources"] = resources
    said = admitted(tenants, namespace, pod)
    assert (words in said) if words else not said


def test_a_load_balancer_is_refused_by_the_quota(tenants: Tenants) -> None:
    service = {"type": "LoadBalancer", "ports": [{"port": 80}], "selector": {"app": "x"}}
    value = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "open"}, "spec": service}
    namespace = tenants.names["team-a"]
    done = tenants.kubectl("create", "-n", namespace, "--dry-run=server", "-f", "-", stdin=json.dumps(value))
    assert "exceeded quota: tenant" in done.stderr


def test_network_policies_are_stored_as_they_were_rendered(tenants: Tenants) -> None:
    namespace = tenants.names["team-a"]
    done = tenants.kubectl("get", "networkpolicies", "-n", namespace, "-o", "json")
    there = {one["metadata"]["name"]: one["spec"] for one in json.loads(done.stdout)["items"]}
    wanted = {
        one["metadata"]["name"]: one["spec"]
        for one in tenants.objects
        if one["kind"] == "NetworkPolicy" and one["metadata"]["namespace"] == namespace
    }
    assert there.keys() == wanted.keys()
    for name, spec in wanted.items():
        assert there[name]["podSelector"] == spec["podSelector"]
        for way in ("ingress", "egress"):
            assert len(there[name].get(way, [])) == len(spec.get(way) or []), (name, way)


@pytest.fixture
def told(cluster: Any, tool: Callable[[str], str]) -> Iterator[Callable[..., str]]:
    """The chart's notes for a namespace of its own, as helm shows them after it has looked at the cluster."""
    name = f"everloop-open-{uuid.uuid4().hex[:6]}"
    assert cluster.kubectl("create", "namespace", name).returncode == 0

    def notes(*options: str) -> str:
        command = [tool("helm4"), "install", "everloop", str(CHART), "-n", name, "--dry-run=server", "--set"]
        done = subprocess.run([*command, f"home={HOME}", *options], capture_output=True, text=True, timeout=120)
        assert done.returncode == 0, done.stderr
        return done.stdout

    notes.namespace = name  # type: ignore[attr-defined]
    yield notes
    cluster.kubectl("delete", "namespace", name, "--wait=false", "--ignore-not-found")


def test_a_namespace_that_asks_nothing_of_its_pods_is_noticed_when_installing(cluster: Any, told: Any) -> None:
    assert f"WARNING Namespace {told.namespace} asks nothing of its pods" in told()
    label = "pod-security.kubernetes.io/enforce=restricted"
    assert cluster.kubectl("label", "namespace", told.namespace, label).returncode == 0
    assert "asks nothing of its pods" not in told()


def test_a_store_that_network_policies_would_shut_off_is_noticed_when_installing(cluster: Any, told: Any) -> None:
    assert "the network policies let parts go" not in told()
    secret = ["create", "secret", "generic", "everloop-store", "-n", told.namespace]
    assert cluster.kubectl(*secret, "--from-literal=AWS_ENDPOINT_URL=http://seaweedfs.kubeflow:8333").returncode == 0
    assert "asked on port 8333, and the network policies let parts go to it on 443 only" in told()
    assert "the network policies let parts go" not in told("--set", "networkPolicy.egress.store.ports={8333}")
    assert "the network policies let parts go" not in told("--set", "networkPolicy.enabled=false")
