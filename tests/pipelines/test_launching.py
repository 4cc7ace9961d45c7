"""Runs that the controller starts: one for each key, whatever dies in between, here and on Kubeflow."""

import json
import os
import signal
import time
from pathlib import Path
from typing import Any

import pytest

from components.recsys.errors import NotFound, StoreError
from components.recsys.home import Home
from components.recsys.predictions import segment
from components.recsys.settings import Settings
from monitoring.controller.launcher import Progress
from pipelines import submit as submitting
from pipelines.kubeflow import Kubeflow
from pipelines.launching import KubeflowLauncher, LocalLauncher, NewFeedback

KEY = "everloop-drift-82058"


def local(folder: Path, script: str) -> LocalLauncher:
    """A run that leaves a line in `ran` and goes on as the script says."""
    return LocalLauncher(Home(folder), command=["/bin/sh", "-c", f"echo ran >> {folder}/ran; {script}"])


def ended(launcher: Any, seconds: float = 10) -> Any:
    until = time.monotonic() + seconds
    while (progress := launcher.state(KEY)).state == "running":
        assert time.monotonic() < until, "the run did not end"
        time.sleep(0.01)
    return progress


def process_of(folder: Path) -> int:
    """The run's number, as soon as it has begun."""
    pid, until = folder / "controller" / "runs" / KEY / "pid", time.monotonic() + 10
    while not pid.exists():
        assert time.monotonic() < until
        time.sleep(0.01)
    return int(pid.read_text())


def runs(folder: Path) -> int:
    return len((folder / "ran").read_text().splitlines())


def test_a_key_that_was_never_submitted_has_no_run(tmp_path: Path) -> None:
    assert local(tmp_path, "true").find(KEY) is None


def test_a_run_tells_its_outcome_and_why_it_was_started(tmp_path: Path) -> None:
    answer = '{"outcome": "approved", "release": "9f2c", "reasons": ["beats the champion", "harms nobody"]}'
    launcher = local(tmp_path, f"echo working >&2; echo '{answer}'")
    assert launcher.submit(KEY, {"asked_by": "alertmanager"}) == KEY
    assert ended(launcher) == Progress("succeeded", "approved", "9f2c", "beats the champion")
    folder = tmp_path / "controller" / "runs" / KEY
    assert json.loads((folder / "request.json").read_text())["asked_by"] == "alertmanager"
    assert (folder / "log").read_text() == "working\n"


def test_submitting_again_while_it_runs_or_after_it_ended_finds_the_same_run(tmp_path: Path) -> None:
    launcher = local(tmp_path, f'while [ ! -e {tmp_path}/go ]; do sleep 0.01; done; echo \'{{"outcome": "promoted"}}\'')
    launcher.submit(KEY, {})
    other = local(tmp_path, 'echo \'{"outcome": "another"}\'')  # a controller started anew
    assert (other.find(KEY), other.submit(KEY, {}), other.state(KEY).state) == (KEY, KEY, "running")
    (tmp_path / "go").touch()
    assert ended(launcher).outcome == "promoted"
    other.submit(KEY, {})
    assert (other.state(KEY).outcome, runs(tmp_path)) == ("promoted", 1)


def test_a_run_outlives_the_controller_that_started_it(tmp_path: Path) -> None:
    child = os.fork()
    if child == 0:
        try:
            local(tmp_path, 'sleep 0.3; echo \'{"outcome": "promoted"}\'').submit(KEY, {})
        finally:
            os._exit(0)
    os.waitpid(child, 0)
    again = local(tmp_path, "true")
    assert again.find(KEY) == KEY
    assert ended(again).outcome == "promoted"
    assert runs(tmp_path) == 1


def test_a_run_that_was_killed_broke_off_and_is_not_started_again(tmp_path: Path) -> None:
    launcher = local(tmp_path, "echo half a way >&2; echo '{\"outco'; exec sleep 60")
    launcher.submit(KEY, {})
    process = process_of(tmp_path)
    while not (tmp_path / "controller" / "runs" / KEY / "result.json").read_text():
        time.sleep(0.01)
    assert launcher.state(KEY).state == "running"
    os.kill(process, signal.SIGKILL)
    progress = ended(launcher)
    assert progress.state == "failed"
    assert "broke off: half a way" in progress.reason
    launcher.submit(KEY, {})
    assert (launcher.state(KEY).state, runs(tmp_path)) == ("failed", 1)


