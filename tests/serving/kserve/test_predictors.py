"""Predictors on KServe: made, found again, brought up to date, deleted, and why one does not answer."""

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from components.recsys.errors import InputError
from components.recsys.home import Home
from components.recsys.release import releases_of
from components.recsys.settings import ServingSettings, Settings, load_settings
from serving.kserve.api import Api
from serving.kserve.faults import Forbidden, KindMissing
from serving.kserve.inference_service import inference_service, name_of
from serving.kserve.predictors import STUCK_SECONDS, KServePredictors, covers
from serving.rollout.engine import Engine
from serving.rollout.predictors import GRACE_SECONDS
from serving.server import running

ISVC = "inferenceservices"


class Clock:
    def __init__(self) -> None:
        self.time = 1_764_000_000.0

    def __call__(self) -> float:
        return self.time


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture(autouse=True)
def _look_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("ASK_EVERY", "PODS_EVERY", "AGAIN_SECONDS"):
        monkeypatch.setattr(f"serving.kserve.predictors.{name}", 0.0)


@pytest.fixture
def home(s3_url: str) -> Home:
    return Home(s3_url)


Made = Callable[..., KServePredictors]


@pytest.fixture
def made(home: Home, api: Api, server: Any, clock: Clock) -> Iterator[Made]:
    """Predictors of an engine; again for the engine after it."""
    opened: list[KServePredictors] = []

    def make(*overrides: str) -> KServePredictors:
        settings = load_settings(None, ["rollout.predictors=kserve", *overrides])
        one = KServePredictors(home, settings, api, clock)
        opened.append(one)
        return one

    yield make
    for one in opened:
        one.mirror.stop()
        while one.mirror.thread.is_alive():
            server.drop_watches()
            one.mirror.thread.join(0.05)


@pytest.fixture
def pods_of(server: Any) -> Callable[..., None]:
    """What the kubelet says of a release's one pod."""

    def say(digest: str, uid: str = "p1", **container: Any) -> None:
        name = name_of(digest)
        labels = {"serving.kserve.io/inferenceservice": name}
        status = {"containerStatuses": [{"name": "kserve-container", "image": "everloop/serving", **container}]}
        server.put("pods", {"metadata": {"name": f"{name}-{uid}", "labels": labels}, "status": status})

    return say


@pytest.fixture
def answering(small_world: Any, tmp_path: Path) -> Iterator[tuple[str, str]]:
    """A release, and the URL where a real predictor holds it."""
    folder = Path(shutil.copytree(small_world.home / "releases" / small_world.digest, tmp_path / "models"))
    with running("", Settings(serving=ServingSettings(port=0, history="memory://")), str(folder)) as url:
        yield small_world.digest, url


def tell(server: Any, digest: str, url: str) -> None:
    """As KServe's controller does once the Service is there."""
    server.change(ISVC, name_of(digest), status={"deploymentMode": "Standard", "address": {"url": url}})


def test_a_release_that_is_needed_is_made_and_answers_in_time(
    made: Made, server: Any, answering: tuple[str, str]
) -> None:
    digest, url = answering
    predictors = made()
    assert predictors.condition(digest) == "gone"
    assert predictors.ensure(digest) is None
    assert server.names(ISVC) == {name_of(digest)}
    assert server.of(ISVC, name_of(digest))["metadata"]["labels"]["app.kubernetes.io/managed-by"] == "everloop-rollout"
    assert predictors.condition(digest) == "starting"
    tell(server, digest, url)
    assert soon(lambda: predictors.ensure(digest) == url)
    assert predictors.condition(digest) == "ready"
    [fact] = predictors.facts()
    assert fact == {"release": digest[:12], "state": "ready", "url": url, "crashes": 0, "why": ""}
    assert server.asked.count(("create", ISVC)) == 1


def test_another_release_at_the_address_is_not_taken_for_it(
    made: Made, server: Any, answering: tuple[str, str], other: str
) -> None:
    predictors = made()
    predictors.ensure(other)
    tell(server, other, answering[1])
    assert predictors.ensure(other) is None
    assert predictors.condition(other) == "starting"
    assert "does not answer with this release" in predictors.last_words(other)


