"""Our client of Kubernetes' API against a real API server: what the test's own server only claims."""

import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from components.recsys.errors import NotFound, Refused
from serving.kserve.api import CONFIG_MAPS, INFERENCE_SERVICES, Api
from serving.kserve.connection import connect
from serving.kserve.faults import Conflict, Kind, KindMissing
from serving.kserve.mirror import Mirror

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(120)]


@pytest.fixture
def api(cluster: Any) -> Api:
    return Api(connect(Path("/nowhere")), "default")


@pytest.fixture
def made(api: Api) -> Iterator[dict[str, Any]]:
    name = f"everloop-test-{uuid.uuid4().hex[:8]}"
    yield api.create(
        CONFIG_MAPS, {"metadata": {"name": name, "labels": {"everloop-test": name}}, "data": {"count": "0"}}
    )
    api.delete(CONFIG_MAPS, name)


def test_who_wrote_in_between_is_not_overwritten(api: Api, made: dict[str, Any]) -> None:
    name, overtaken = made["metadata"]["name"], iter([True, False])

    def one_more(there: dict[str, Any]) -> list[dict[str, Any]]:
        count = int(there["data"]["count"])
        if next(overtaken):
            api.patch(CONFIG_MAPS, name, {"data": {"count": str(count + 10)}})
        return [{"op": "replace", "path": "/data/count", "value": str(count + 1)}]

    assert api.revise(CONFIG_MAPS, name, one_more)["data"]["count"] == "11"


def test_a_name_that_is_taken_and_an_object_that_was_replaced(api: Api, made: dict[str, Any]) -> None:
    name, uid = made["metadata"]["name"], made["metadata"]["uid"]
    with pytest.raises(Conflict, match="already exists"):
        api.create(CONFIG_MAPS, {"metadata": {"name": name}})
    assert not api.delete(CONFIG_MAPS, name, uid="00000000-0000-0000-0000-000000000000")
    assert api.get(CONFIG_MAPS, name)["metadata"]["uid"] == uid


def test_a_watch_tells_what_comes_after_the_list(api: Api, made: dict[str, Any]) -> None:
    name = made["metadata"]["name"]
    mirror = Mirror(api, CONFIG_MAPS, {"everloop-test": name})
    mirror.start()
    assert set(mirror.objects()) == {name}
    events = api.watch(CONFIG_MAPS, mirror.version, {"everloop-test": name})
    api.patch(CONFIG_MAPS, name, {"data": {"count": "5"}})
    kind, value = next(events)
    assert (kind, value["data"]["count"]) == ("MODIFIED", "5")
    events.close()
    mirror.stop()


def test_what_is_missing_is_told_apart(api: Api) -> None:
    with pytest.raises(NotFound, match="is not in namespace"):
        api.get(CONFIG_MAPS, "no-such-object")
    with pytest.raises(KindMissing, match="knows no unicorns"):
        api.get(Kind("everloop.dev", "v1", "unicorns"), "x")
    with pytest.raises(NotFound, match="namespace nowhere does not exist"):
        Api(api.connection, "nowhere").create(CONFIG_MAPS, {"metadata": {"name": "x"}})


def test_kserves_webhook_is_passed_on_in_its_own_words(api: Api, cluster: Any) -> None:
    if cluster.kubectl("get", "crd", "inferenceservices.serving.kserve.io").returncode:
        pytest.skip("KServe is not installed on this cluster: its webhook was not tried")
    container = {"name": "kserve-container", "image": "busybox:1"}
    spec = {"predictor": {"minReplicas": 3, "maxReplicas": 1, "containers": [container]}}
    bad = {
        "apiVersion": "serving.kserve.io/v1beta1",
        "kind": "InferenceService",
        "metadata": {"name": "x"},
        "spec": spec,
    }
    with pytest.raises(Refused, match="cannot be greater than MaxReplicas") as refusal:
        api.create(INFERENCE_SERVICES, bad)
    print(f"\n{refusal.value}")
