"""`everloop controller ...` as people use it, with and without a controller that runs; and what `everloop status` says."""

import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from components.recsys.errors import InputError
from components.recsys.home import Home
from components.recsys.ledger import actor_here
from components.recsys.settings import Settings
from components.recsys.statuses import Statuses
from pipelines.commands import controller
from pipelines.commands.status import status
from pipelines.launching import KubeflowLauncher


@pytest.fixture
def say(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Callable[..., dict[str, Any]]:
    """A command of the controller on a home of the test's own, and its JSON."""

    def call(command: Callable[..., int], **options: Any) -> dict[str, Any]:
        capsys.readouterr()
        assert command(home=str(tmp_path), json=True, **options) == 0
        return dict(json.loads(capsys.readouterr().out))

    return call


def test_what_is_asked_while_no_controller_runs_is_kept_and_said_so(
    say: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    asked = say(controller.trigger, reason="a new catalogue")
    assert (asked["state"], asked["controller_alive"]) == ("RECEIVED", False)
    (row,) = say(controller.runs, all_=True)["runs"]
    assert (row["key"], row["evidence"]["note"]) == (asked["key"], "a new catalogue")
    assert say(controller.runs)["runs"] == []
    controller.trigger(reason="again", home=str(tmp_path))
    assert "no controller runs on this home" in capsys.readouterr().err


def test_a_pause_is_seen_by_everybody_until_somebody_resumes(
    say: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert say(controller.pause, reason="moving")["paused"] == "moving"
    assert say(controller.status)["paused"] == "moving"
    controller.status(home=str(tmp_path))
    assert "paused: moving" in capsys.readouterr().out
    assert say(controller.resume)["paused"] == ""
    assert say(controller.status)["paused"] == ""


def test_kubeflow_as_the_runner_needs_its_address() -> None:
    settings = Settings.model_validate({"retrain": {"runner": "kubeflow"}})
    with pytest.raises(InputError, match="KUBEFLOW_ENDPOINT"):
        controller.launcher_of(Home("unused"), settings, None, [], ("", "", ""))
    made = controller.launcher_of(Home("unused"), settings, None, [], ("http://127.0.0.1:9", "", ""))
    assert isinstance(made, KubeflowLauncher)


def test_a_controller_as_people_start_it_decides_what_they_ask_and_tells(
    say: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = [
        sys.executable,
        "-m",
        "pipelines.cli",
        "controller",
        "run",
        "--home",
        str(tmp_path),
        "--port",
        "0",
        "--json",
    ]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        url = json.loads(process.stdout.readline())["url"]
        until = time.monotonic() + 60
        while not say(controller.status)["alive"] and time.monotonic() < until:
            time.sleep(0.1)
        assert controller.trigger(reason="a new catalogue", home=str(tmp_path)) == 1
        shown = capsys.readouterr().out
        assert f"suppressed  by hand ({actor_here()}): a new catalogue" in shown
        assert "few events: " in shown
        assert "--force" in shown.splitlines()[-1]
        forced = say(controller.trigger, reason="nevertheless", force=True)
        row = ended(say, forced["trigger"])
        assert (row["state"], row["overridden"], row["reason"]) == ("FAILED", "few_events", "run")
        assert "no feedback that no run has learnt from yet" in row["detail"]
        assert Statuses(Home(tmp_path).store).read("controller").facts["url"] == url
        assert say(controller.status)["alive"]
    finally:
        process.send_signal(signal.SIGTERM)
        _, told = process.communicate(timeout=30)
    assert process.returncode == 0
    assert f"{row['key']} FAILED" in told

    said = say(status)
    assert list(said["parts"]) == ["controller"]
    assert said["controller"]["decisions"][0]["run"] == row["key"]
    status(home=str(tmp_path))
    shown = capsys.readouterr().out
    assert "controller alive" in shown
    assert f"by hand ({actor_here()}): nevertheless" in shown
    controller.status(home=str(tmp_path))
    assert f"by hand ({actor_here()}): a new catalogue" in capsys.readouterr().out


def ended(say: Any, number: int) -> dict[str, Any]:
    """A trigger when all is decided."""
    until = time.monotonic() + 60
    while time.monotonic() < until:
        row = next(row for row in say(controller.runs, all_=True)["runs"] if row["id"] == number)
        if row["ended"]:
            return dict(row)
        time.sleep(0.1)
    raise AssertionError(f"not decided: {row}")


def test_status_tells_which_parts_are_silent_and_nothing_of_those_that_never_were(
    say: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert say(status)["parts"] == {}
    store = Home(tmp_path).store
    Statuses(store).write("monitor", {"drift_sentence": "nothing drifts among 7 features"})
    store.write("status/gateway.json", b'{"time": "2026-01-01T00:00:00+00:00", "facts": {}}')
    value = say(status)
    assert {part: each["alive"] for part, each in value["parts"].items()} == {"gateway": False, "monitor": True}
    assert (value["champion"], value["controller"], value["rollout"]) == ("", None, None)
    status(home=str(tmp_path))
    shown = capsys.readouterr().out
    assert "gateway silent since 2026-01-01T00:00:00" in shown
    assert "nothing drifts among 7 features" in shown
