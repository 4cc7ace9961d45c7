"""Predictors on KServe that do not start: how often they fell, what they said, and what the engine makes of it."""

from collections.abc import Callable
from typing import Any

from components.recsys.home import Home
from components.recsys.release import releases_of
from components.recsys.settings import load_settings
from serving.kserve.inference_service import name_of
from serving.kserve.predictors import STUCK_SECONDS
from serving.rollout.engine import Engine
from tests.serving.kserve.predicting import ISVC, Clock, Made, soon, tell


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


def test_an_engine_takes_back_a_release_whose_pods_hold_another_one(
    made: Made, bucket: Home, server: Any, answering: tuple[str, str], world: Any, pods_of: Callable[..., None]
) -> None:
    """The whole way: approved, its InferenceService made, its pods refuse, the rollout ends with the pods' own words."""
    from components.recsys.ledger import Ledger

    digest, url = answering
    candidate = world.release(l2=50.0)
    for release in (digest, candidate):
        for path in (world.home / "releases" / release).iterdir():
            releases_of(bucket).write(f"{release}/{path.name}", path.read_bytes())
    ledger = Ledger(bucket)
    ledger.append("promote", digest, "the first")
    ledger.append("approve", candidate, "beats the champion")
    predictors = made()
    engine = Engine(bucket, load_settings(None, ["rollout.predictors=kserve"]), predictors)
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
