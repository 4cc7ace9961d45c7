"""The chart's objects, put to a real API server: everything it checks but the making (server-side dry run), in a namespace
whose level is "restricted". Values are those of the installations and random ones of tests/helm.
"""

import json
import random
import uuid
from collections.abc import Iterator
from typing import Any

import pytest

from tests.cluster.conftest import Cluster
from tests.helm.charts import CHART, render
from tests.helm.immutables import INSTALLATIONS
from tests.helm.test_random_values import values_of

pytestmark = pytest.mark.cluster
RANDOM_VALUES = 15
LEVEL = {f"pod-security.kubernetes.io/{what}": "restricted" for what in ("enforce", "warn")}


@pytest.fixture(scope="module")
def namespace(cluster: Cluster) -> Iterator[str]:
    name = f"everloop-chart-{uuid.uuid4().hex[:6]}"
    made = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": LEVEL}}
    answer = cluster.kubectl("apply", "-f", "-", stdin=json.dumps(made))
    if answer.returncode:
        pytest.skip(f"no namespace can be made here: {answer.stderr.strip()}")
    yield name
    cluster.kubectl("delete", "namespace", name, "--wait=false")


@pytest.fixture(scope="module")
def kinds(cluster: Cluster) -> set[str]:
    """What this cluster knows; an HTTPRoute, for example, only with Gateway API."""
    lines = cluster.kubectl("api-resources", "--no-headers").stdout.splitlines()
    return {line.split()[-1] for line in lines}


def told(cluster: Cluster, namespace: str, kinds: set[str], values: dict[str, Any]) -> str:
    """What the API server has against the objects: refusals and warnings, one a line."""
    objects = [one for one in render("helm4", values, namespace=namespace) if one["kind"] in kinds]
    given = json.dumps({"apiVersion": "v1", "kind": "List", "items": objects})
    answer = cluster.kubectl("apply", "--dry-run=server", "--validate=strict", "-n", namespace, "-f", "-", stdin=given)
    assert answer.returncode == 0 or answer.stderr
    return answer.stderr.strip()


@pytest.mark.parametrize("installation", INSTALLATIONS)
def test_the_api_server_takes_an_installation(
    cluster: Cluster, namespace: str, kinds: set[str], tool: Any, installation: str
) -> None:
    tool("helm4")
    assert told(cluster, namespace, kinds, INSTALLATIONS[installation]) == ""


@pytest.mark.parametrize("number", range(RANDOM_VALUES))
def test_the_api_server_takes_what_the_schema_takes(
    cluster: Cluster, namespace: str, kinds: set[str], tool: Any, number: int
) -> None:
    tool("helm4")
    schema = json.loads((CHART / "values.schema.json").read_text())
    values = values_of(random.Random(number).randrange(10**6), schema)
    for owner in (values.get("settings", {}).get("kserve", {}), values["controller"].get("kubeflow", {})):
        owner.pop("namespace", None)  # another namespace, which is not there
    assert told(cluster, namespace, kinds, values) == ""
