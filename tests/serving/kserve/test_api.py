"""The client of Kubernetes' API against a server that answers as the real one does, faults and all."""

import time
from typing import Any

import pytest

from components.recsys.errors import NotFound, Refused, StoreError
from serving.kserve.api import CONFIG_MAPS, INFERENCE_SERVICES, PAGE, Api
from serving.kserve.connection import Connection
from serving.kserve.faults import Conflict, Forbidden, Gone, KindMissing


def named(name: str, **data: str) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, "labels": {"app": "x"}}, "data": data}


def test_what_was_created_is_read_listed_changed_and_deleted(api: Api) -> None:
    made = api.create(CONFIG_MAPS, named("a", stable="1"))
    assert api.get(CONFIG_MAPS, "a") == made
    assert [one["metadata"]["name"] for one in api.list(CONFIG_MAPS, {"app": "x"})[0]] == ["a"]
    assert api.list(CONFIG_MAPS, {"app": "y"})[0] == []
    assert api.patch(CONFIG_MAPS, "a", {"data": {"stable": "2", "more": "3"}})["data"] == {"stable": "2", "more": "3"}
    changed = api.patch(CONFIG_MAPS, "a", [{"op": "remove", "path": "/data/more"}])
    assert changed["data"] == {"stable": "2"}
    assert api.delete(CONFIG_MAPS, "a")
    assert not api.delete(CONFIG_MAPS, "a")
    assert api.find(CONFIG_MAPS, "a") is None
    with pytest.raises(NotFound, match="configmaps a is not in namespace prod"):
        api.get(CONFIG_MAPS, "a")


def test_a_later_object_of_the_same_name_is_not_deleted_by_mistake(api: Api, server: Any) -> None:
    first = api.create(CONFIG_MAPS, named("a"))["metadata"]["uid"]
    api.delete(CONFIG_MAPS, "a")
    api.create(CONFIG_MAPS, named("a"))
    assert not api.delete(CONFIG_MAPS, "a", uid=first)
    assert server.names("configmaps") == {"a"}


def test_a_list_of_several_pages_is_whole(api: Api, server: Any) -> None:
    for number in range(PAGE + 3):
        server.put("configmaps", named(f"m{number:04d}"))
    found, version = api.list(CONFIG_MAPS)
    assert len(found) == PAGE + 3
    assert version == str(server.version)
    assert server.asked.count(("list", "configmaps")) == 2


@pytest.mark.parametrize("code", [0, 429, 500, 502, 503, 504])
@pytest.mark.parametrize("verb", ["get", "list", "create", "patch", "delete"])
def test_what_is_busy_is_asked_again(verb: str, code: int, api: Api, server: Any) -> None:
    if verb != "create":
        server.put("configmaps", named("a"))
    server.fail(verb, code, times=2)
    calls = {
        "get": lambda: api.get(CONFIG_MAPS, "a"),
        "list": lambda: api.list(CONFIG_MAPS),
        "create": lambda: api.create(CONFIG_MAPS, named("a")),
        "patch": lambda: api.patch(CONFIG_MAPS, "a", {"data": {"x": "y"}}),
        "delete": lambda: api.delete(CONFIG_MAPS, "a"),
    }
    calls[verb]()
    assert server.asked.count((verb, "configmaps")) == 3
    assert server.names("configmaps") == (set() if verb == "delete" else {"a"})


def test_it_waits_for_as_long_as_the_server_wishes(api: Api, server: Any) -> None:
    server.put("configmaps", named("a"))
    server.fail("get", 429, headers={"Retry-After": "1"})
    before = time.monotonic()
    api.get(CONFIG_MAPS, "a")
    assert time.monotonic() - before >= 1


def test_a_server_that_stays_busy_is_given_up_with_its_own_words(api: Api, server: Any) -> None:
    server.fail("get", 500, times=10**6, message="etcdserver: leader changed")
    before = time.monotonic()
    with pytest.raises(StoreError, match=r"answers 500 to get on configmaps .* etcdserver: leader changed"):
        api.get(CONFIG_MAPS, "a")
    assert time.monotonic() - before < 2 * api.patience


def test_a_wait_longer_than_our_patience_is_told_at_once(api: Api, server: Any) -> None:
    server.fail("get", 503, headers={"Retry-After": "60"})
    before = time.monotonic()
    with pytest.raises(StoreError, match="503"):
        api.get(CONFIG_MAPS, "a")
    assert time.monotonic() - before < 1


def test_nobody_at_the_address(api: Api) -> None:
    lost = Api(Connection("http://127.0.0.1:9", "prod"), patience=0.3)
    with pytest.raises(StoreError, match=r"at http://127.0.0.1:9 cannot be reached for get on configmaps"):
        lost.get(CONFIG_MAPS, "a")


