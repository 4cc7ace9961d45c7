import subprocess
import sys

import pytest

from components.recsys import progress
from components.recsys.errors import Refused


def test_messages_can_be_read_back_from_among_other_output(capsys) -> None:
    with progress.reporting("ingest") as told:
        print("noise")
        told('100 "events" read\nin two lines')
    messages = [message for line in capsys.readouterr().out.splitlines() if (message := progress.read("    " + line))]
    assert [message["event"] for message in messages] == ["started", "told", "done"]
    assert messages[1]["text"] == '100 "events" read\nin two lines'


def test_a_failure_becomes_a_sentence_and_an_exit_code(capsys) -> None:
    with pytest.raises(SystemExit) as caught, progress.reporting("gate"):
        raise Refused("no")
    assert caught.value.code == 1
    assert progress.read(capsys.readouterr().out.splitlines()[-1]) == {
        "step": "gate",
        "event": "failed",
        "text": "no",
        "code": 1,
    }


@pytest.mark.parametrize("line", ["", "everloop", "everloop {broken", "everloop [1]", "hello everloop"])
def test_lines_that_are_no_messages_are_left_alone(line: str) -> None:
    assert progress.read(line) is None


def test_a_step_dies_with_its_runner() -> None:
    step = (
        "import os, time\nfrom components.recsys.progress import reporting\n"
        "with reporting('train'):\n    print(os.getpid(), flush=True)\n    time.sleep(60)\n"
    )
    runner = (
        "import subprocess, sys, time\n"
        f"child = subprocess.Popen([sys.executable, '-c', {step!r}], stdout=subprocess.PIPE, text=True)\n"
        "child.stdout.readline()\nprint(child.stdout.readline(), flush=True)\ntime.sleep(60)\n"
    )
    with subprocess.Popen([sys.executable, "-c", runner], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        pid = int(process.stdout.readline())
        process.kill()
        process.wait()
    assert _gone_within(pid, 10)


def _gone_within(pid: int, seconds: float) -> bool:
    import time
    from pathlib import Path

    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        status = Path(f"/proc/{pid}/stat")
        if not status.exists() or status.read_text().rpartition(")")[2].split()[0] == "Z":
            return True
        time.sleep(0.05)
    return False
