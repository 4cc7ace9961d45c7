"""Predictors on KServe: made, found again, brought up to date and deleted."""

from pathlib import Path
from typing import Any

import pytest

from components.recsys.errors import InputError
from components.recsys.home import Home
from components.recsys.settings import Settings
from serving.kserve.api import Api
from serving.kserve.faults import Forbidden, KindMissing
from serving.kserve.inference_service import inference_service, name_of
from serving.kserve.predictors import KServePredictors, covers
from serving.rollout.predictors import GRACE_SECONDS
from tests.serving.kserve.predicting import ISVC, Clock, Made, soon, tell


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
    made: Made, server: Any, clock: Clock, bucket: Home, digest: str, other: str
) -> None:
    by_git = inference_service(digest, Settings(), bucket.url)
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
    made: Made, server: Any, clock: Clock, bucket: Home, answering: tuple[str, str]
) -> None:
    digest, url = answering
    predictors = made("rollout.kserve=follow")
    assert predictors.ensure(digest) is None
    assert predictors.condition(digest) == "gone"
    assert "git has not brought it" in predictors.last_words(digest)
    server.put(ISVC, inference_service(digest, Settings(), bucket.url))
    tell(server, digest, url)
    assert soon(lambda: predictors.ensure(digest) == url)
    predictors.release(set(), set())
    clock.time += 10**7
    predictors.release(set(), set())
    assert server.names(ISVC) == {name_of(digest)}
    assert {verb for verb, _ in server.asked} <= {"list", "watch"}


def test_another_image_is_rolled_out_to_what_the_engine_made(
    made: Made, server: Any, digest: str, other: str, bucket: Home
) -> None:
    made().ensure(digest)
    server.put(ISVC, inference_service(other, Settings(), bucket.url))  # of git
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