def test_a_controller_that_died_before_the_process_was_made_leaves_nothing_in_the_way(tmp_path: Path) -> None:
    class Dying(LocalLauncher):
        def _start(self, folder: Path, key: str, lock: int) -> int:
            os._exit(9)

    child = os.fork()
    if child == 0:
        try:
            Dying(Home(tmp_path)).submit(KEY, {})
        finally:
            os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 9
    launcher = local(tmp_path, 'echo \'{"outcome": "promoted"}\'')
    assert launcher.find(KEY) is None
    launcher.submit(KEY, {})
    assert (ended(launcher).outcome, runs(tmp_path)) == ("promoted", 1)


def test_a_controller_that_died_just_after_it_finds_the_process(tmp_path: Path) -> None:
    class Dying(LocalLauncher):
        def _start(self, folder: Path, key: str, lock: int) -> int:
            super()._start(folder, key, lock)
            os._exit(9)

    command = ["/bin/sh", "-c", f'echo ran >> {tmp_path}/ran; sleep 0.2; echo \'{{"outcome": "promoted"}}\'']
    child = os.fork()
    if child == 0:
        try:
            Dying(Home(tmp_path), command=command).submit(KEY, {})
        finally:
            os._exit(1)
    os.waitpid(child, 0)
    launcher = LocalLauncher(Home(tmp_path), command=command)
    assert launcher.find(KEY) == KEY  # by its lock, also before it has written its number
    launcher.submit(KEY, {})
    assert (ended(launcher).outcome, runs(tmp_path)) == ("promoted", 1)


@pytest.mark.parametrize(
    ("answer", "stage", "refused"),
    [
        ('{"error": "prices are missing", "code": 1, "stage": "validate"}', "validate", True),
        ('{"error": "no space left", "code": 3, "stage": "validate"}', "validate", False),
        ('{"error": "no feedback", "code": 2}', "", False),
    ],
)
def test_a_failed_run_tells_its_step_and_whether_it_was_a_no(
    tmp_path: Path, answer: str, stage: str, refused: bool
) -> None:
    launcher = local(tmp_path, f"echo '{answer}'; exit 1")
    launcher.submit(KEY, {})
    progress = ended(launcher)
    assert (progress.state, progress.stage, progress.refused) == ("failed", stage, refused)
    assert progress.reason == json.loads(answer)["error"]


def test_a_command_that_is_not_there_is_a_run_that_failed(tmp_path: Path) -> None:
    launcher = LocalLauncher(Home(tmp_path), command=["/nonexistent/everloop"])
    launcher.submit(KEY, {})
    assert "broke off" in ended(launcher).reason


def test_a_key_does_not_lead_out_of_the_folder(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="no run's key"):
        local(tmp_path, "true").find("../../etc")


def test_a_folder_that_cannot_be_written_may_be_tried_again(tmp_path: Path) -> None:
    (tmp_path / "controller").write_text("a file")
    with pytest.raises(StoreError):
        local(tmp_path, "true").submit(KEY, {})


def test_the_data_gates_no_reaches_the_controller_as_one(home: Path, tmp_path: Path) -> None:
    broken = tmp_path / "broken.csv"
    broken.write_text("user_id,item_id,timestamp\n" + "".join(f"u{n},,{1_700_000_000 + n}\n" for n in range(500)))
    launcher = LocalLauncher(Home(home))
    launcher.command = tuple(part if part != "--feedback" else f"--events={broken}" for part in launcher.command)
    launcher.submit(KEY, {})
    progress = ended(launcher, seconds=120)
    assert (progress.state, progress.stage, progress.refused) == ("failed", "validate", True)


