"""Which pods reach which under the chart's policies: pairs that must, and pairs that must not.

Nothing enforces NetworkPolicies where these tests run, so the policies are evaluated; the evaluator has cases of its own below.
"""

from dataclasses import replace
from functools import cache
from typing import Any

import pytest

from components.recsys.settings import load_settings
from serving.kserve.inference_service import inference_service
from tests.access.netpol import Network, Outside, Pod
from tests.helm.charts import HOME, pods, render

Json = dict[str, Any]
NAMESPACES = {
    name: {"kubernetes.io/metadata.name": name}
    for name in ("shop", "monitoring", "kubeflow", "kube-system", "ingress", "other", "stores", "models")
}
STORES = {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "stores"}}}
INGRESS = {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "ingress"}}}
API_SERVER = Outside("10.96.0.1")
CLOUD = Outside("52.216.1.1")
CLOSED: Json = {  # as a careful person sets it
    "ingress": {"gateway": [INGRESS]},
    "egress": {
        "store": {"to": [STORES], "ports": [8333]},
        "redis": {"to": [STORES], "ports": [6379]},
        "database": {"to": [STORES], "ports": [5432]},
        "apiServer": {"to": [{"ipBlock": {"cidr": "10.96.0.1/32"}}], "ports": [443]},
    },
}


@cache
def network(closed: bool = True, enabled: bool = True, namespace: str = "") -> tuple[Network, dict[str, Pod]]:
    policies: Json = {"enabled": enabled, **(CLOSED if closed else {})}
    settings = {"kserve": {"namespace": namespace}} if namespace else {}
    objects = render("helm4", {"home": HOME, "networkPolicy": policies, "settings": settings})
    return Network(objects, NAMESPACES), {**deployed(objects), "predictor": predictor(namespace or "shop"), **others()}


def deployed(objects: list[Json]) -> dict[str, Pod]:
    """The chart's pods by component, with the ports that they declare."""
    found = {}
    for _, pod in pods(objects):
        labels = pod["metadata"]["labels"]
        ports = {one["name"]: one["containerPort"] for c in pod["spec"]["containers"] for one in c.get("ports", ())}
        found[labels["app.kubernetes.io/component"]] = Pod("shop", labels, ports)
    return found


def predictor(namespace: str) -> Pod:
    """As KServe makes it: with the labels of its InferenceService, and some of KServe's."""
    settings = load_settings(None, ["rollout.predictors=kserve"])
    labels = inference_service("a" * 64, settings, HOME)["metadata"]["labels"]
    return Pod(
        namespace, {**labels, "component": "predictor", "serving.kserve.io/inferenceservice": "x"}, {"http1": 8080}
    )


def others() -> dict[str, Pod]:
    return {
        "prometheus": Pod("monitoring", {"app": "prometheus"}),
        "alertmanager": Pod("monitoring", {"app": "alertmanager"}),
        "ingress": Pod("ingress", {"app": "envoy"}),
        "neighbour": Pod("shop", {"app": "shop-frontend"}),
        "stranger": Pod("other", {"app": "miner"}),
        # Labels can be claimed by anybody, but only in their own namespace.
        "impostor": Pod("other", {"app.kubernetes.io/name": "everloop", "app.kubernetes.io/component": "gateway"}),
        "dns": Pod("kube-system", {"k8s-app": "kube-dns"}),
        "kubeflow": Pod("kubeflow", {"app": "ml-pipeline"}),
        "store": Pod("stores", {"app": "seaweedfs"}),
    }


ALLOWED = [
    ("ingress", "gateway", 8000),
    ("prometheus", "gateway", 8000),
    ("prometheus", "rollout", 8092),
    ("prometheus", "monitor", 8091),
    ("prometheus", "controller", 8090),
    ("prometheus", "predictor", 8080),
    ("alertmanager", "controller", 8090),
    ("test", "gateway", 8000),
    ("gateway", "predictor", 8080),
    ("rollout", "predictor", 8080),
    ("gateway", "store", 8333),
    ("rollout", "store", 8333),
    ("monitor", "store", 8333),
    ("controller", "store", 8333),
    ("predictor", "store", 8333),
    ("gateway", "store", 6379),
    ("controller", "store", 5432),
    ("controller", "kubeflow", 8888),
    ("rollout", "API server", 443),
    *((part, "dns", 53) for part in ("gateway", "rollout", "monitor", "controller", "predictor", "test")),
]
DENIED = [
    ("neighbour", "gateway", 8000),  # only the ingress, once it is named
    ("stranger", "gateway", 8000),
    ("impostor", "gateway", 8000),
    ("impostor", "predictor", 8080),
    ("neighbour", "predictor", 8080),
    ("ingress", "predictor", 8080),
    ("monitor", "predictor", 8080),
    ("controller", "predictor", 8080),
    ("test", "predictor", 8080),
    ("predictor", "gateway", 8000),
    ("predictor", "predictor", 8080),
    ("ingress", "controller", 8090),
    ("ingress", "monitor", 8091),
    ("neighbour", "controller", 8090),
    ("stranger", "controller", 8090),
    ("gateway", "controller", 8090),
    ("gateway", "rollout", 8092),
    ("rollout", "gateway", 8000),
    ("monitor", "gateway", 8000),
    ("controller", "gateway", 8000),
    ("prometheus", "gateway", 22),
    ("gateway", "store", 5432),
    ("monitor", "store", 5432),
    ("monitor", "store", 6379),
    ("predictor", "store", 6379),
    ("gateway", "kubeflow", 8888),
    ("monitor", "kubeflow", 8888),
    ("predictor", "kubeflow", 8888),
    *((part, "API server", 443) for part in ("gateway", "monitor", "controller", "predictor", "test")),
    *((part, "cloud", 443) for part in ("gateway", "rollout", "monitor", "controller", "predictor", "test")),
    *((part, "stranger", 80) for part in ("gateway", "rollout", "monitor", "controller", "predictor", "test")),
]