def test_the_next_engine_finds_what_is_there(made: Made, server: Any, answering: tuple[str, str]) -> None:
    digest, url = answering
    made().ensure(digest)
    tell(server, digest, url)
    assert made().ensure(digest) == url
    assert server.asked.count(("create", ISVC)) == 1


def test_an_answer_that_was_lost_makes_no_second_one(made: Made, server: Any, digest: str) -> None:
    server.fail("create", 0, done=True)
    predictors = made()
    predictors.ensure(digest)
    assert server.names(ISVC) == {name_of(digest)}
    assert predictors.condition(digest) == "starting"


def test_what_nobody_needs_is_deleted_after_a_while_also_by_the_next_engine(
    made: Made, server: Any, clock: Clock, digest: str, other: str
) -> None:
    predictors = made("rollout.keep_seconds=3600")
    predictors.ensure(digest)
    predictors.ensure(other)
    predictors.release({digest, other}, set())
    predictors.release({digest}, warm={other})
    clock.time += 3599
    predictors.release({digest}, warm={other})
    assert server.names(ISVC) == {name_of(digest), name_of(other)}
    later = made("rollout.keep_seconds=3600")  # its memory lies in the home
    clock.time += 2
    later.release({digest}, warm={other})
    assert server.names(ISVC) == {name_of(digest)}


def test_nobody_asks_how_an_idle_one_is(made: Made, server: Any, digest: str, other: str) -> None:
    """Else an engine that starts anew would look four times a second at a former champion that it never asks."""
    made().ensure(digest)
    later = made()
    later.ensure(other)
    later.release({other}, warm={digest})
    assert {fact["release"]: fact["state"] for fact in later.facts()} == {digest[:12]: "idle", other[:12]: "starting"}


def test_a_candidate_that_was_taken_back_goes_soon(made: Made, server: Any, clock: Clock, digest: str) -> None:
    predictors = made()
    predictors.ensure(digest)
    predictors.release(set(), set())
    clock.time += GRACE_SECONDS
    predictors.release(set(), set())
    assert server.names(ISVC) == set()


def test_who_is_needed_again_is_not_idle_any_more(made: Made, server: Any, clock: Clock, digest: str) -> None:
    predictors = made("rollout.keep_seconds=100")
    predictors.ensure(digest)
    predictors.release(set(), {digest})
    clock.time += 99
    predictors.ensure(digest)
    predictors.release({digest}, set())
    clock.time += 99
    predictors.release(set(), {digest})
    assert server.names(ISVC) == {name_of(digest)}


def test_nothing_is_deleted_that_an_engine_of_this_home_did_not_make(
    made: Made, server: Any, clock: Clock, home: Home, digest: str, other: str
) -> None:
    by_git = inference_service(digest, Settings(), home.url)
    of_another_home = inference_service(other, Settings(), "s3://another/home", "everloop-rollout")
    by_hand = {"metadata": {"name": "sklearn", "labels": dict(by_git["metadata"]["labels"])}, "spec": {}}
    for value in (by_git, of_another_home, by_hand):
        server.put(ISVC, value)
    predictors = made()
    for _ in range(3):
        predictors.release(set(), set())
        clock.time += 10 * 86_400
    predictors.stop_all()
    assert server.names(ISVC) == {name_of(digest), name_of(other), "sklearn"}


def test_a_later_one_of_the_same_name_is_spared(made: Made, server: Any, clock: Clock, digest: str) -> None:
    predictors = made()
    predictors.ensure(digest)
    predictors.mirror.stop()
    server.drop_watches()
    predictors.release(set(), set())
    clock.time += GRACE_SECONDS
    server.remove(ISVC, name_of(digest))
    server.put(ISVC, inference_service(digest, Settings(), "s3://x/y"))
    predictors.release(set(), set())
    assert server.names(ISVC) == {name_of(digest)}


def test_with_git_nothing_is_made_and_nothing_deleted(
    made: Made, server: Any, clock: Clock, home: Home, answering: tuple[str, str]
) -> None:
    digest, url = answering
    predictors = made("rollout.kserve=follow")
    assert predictors.ensure(digest) is None
    assert predictors.condition(digest) == "gone"
    assert "git has not brought it" in predictors.last_words(digest)
    server.put(ISVC, inference_service(digest, Settings(), home.url))
    tell(server, digest, url)
    assert soon(lambda: predictors.ensure(digest) == url)
    predictors.release(set(), set())
    clock.time += 10**7
    predictors.release(set(), set())
    assert server.names(ISVC) == {name_of(digest)}
    assert {verb for verb, _ in server.asked} <= {"list", "watch"}