def test_new_feedback_is_counted_a_segment_once(tmp_path: Path) -> None:
    home = Home(tmp_path)
    assert NewFeedback(home).count() == 0
    home.store.write("log/events/2026-03-02/gateway-1.jsonl.gz", segment([b'{"event_id": "a"}', b'{"event_id": "b"}']))
    home.store.write("log/events/2026-03-02/gateway-2.jsonl.gz", b"not gzip")
    feedback = NewFeedback(home)
    assert feedback.count() == 2
    assert feedback.segments() == [f"{home.url}/log/events/2026-03-02/gateway-{number}.jsonl.gz" for number in (1, 2)]


@pytest.fixture
def kubeflow(endpoint: str, s3_url: str, monkeypatch: pytest.MonkeyPatch) -> KubeflowLauncher:
    monkeypatch.setattr(submitting, "SETTLE_SECONDS", 0.0)
    home = Home(s3_url)
    home.store.write("log/events/2026-03-02/gateway-1.jsonl.gz", segment([b'{"event_id": "a"}']))
    return KubeflowLauncher(
        lambda: Kubeflow(endpoint), home, Settings(), NewFeedback(home).sources, service_account="everloop-steps"
    )


def test_on_kubeflow_a_key_is_a_name_searched_for_before_one_is_made(fake: Any, kubeflow: KubeflowLauncher) -> None:
    assert kubeflow.find(KEY) is None
    handle = kubeflow.submit(KEY, {})
    assert (kubeflow.find(KEY), kubeflow.submit(KEY, {})) == (handle, handle)
    (run,) = fake.runs
    assert run["display_name"].startswith(f"{KEY}-")
    # Not the segments of now: what arrives until the run begins is learnt from too, and a day's would not fit.
    assert run["runtime_config"]["parameters"]["sources"] == {"events": ["feedback"]}
    assert run["service_account"] == "everloop-steps"


def test_on_kubeflow_more_data_or_a_bad_end_make_no_second_run_of_a_key(fake: Any, kubeflow: KubeflowLauncher) -> None:
    handle = kubeflow.submit(KEY, {})
    kubeflow.home.store.write("log/events/2026-03-02/gateway-2.jsonl.gz", segment([b'{"event_id": "b"}']))
    fake.runs[0]["state"] = "FAILED"
    assert kubeflow.submit(KEY, {}) == handle
    assert len(fake.runs) == 1


def test_on_kubeflow_an_answer_that_was_lost_is_found_again(fake: Any, kubeflow: KubeflowLauncher) -> None:
    fake.lose_answers = 1
    handle = kubeflow.submit(KEY, {})
    assert [run["run_id"] for run in fake.runs] == [handle]


def test_on_kubeflow_that_cannot_be_reached_it_is_asked_again_later(fake: Any, kubeflow: KubeflowLauncher) -> None:
    fake.fail_next = 9
    with pytest.raises(StoreError):
        kubeflow.find(KEY)
    fake.fail_next = 0
    assert kubeflow.find(KEY) is None


def test_on_kubeflow_a_run_is_followed_to_its_result_or_its_failed_step(fake: Any, kubeflow: KubeflowLauncher) -> None:
    handle = kubeflow.submit(KEY, {})
    run = fake.runs[0]
    run["state"] = "RUNNING"
    assert kubeflow.state(handle).state == "running"
    task = {"display_name": "validate", "state": "FAILED", "start_time": "2026-03-02T12:00:00Z"}
    run |= {"state": "FAILED", "run_details": {"task_details": [{**task, "child_tasks": [{"pod_name": "p"}]}]}}
    message = {"step": "validate", "event": "failed", "text": "prices are missing", "code": 1}
    fake.logs["p"] = f"everloop {json.dumps(message)}\n"
    progress = kubeflow.state(handle)
    assert (progress.state, progress.stage, progress.refused) == ("failed", "validate", True)
    assert "prices are missing" in progress.reason
    run["state"] = "SUCCEEDED"
    kubeflow.home.store.write(f"runs/{handle}/result.json", b'{"outcome": "approved"}')
    assert kubeflow.state(handle).outcome == "approved"