def reaches(source: str, target: str, port: int, **options: Any) -> bool:
    policies, found = network(**options)
    places: dict[str, Pod | Outside] = {**found, "API server": API_SERVER, "cloud": CLOUD}
    protocol = "UDP" if port == 53 else "TCP"
    return policies.allows(places[source], places[target], port, protocol)


@pytest.fixture(autouse=True)
def _helm(newest: str) -> None:
    """Says what to do where helm is missing."""


@pytest.mark.parametrize(("source", "target", "port"), ALLOWED)
def test_whoever_needs_somebody_reaches_them(source: str, target: str, port: int) -> None:
    assert reaches(source, target, port)


@pytest.mark.parametrize(("source", "target", "port"), DENIED)
def test_nobody_else_does(source: str, target: str, port: int) -> None:
    assert not reaches(source, target, port)


@pytest.mark.parametrize(("source", "target", "port"), DENIED)
def test_without_policies_everybody_would(source: str, target: str, port: int) -> None:
    """So the table above shows what policies do, and not that an evaluator says no to everything."""
    assert reaches(source, target, port, enabled=False)


def test_by_default_the_gateway_is_open_to_its_namespace_and_the_store_is_any_address_on_443() -> None:
    assert reaches("neighbour", "gateway", 8000, closed=False)
    assert not reaches("ingress", "gateway", 8000, closed=False)
    assert all(reaches(part, "cloud", 443, closed=False) for part in ("gateway", "rollout", "monitor", "predictor"))
    assert not reaches("gateway", "cloud", 80, closed=False)


@pytest.mark.parametrize(
    ("source", "target", "port", "answer"),
    [
        ("gateway", "predictor", 8080, True),
        ("rollout", "predictor", 8080, True),
        ("impostor", "predictor", 8080, False),
        ("monitor", "predictor", 8080, False),
        ("predictor", "gateway", 8000, False),
    ],
)
def test_releases_in_a_namespace_of_their_own(source: str, target: str, port: int, answer: bool) -> None:
    assert reaches(source, target, port, namespace="models") is answer


def test_a_gateway_without_any_peer_is_closed_and_not_open() -> None:
    """An empty list of peers would mean everybody."""
    objects = render(
        "helm4", {"home": HOME, "networkPolicy": {"ingress": {"gateway": [], "metrics": [], "alerts": []}}}
    )
    policies, found = Network(objects, NAMESPACES), {**deployed(objects), **others()}
    for name in ("neighbour", "ingress", "prometheus", "stranger"):
        assert not policies.allows(found[name], found["gateway"], 8000), name
        assert not policies.allows(found[name], found["controller"], 8090), name
    assert policies.allows(found["test"], found["gateway"], 8000)


def policy(spec: Json) -> Network:
    metadata = {"name": "p", "namespace": "shop"}
    return Network([{"kind": "NetworkPolicy", "metadata": metadata, "spec": spec}], NAMESPACES)


ONE, OTHER = Pod("shop", {"app": "one"}, {"web": 80}), Pod("other", {"app": "other"}, address="10.1.2.3")
EVERY: Json = {"podSelector": {}}


@pytest.mark.parametrize(
    ("spec", "port", "answer"),
    [
        ({**EVERY, "policyTypes": ["Ingress"]}, 80, False),
        ({**EVERY, "policyTypes": ["Egress"]}, 80, True),
        ({**EVERY, "ingress": [{}]}, 80, True),
        ({"podSelector": {"matchLabels": {"app": "two"}}, "policyTypes": ["Ingress"]}, 80, True),
        ({**EVERY, "ingress": [{"ports": [{"port": "web"}]}]}, 80, True),
        ({**EVERY, "ingress": [{"ports": [{"port": "web"}]}]}, 81, False),
        ({**EVERY, "ingress": [{"ports": [{"port": 80, "endPort": 90}]}]}, 85, True),
        ({**EVERY, "ingress": [{"ports": [{"port": 80, "protocol": "UDP"}]}]}, 80, False),
        ({**EVERY, "ingress": [{"from": [{"podSelector": {}}]}]}, 80, False),  # of the policy's own namespace
        ({**EVERY, "ingress": [{"from": [{"namespaceSelector": {}}]}]}, 80, True),
        ({**EVERY, "ingress": [{"from": [{"namespaceSelector": {}, "podSelector": {"matchLabels": {"app": "x"}}}]}]}, 80, False),
        ({**EVERY, "ingress": [{"from": [{"podSelector": {"matchLabels": {"app": "x"}}}, {"namespaceSelector": {}}]}]}, 80, True),
        ({**EVERY, "ingress": [{"from": [{"ipBlock": {"cidr": "10.1.0.0/16"}}]}]}, 80, True),
        ({**EVERY, "ingress": [{"from": [{"ipBlock": {"cidr": "10.1.0.0/16", "except": ["10.1.2.0/24"]}}]}]}, 80, False),
        ({**EVERY, "ingress": [{"from": [{"namespaceSelector": {"matchExpressions": [
            {"key": "kubernetes.io/metadata.name", "operator": "NotIn", "values": ["other"]}]}}]}]}, 80, False),
    ],
)  # fmt: skip
def test_the_evaluator_says_what_the_documentation_says(spec: Json, port: int, answer: bool) -> None:
    assert policy(spec).allows(OTHER, ONE, port) is answer


def test_a_pod_in_another_namespace_is_not_selected() -> None:
    elsewhere = replace(ONE, namespace="other")
    assert policy({**EVERY, "policyTypes": ["Ingress"]}).allows(OTHER, elsewhere, 80)