def test_another_image_is_rolled_out_to_what_the_engine_made(
    made: Made, server: Any, digest: str, other: str, home: Home
) -> None:
    made().ensure(digest)
    server.put(ISVC, inference_service(other, Settings(), home.url))  # of git
    predictors = made("kserve.image=everloop/serving:9")
    assert predictors.ensure(digest) is None
    predictors.ensure(other)
    images = {
        name: value["spec"]["predictor"]["containers"][0]["image"]
        for (kind, _, name), value in server.objects.items()
        if kind == ISVC
    }
    assert images[name_of(digest)] == "everloop/serving:9"
    assert images[name_of(other)] != "everloop/serving:9"
    assert server.asked.count(("patch", ISVC)) == 1
    predictors.ensure(digest)
    assert server.asked.count(("patch", ISVC)) == 1


def test_what_the_cluster_adds_is_no_difference() -> None:
    wanted = {"containers": [{"name": "x", "resources": {"limits": {"cpu": "1"}}}], "timeout": 30}
    there = {
        "containers": [{"name": "x", "resources": {"limits": {"cpu": "1"}}, "added": 1}],
        "timeout": 30,
        "more": {},
    }
    assert covers(there, wanted)
    assert not covers({**there, "timeout": 31}, wanted)
    assert not covers({**there, "containers": []}, wanted)
    assert not covers({"timeout": 30}, wanted)


def test_several_pods_get_a_disruption_budget_that_goes_with_them(
    made: Made, server: Any, clock: Clock, digest: str
) -> None:
    predictors = made("kserve.min_replicas=2")
    predictors.ensure(digest)
    assert server.names("poddisruptionbudgets") == {name_of(digest)}
    predictors.release(set(), set())
    clock.time += GRACE_SECONDS
    predictors.release(set(), set())
    assert server.names("poddisruptionbudgets") == set()


def test_somebody_elses_object_of_that_name_is_told_and_left_alone(made: Made, server: Any, digest: str) -> None:
    server.put(ISVC, {"metadata": {"name": name_of(digest)}, "spec": {"predictor": {}}})
    predictors = made()
    assert predictors.ensure(digest) is None
    assert "is there already and holds no release" in predictors.last_words(digest)
    assert predictors.condition(digest) == "crashed"


def test_a_webhooks_refusal_is_the_last_word_and_tried_again_later(made: Made, server: Any, digest: str) -> None:
    server.denies = lambda verb, value: "no more models today"
    predictors = made()
    assert predictors.ensure(digest) is None
    assert predictors.condition(digest) == "crashed"
    assert predictors.last_words(digest).endswith("denied the request: no more models today")
    server.denies = lambda verb, value: ""
    predictors.ensure(digest)
    assert predictors.condition(digest) == "starting"


def test_a_digest_that_differs_counts_as_crashes_and_says_so(
    made: Made, server: Any, digest: str, pods_of: Callable[..., None]
) -> None:
    predictors = made()
    predictors.ensure(digest)
    said = "error: s3://b holds release 111111111111, not 9f2c4ab0d1e2 that was asked for: it will not be served"
    last = {"terminated": {"exitCode": 1, "reason": "Error", "message": said}}
    pods_of(digest, restartCount=3, state={"waiting": {"reason": "CrashLoopBackOff"}}, lastState=last)
    assert predictors.ensure(digest) is None
    assert predictors.condition(digest) == "crashed"
    assert predictors.crashes(digest) == 3
    assert predictors.last_words(digest) == said.removeprefix("error: ")
    predictors.release({digest}, set())
    assert made().crashes(digest) == 3  # the next engine remembers


def test_pods_that_are_gone_stay_counted(made: Made, server: Any, digest: str, pods_of: Callable[..., None]) -> None:
    predictors = made()
    predictors.ensure(digest)
    pods_of(digest, "p1", restartCount=2, state={"running": {}})
    predictors.ensure(digest)
    server.remove("pods", f"{name_of(digest)}-p1")
    pods_of(digest, "p2", restartCount=1, state={"running": {}})
    predictors.ensure(digest)
    assert predictors.crashes(digest) == 3


