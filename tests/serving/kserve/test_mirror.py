"""What is known of the cluster follows it, through watches that end, break and expire."""

import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from serving.kserve.api import CONFIG_MAPS, Api
from serving.kserve.faults import Forbidden
from serving.kserve.mirror import Mirror


def named(name: str, app: str = "x", **data: str) -> dict[str, Any]:
    return {"metadata": {"name": name, "labels": {"app": app}}, "data": data}


@pytest.fixture
def mirror(api: Api, server: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[Mirror]:
    monkeypatch.setattr("serving.kserve.mirror.FIRST_WAIT", 0.01)
    monkeypatch.setattr("serving.kserve.mirror.LONGEST_WAIT", 0.05)
    server.put("configmaps", named("a", count="0"))
    server.put("configmaps", named("other", app="y"))
    one = Mirror(api, CONFIG_MAPS, {"app": "x"})
    one.start()
    yield one
    one.stop()
    server.drop_watches()
    one.thread.join(5)


def soon(what: Callable[[], bool]) -> bool:
    deadline = time.monotonic() + 10
    while not what() and time.monotonic() < deadline:
        time.sleep(0.005)
    return what()


def test_it_knows_everything_at_once_and_then_every_change(mirror: Mirror, server: Any) -> None:
    assert set(mirror.objects()) == {"a"}
    server.put("configmaps", named("b"))
    assert soon(lambda: set(mirror.objects()) == {"a", "b"})
    server.put("configmaps", named("a", count="1"))
    assert soon(lambda: mirror.objects()["a"]["data"]["count"] == "1")
    server.remove("configmaps", "b")
    assert soon(lambda: set(mirror.objects()) == {"a"})
    assert server.asked.count(("watch", "configmaps")) == 1  # all of it over one line


def test_a_watch_that_breaks_is_taken_up_where_it_was(mirror: Mirror, server: Any) -> None:
    assert soon(lambda: server.watches == 1)
    for number in range(1, 6):
        server.drop_watches()
        server.put("configmaps", named("a", count=str(number)))
        assert soon(lambda number=number: mirror.objects()["a"]["data"]["count"] == str(number))
    assert server.asked.count(("list", "configmaps")) == 1  # nothing was listed anew for it


def test_what_vanished_while_the_history_was_lost_is_gone(mirror: Mirror, server: Any) -> None:
    assert soon(lambda: server.watches == 1)
    server.fail("watch", 503, times=3)
    server.drop_watches()
    server.put("configmaps", named("c"))
    server.remove("configmaps", "a")
    server.forget_history()
    assert soon(lambda: set(mirror.objects()) == {"c"})
    server.put("configmaps", named("d"))
    assert soon(lambda: set(mirror.objects()) == {"c", "d"})


def test_410_as_an_answer_lists_anew_too(mirror: Mirror, server: Any) -> None:
    assert soon(lambda: server.watches == 1)
    server.fail("watch", 410, message="too old resource version")
    server.drop_watches()
    assert soon(lambda: server.asked.count(("list", "configmaps")) == 2)
    server.put("configmaps", named("b"))
    assert soon(lambda: "b" in mirror.objects())


def test_while_nobody_answers_what_was_known_holds_and_the_fault_is_told(mirror: Mirror, server: Any) -> None:
    assert soon(lambda: server.watches == 1)
    server.fail("watch", 500, times=40)
    server.drop_watches()
    assert soon(lambda: "500" in mirror.fault)
    assert set(mirror.objects()) == {"a"}
    server.put("configmaps", named("b"))
    assert soon(lambda: set(mirror.objects()) == {"a", "b"} and not mirror.fault)


def test_a_right_that_is_taken_away_is_told(mirror: Mirror, server: Any) -> None:
    assert soon(lambda: server.watches == 1)
    server.rights = {("list", "configmaps")}
    server.drop_watches()
    assert soon(lambda: "watch on configmaps in namespace prod is not allowed" in mirror.fault)


def test_the_first_list_fails_in_the_callers_thread(api: Api, server: Any) -> None:
    server.rights = set()
    with pytest.raises(Forbidden, match="list on configmaps"):
        Mirror(api, CONFIG_MAPS, {}).start()
