"""What the rollout engine really asks of an API server that enforces its Role: nothing is refused, nothing granted in vain."""

from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from components.recsys.home import Home
from components.recsys.settings import load_settings
from serving.kserve.api import Api
from serving.kserve.connection import Connection
from serving.kserve.faults import Forbidden
from serving.kserve.inference_service import name_of
from serving.kserve.orders import Orders
from serving.kserve.predictors import KServePredictors
from tests.access.rbac import Ask, Rbac, Subject, account
from tests.helm.charts import HOME, render
from tests.serving.kserve.apiserver import ApiServer, Status

NAMESPACE = "prod"
A, B = "a" * 64, "b" * 64
Call = tuple[str, str, str, str]  # verb, group, resource, name where the Role names names
ENGINE = account(NAMESPACE, "everloop-rollout")


class Guarded:
    """An API server in which only what a Role gives is allowed, and everything is written down."""

    def __init__(self, rbac: Rbac, who: Subject = ENGINE) -> None:
        self.server, self.calls, self.refused = ApiServer(), set[Call](), list[Ask]()
        guarded = self

        def check_rights(handler: Any, verb: str, group: str, plural: str, namespace: str, name: str) -> None:
            ask = Ask(verb, group, plural, namespace, name)
            if not rbac.allows(who, ask):
                guarded.refused.append(ask)
                raise Status(403, "Forbidden", f"{plural} is forbidden: {who.name} cannot {verb} it")
            guarded.calls.add((verb, group, plural, name))

        self.server.server.RequestHandlerClass.check_rights = check_rights  # type: ignore[attr-defined]
        self.api = Api(Connection(self.server.url, NAMESPACE, token=lambda: "secret"), patience=2.0)

    def unused(self, granted: set[Call]) -> set[Call]:
        """Rights without a call. One that names no object is used by a call on any."""
        used = self.calls | {(verb, group, resource, "") for verb, group, resource, _ in self.calls}
        return granted - used


Guard = Callable[..., tuple[Guarded, set[Call]]]


@pytest.fixture
def guard(newest: str) -> Iterator[Guard]:
    opened: list[Guarded] = []

    def make(when: str, without: str = "") -> tuple[Guarded, set[Call]]:
        """without: a verb that the Role is robbed of."""
        values = {"home": HOME, "settings": {"rollout": {"kserve": when}}}
        objects = render(newest, values, namespace=NAMESPACE)
        for rule in (rule for one in objects if one["kind"] == "Role" for rule in one["rules"]):
            rule["verbs"] = [verb for verb in rule["verbs"] if verb != without]
        rbac = Rbac(objects)
        opened.append(Guarded(rbac))
        return opened[-1], rbac.granted(ENGINE, NAMESPACE)

    yield make
    for one in opened:
        one.server.close()


@pytest.fixture(autouse=True)
def _look_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("ASK_EVERY", "PODS_EVERY", "AGAIN_SECONDS"):
        monkeypatch.setattr(f"serving.kserve.predictors.{name}", 0.0)


def lived(guarded: Guarded, s3_url: str, when: str, folder: Path) -> None:
    """Releases come, are brought up to other settings, found again by the next engine, and go; git is followed."""
    server = guarded.server
    settings = [
        f"rollout.kserve={when}",
        "rollout.predictors=kserve",
        "kserve.min_replicas=2",
        "rollout.keep_seconds=0",
    ]
    time = [1_764_000_000.0]
    for image in ("everloop/serving:1", "everloop/serving:2"):
        made = load_settings(None, [*settings, f"kserve.image={image}"])
        predictors = KServePredictors(Home(s3_url), made, guarded.api, lambda: time[0])
        for digest in (A, B):
            predictors.ensure(digest)
            predictors.last_words(digest)
        if when == "create":
            predictors.mirror.known.pop(name_of(A), None)  # as if the watch were late: it is created, and is there
            predictors.ensure(A)
        else:
            server.put("inferenceservices", {**service(B)})
            predictors.ensure(B)
            home = Home(folder / "home")
            said = {"stable": "", "candidate": "", "home": home.url, "by": "anna"}
            server.put("configmaps", {"metadata": {"name": "everloop-model"}, "data": said})
            orders = Orders(home, guarded.api)
            orders.look()
            assert orders.fault == ""
        time[0] += 1000
        predictors.release({B}, set())
        time[0] += 1000
        predictors.release({B}, set())
        predictors.mirror.stop()
        server.drop_watches()
        predictors.mirror.thread.join(5)


def service(digest: str) -> dict[str, Any]:
    from serving.kserve.inference_service import inference_service

    return inference_service(digest, load_settings(None, ["rollout.predictors=kserve"]), "s3://bucket/home")


@pytest.mark.parametrize("when", ["create", "follow"])
def test_the_engine_gets_by_with_its_role_and_uses_all_of_it(
    guard: Guard, s3_url: str, when: str, tmp_path: Path
) -> None:
    guarded, granted = guard(when)
    lived(guarded, s3_url, when, tmp_path)
    assert guarded.refused == []
    assert guarded.unused(granted) == set()


@pytest.mark.parametrize("verb", ["create", "get", "patch", "delete", "list", "watch"])
def test_every_verb_of_the_role_is_missed_when_it_is_gone(guard: Guard, s3_url: str, verb: str, tmp_path: Path) -> None:
    """So the test above would see a verb that the Role lacks."""
    guarded, _ = guard("create", without=verb)
    with suppress(Forbidden):  # without a first list there is no engine at all
        lived(guarded, s3_url, "create", tmp_path)
    assert {ask.verb for ask in guarded.refused} == {verb}
