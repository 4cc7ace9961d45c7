"""What people read after an installation: what to do next, and what they should know."""

import json
from typing import Any

import pytest

from tests.helm.charts import CHART, HOME, helm

REDIS = {"history": {"existingSecret": "redis"}, "replicas": 2}


def notes(newest: str, **values: Any) -> str:
    told = json.dumps({"home": HOME, **values})
    arguments = ("everloop", str(CHART), "-n", "shop", "--dry-run=client", "--values", "-")
    return helm(newest, "install", *arguments, stdin=told).partition("NOTES:")[2]


def test_the_next_commands_are_there(newest: str) -> None:
    told = notes(newest)
    assert "kubectl -n shop port-forward service/everloop-gateway 8000:80" in told
    assert "helm test everloop -n shop" in told
    assert f"EVERLOOP_HOME={HOME}" in told
    assert "kubectl -n shop exec deploy/everloop-rollout -- everloop rollout status" in told


@pytest.mark.parametrize(
    ("values", "warning"),
    [
        ({}, "there is one gateway, and an upgrade or a node's end means a break"),
        ({}, "There is no Secret everloop-store in this namespace"),
        ({}, "give a token with controller.token.existingSecret"),
        ({}, "No Prometheus operator was found"),
        ({}, "This cluster has no KServe"),
        ({"store": {"existingSecret": ""}}, "every service account needs an identity"),
        ({"networkPolicy": {"enabled": False}}, "networkPolicy.enabled is false"),
        ({"gateway": {"persistence": {"enabled": False}}}, "gateway.persistence is off"),
        ({"controller": {"persistence": {"enabled": False}}}, "controller.persistence is off"),
        ({"settings": {"serving": {"history": "memory://"}}}, "The online history is in memory"),
        ({"gateway": {"history": {"existingSecret": "redis"}}}, "There is a Redis for the history, but one gateway"),
        ({"gateway": {"service": {"type": "LoadBalancer"}}}, "The console shows ids and histories of users"),
    ],
)
def test_what_people_should_know_is_said(newest: str, values: dict[str, Any], warning: str) -> None:
    assert warning in notes(newest, **values)


def test_a_good_installation_is_warned_of_nothing_that_values_decide(newest: str) -> None:
    told = notes(
        newest,
        gateway={**REDIS, "service": {"type": "LoadBalancer"}},
        controller={"database": {"existingSecret": "db"}, "token": {"existingSecret": "hook"}},
        monitoring={"prometheusRule": {"enabled": True}},
        settings={"gateway": {"console": False}},
    )
    warnings = [line for line in told.splitlines() if line.startswith("WARNING")]
    assert [line.split(" in this")[0] for line in warnings] == [
        "WARNING There is no Secret everloop-store",  # what only a cluster can tell
        "WARNING This cluster has no KServe (serving.kserve.io/v1beta1): no release can be served until it has; see everloop doctor.",
    ]
