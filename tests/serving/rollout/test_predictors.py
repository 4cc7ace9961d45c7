"""Real predictor processes: started, adopted, started again, ended."""

import json
import os
import signal
import subprocess
import sys
import time
import urllib.request

import pytest

from components.recsys.errors import InputError
from components.recsys.home import Home
from components.recsys.release import SHORT
from components.recsys.settings import RolloutSettings, ServingSettings, Settings
from serving.rollout.predictors import LocalPredictors, UrlPredictors, answers, open_predictors
from serving.rollout.processes import alive, birth_of, launch, writer_of


def settings(**rollout):
    return Settings(rollout=RolloutSettings(**rollout), serving=ServingSettings(grace_seconds=1))


def until(what, seconds=60):
    deadline = time.monotonic() + seconds
    while not (value := what()):
        assert time.monotonic() < deadline, "it never came"
        time.sleep(0.05)
    return value


@pytest.fixture
def predictors(world):
    made = []

    def make(**rollout):
        made.append(LocalPredictors(Home(world.home), settings(**rollout)))
        return made[-1]

    yield make
    for one in reversed(made):
        one.stop_all()


def record(world, digest):
    return json.loads((world.home / "online" / "predictors" / f"{digest[:SHORT]}.json").read_text())


def test_a_predictor_starts_answers_is_adopted_and_started_again(predictors, world):
    first = predictors()
    assert first.ensure(world.digest) is None
    assert first.condition(world.digest) == "starting"
    url = until(lambda: first.ensure(world.digest))
    with urllib.request.urlopen(f"{url}/v1/models/everloop") as answer:
        assert json.load(answer)["release"] == world.digest
    pid = record(world, world.digest)["pid"]
    assert os.getsid(pid) == pid  # a session of its own: nobody's end is its end

    second = predictors()  # an engine that comes after one that was killed
    assert second.ensure(world.digest) == url
    assert record(world, world.digest)["pid"] == pid
    assert second.restarts == 0

    (world.home / "online" / "predictors" / f"{world.digest[:SHORT]}.json").unlink()
    third = predictors()  # after one that was killed before it could write it down
    assert until(lambda: third.ensure(world.digest)) == url

    os.kill(pid, signal.SIGKILL)
    until(lambda: third.ensure(world.digest) is None and third.crashes(world.digest) == 1)
    assert third.condition(world.digest) == "crashed"
    again = until(lambda: third.ensure(world.digest))
    assert record(world, world.digest)["pid"] != pid
    assert third.restarts == 1

    third.release(in_use={world.digest}, warm=set())
    assert answers(again, "everloop", world.digest)
    pid = record(world, world.digest)["pid"]
    third.retire(world.digest)
    assert third.condition(world.digest) == "gone"
    until(lambda: not birth_of(pid), 20)


def test_a_record_of_another_process_with_the_same_pid_is_not_believed(predictors, world):
    folder = world.home / "online" / "predictors"
    folder.mkdir(parents=True)
    other = subprocess.Popen(["sleep", "60"])
    try:
        value = {
            "digest": world.digest,
            "pid": other.pid,
            "birth": "boot:1",
            "url": "http://127.0.0.1:9",
            "answered": 9.0,
        }
        (folder / f"{world.digest[:SHORT]}.json").write_text(json.dumps(value))
        one = predictors()
        assert one.ensure(world.digest) is None
        assert one.crashes(world.digest) == 1
        one.retire(world.digest)
        assert other.poll() is None
    finally:
        other.kill()
        other.wait()


def test_a_release_that_cannot_be_served_is_tried_less_and_less_often(world):
    one = LocalPredictors(Home(world.home), settings(), command=("false",))
    deadline = time.monotonic() + 20
    while one.crashes(world.digest) < 3:
        assert one.ensure(world.digest) is None
        assert time.monotonic() < deadline
        time.sleep(0.02)
    kept = one.known[world.digest]
    assert kept.again - time.time() > 1.5  # 0.5, 1, 2 seconds
    assert one.condition(world.digest) == "crashed"


def test_one_that_hangs_is_ended_and_started_again(world, monkeypatch):
    monkeypatch.setattr("serving.rollout.predictors.START_SECONDS", 0.3)
    one = LocalPredictors(Home(world.home), settings(), command=("sh", "-c", "sleep 60"))
    assert one.ensure(world.digest) is None
    pid = one.known[world.digest].pid
    until(lambda: one.ensure(world.digest) is None and one.crashes(world.digest) == 1, 10)
    until(lambda: not birth_of(pid), 5)
    one.stop_all()


def test_what_nobody_needs_is_ended_but_a_former_champion_stays_warm(world, monkeypatch):
    monkeypatch.setattr("serving.rollout.predictors.GRACE_SECONDS", 0.0)
    one = LocalPredictors(Home(world.home), settings(keep_seconds=60), command=("sh", "-c", "sleep 60"))
    for digest in ("a" * 64, "b" * 64, "c" * 64):
        one.ensure(digest)
    pids = {digest[0]: kept.pid for digest, kept in one.known.items()}
    one.release(in_use={"a" * 64}, warm={"b" * 64})
    assert set(one.known) == {"a" * 64, "b" * 64}
    until(lambda: one._reap() or not birth_of(pids["c"]), 5)
    assert birth_of(pids["b"])
    one.stop_all()
    assert not any(birth_of(pid) for pid in pids.values())


def test_processes_are_told_apart(tmp_path):
    process = launch([sys.executable, "-c", "import time; time.sleep(60)"], tmp_path / "x.out", tmp_path / "x.log")
    birth = birth_of(process.pid)
    assert alive(process.pid, birth)
    assert not alive(process.pid, birth + "0")
    assert not alive(process.pid, "")
    assert writer_of(tmp_path / "x.out") == process.pid
    process.kill()
    until(lambda: not birth_of(process.pid), 5)  # a zombie does not live
    process.wait()
    assert writer_of(tmp_path / "x.out") == 0


def test_predictors_elsewhere_are_asked_whether_they_hold_the_release(world, serve):
    with serve(world.home, model_dir=world.home / "releases" / world.digest) as client:
        there = UrlPredictors(settings(predictors="urls", predictor_url=client.url + "/"))
        assert there.ensure(world.digest) == client.url
        assert there.ensure("f" * 64) is None
        assert [one["state"] for one in there.facts()] == ["ready", "starting"]
    assert there.ensure(world.digest) is None
    assert UrlPredictors(settings(predictors="urls", predictor_url="http://x-{short}/{digest}")).url_of("a" * 64) == (
        f"http://x-{'a' * 12}/{'a' * 64}"
    )


def test_a_home_without_a_folder_needs_urls(s3_url):
    with pytest.raises(InputError, match=r"rollout\.predictors=urls"):
        open_predictors(Home(s3_url), settings())
    with pytest.raises(InputError, match="predictor_url"):
        open_predictors(Home(s3_url), settings(predictors="urls"))