def test_a_create_whose_answer_was_lost_says_that_it_is_there(api: Api, server: Any) -> None:
    server.fail("create", 0, done=True)
    with pytest.raises(Conflict, match="already exists"):
        api.create(CONFIG_MAPS, named("a", by="us"))
    assert api.get(CONFIG_MAPS, "a")["data"] == {"by": "us"}


def test_who_wrote_in_between_is_not_overwritten(api: Api, server: Any) -> None:
    server.put("configmaps", named("a", count="0"))
    overtaken = iter([True, True, False])

    def one_more(value: dict[str, Any]) -> list[dict[str, Any]]:
        count = int(value["data"]["count"])
        if next(overtaken):
            server.put("configmaps", named("a", count=str(count + 10)))
        return [{"op": "replace", "path": "/data/count", "value": str(count + 1)}]

    assert api.revise(CONFIG_MAPS, "a", one_more)["data"]["count"] == "21"


def test_who_is_overtaken_for_ever_gives_up_with_a_sentence(api: Api, server: Any) -> None:
    server.put("configmaps", named("a", count="0"))

    def always_late(value: dict[str, Any]) -> list[dict[str, Any]]:
        server.put("configmaps", named("a", count=str(int(value["data"]["count"]) + 1)))
        return [{"op": "replace", "path": "/data/count", "value": "-1"}]

    with pytest.raises(Conflict, match="was changed by others 10 times"):
        api.revise(CONFIG_MAPS, "a", always_late)


def test_a_change_that_is_none_writes_nothing(api: Api, server: Any) -> None:
    server.put("configmaps", named("a"))
    api.revise(CONFIG_MAPS, "a", lambda value: [])
    assert ("patch", "configmaps") not in server.asked


def test_a_missing_right_names_verb_resource_namespace_and_what_to_grant(api: Api, server: Any) -> None:
    server.rights = {("get", "configmaps")}
    with pytest.raises(Forbidden) as refusal:
        api.create(INFERENCE_SERVICES, named("a"))
    sentence = str(refusal.value)
    assert "create on inferenceservices.serving.kserve.io in namespace prod is not allowed" in sentence
    assert "system:serviceaccount:prod:everloop-rollout" in sentence
    assert "verbs [create], resources [inferenceservices], apiGroups ['serving.kserve.io']" in sentence
    assert server.asked == [("create", "inferenceservices")]  # it is not tried again: it will not change by itself


def test_a_missing_kind_is_told_apart_from_a_missing_object(api: Api, server: Any) -> None:
    with pytest.raises(NotFound):
        api.get(INFERENCE_SERVICES, "a")
    server.kinds = {kind for kind in server.kinds if "kserve" not in kind}
    for call in (lambda: api.get(INFERENCE_SERVICES, "a"), lambda: api.create(INFERENCE_SERVICES, named("a"))):
        with pytest.raises(
            KindMissing, match=r"knows no inferenceservices.serving.kserve.io .* KServe is not installed"
        ):
            call()


def test_a_missing_namespace_is_told_as_such(api: Api, server: Any) -> None:
    server.namespaces = set()
    with pytest.raises(NotFound, match="namespace prod does not exist"):
        api.create(CONFIG_MAPS, named("a"))


def test_a_webhooks_refusal_is_passed_on_in_its_own_words(api: Api, server: Any) -> None:
    server.denies = lambda verb, value: "MinReplicas cannot be greater than MaxReplicas."
    with pytest.raises(
        Refused, match=r"validator\" denied the request: MinReplicas cannot be greater than MaxReplicas"
    ):
        api.create(INFERENCE_SERVICES, named("a"))
    assert server.asked == [("create", "inferenceservices")]


def test_a_webhook_that_does_not_answer_is_told_in_the_servers_words(api: Api, server: Any) -> None:
    words = 'Internal error occurred: failed calling webhook "x": connection refused'
    server.fail("create", 500, times=10**6, message=words)
    with pytest.raises(StoreError, match="failed calling webhook"):
        api.create(INFERENCE_SERVICES, named("a"))


def test_a_token_that_expired_is_told_as_such(api: Api, server: Any) -> None:
    server.fail("get", 401, message="Unauthorized")
    with pytest.raises(Refused, match="the token is missing or has expired"):
        api.get(CONFIG_MAPS, "a")


def test_a_watch_tells_what_comes_after_a_version(api: Api, server: Any) -> None:
    server.put("configmaps", named("before"))
    _, version = api.list(CONFIG_MAPS)
    server.put("configmaps", named("a"))
    server.remove("configmaps", "before")
    events = api.watch(CONFIG_MAPS, version)
    got = [next(events), next(events)]
    assert [(type_, value["metadata"]["name"]) for type_, value in got] == [("ADDED", "a"), ("DELETED", "before")]
    events.close()


def test_a_watch_from_a_version_that_is_no_longer_kept(api: Api, server: Any) -> None:
    _, version = api.list(CONFIG_MAPS)
    server.put("configmaps", named("a"))
    server.forget_history()
    with pytest.raises(Gone):
        next(api.watch(CONFIG_MAPS, version))