def test_an_image_that_cannot_be_pulled_counts_in_time(
    made: Made, clock: Clock, digest: str, pods_of: Callable[..., None]
) -> None:
    """Its containers never start, so nothing ever ends; a rollout must not wait for it for two weeks."""
    predictors = made()
    predictors.ensure(digest)
    pods_of(digest, state={"waiting": {"reason": "ImagePullBackOff", "message": "not found"}})
    predictors.ensure(digest)
    assert predictors.condition(digest) == "crashed"
    assert predictors.crashes(digest) == 0
    clock.time += 3 * STUCK_SECONDS
    predictors.ensure(digest)
    assert predictors.crashes(digest) == 3
    pods_of(digest, state={"running": {}})
    predictors.ensure(digest)
    assert predictors.crashes(digest) == 0


def test_a_missing_right_to_look_at_pods_is_told_and_stops_nothing(made: Made, server: Any, digest: str) -> None:
    predictors = made()
    server.rights = {(verb, ISVC) for verb in ("get", "list", "watch", "create")}
    predictors.ensure(digest)
    assert "list on pods in namespace prod is not allowed" in predictors.last_words(digest)
    assert predictors.condition(digest) == "starting"


def test_an_engine_without_rights_or_without_kserve_says_so_at_once(made: Made, server: Any) -> None:
    server.rights = set()
    with pytest.raises(Forbidden, match="list on inferenceservices"):
        made()
    server.rights = None
    server.kinds = set()
    with pytest.raises(KindMissing, match="KServe is not installed"):
        made()


def test_a_folder_is_no_home_for_pods(tmp_path: Path, api: Api) -> None:
    with pytest.raises(InputError, match="is a folder, which pods cannot read"):
        KServePredictors(Home(tmp_path), Settings(), api)


def test_an_api_that_is_down_for_a_while_costs_nothing_that_runs(
    made: Made, server: Any, answering: tuple[str, str]
) -> None:
    digest, url = answering
    predictors = made()
    predictors.ensure(digest)
    tell(server, digest, url)
    assert soon(lambda: predictors.ensure(digest) == url)
    for verb in ("watch", "list", "get", "create", "patch"):
        server.fail(verb, 503, times=10**6)
    server.drop_watches()
    assert predictors.ensure(digest) == url
    assert predictors.condition(digest) == "ready"


def test_an_engine_takes_back_a_release_whose_pods_hold_another_one(
    made: Made, home: Home, server: Any, answering: tuple[str, str], world: Any, pods_of: Callable[..., None]
) -> None:
    """The whole way: approved, its InferenceService made, its pods refuse, the rollout ends with the pods' own words."""
    from components.recsys.ledger import Ledger

    digest, url = answering
    candidate = world.release(l2=50.0)
    for release in (digest, candidate):
        for path in (world.home / "releases" / release).iterdir():
            releases_of(home).write(f"{release}/{path.name}", path.read_bytes())
    ledger = Ledger(home)
    ledger.append("promote", digest, "the first")
    ledger.append("approve", candidate, "beats the champion")
    predictors = made()
    engine = Engine(home, load_settings(None, ["rollout.predictors=kserve"]), predictors)
    assert engine.turn()["state"] == "waiting"
    assert server.names(ISVC) == {name_of(digest), name_of(candidate)}
    tell(server, digest, url)
    assert soon(lambda: engine.turn()["champion"] == digest and predictors.condition(digest) == "ready")
    said = f"error: s3://b holds release {digest[:12]}, not {candidate[:12]} that was asked for: it will not be served"
    last = {"terminated": {"exitCode": 1, "reason": "Error", "message": said}}
    pods_of(candidate, restartCount=3, state={"waiting": {"reason": "CrashLoopBackOff"}}, lastState=last)
    assert soon(lambda: engine.turn()["state"] == "aborted")
    assert ledger.entries()[-1].action == "abort"
    assert f"not {candidate[:12]} that was asked for" in ledger.entries()[-1].reason


def soon(what: Callable[[], bool], seconds: float = 10) -> bool:
    import time

    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if what():
            return True
        time.sleep(0.01)
    return what()
