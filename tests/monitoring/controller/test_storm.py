"""A thousand copies of an alert while the controller is killed again and again: one run, and no copy is lost."""

import concurrent.futures
import http.client
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from components.recsys.home import Home
from components.recsys.settings import Settings
from monitoring.controller.server import database_of
from monitoring.controller.triggers import Triggers

COPIES, SENDERS, KILLS = 1_000, 20, 3
# A controller whose runs take a while and leave a line behind.
PROGRAM = """
import sys
from components.recsys.home import Home
from components.recsys.settings import load_settings
from monitoring.controller.server import main
from pipelines.launching import LocalLauncher
home, port = sys.argv[1:]
command = ["/bin/sh", "-c", f"echo ran >> {home}/ran; sleep 2; echo '{{\\"outcome\\": \\"promoted\\"}}'"]
settings = load_settings(None, [f"retrain.port={port}"])
sys.exit(main(Home(home), settings, LocalLauncher(Home(home), command=command), told=lambda text: None, ready=print))
"""


class Process:
    """The controller as a process of its own, always on the same port."""

    def __init__(self, home: Path, port: int) -> None:
        self.home, self.port = home, port
        self.start()

    def start(self) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-u", "-c", PROGRAM, str(self.home), str(self.port)], stdout=subprocess.PIPE
        )
        assert self.process.stdout is not None
        assert self.process.stdout.readline().startswith(b"http://")

    def end(self, how: int) -> int:
        self.process.send_signal(how)
        code = self.process.wait(timeout=30)
        assert self.process.stdout is not None
        self.process.stdout.close()
        return code


def post(port: int, body: bytes) -> int:
    """The status; 0 when nobody answers."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    try:
        connection.request("POST", "/v1/alerts", body)
        return connection.getresponse().status
    except (OSError, http.client.HTTPException):
        return 0
    finally:
        connection.close()


@pytest.fixture
def port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as free:
        return int(free.getsockname()[1])


def test_a_storm_over_kills_and_restarts_makes_one_run(
    tmp_path: Path, port: int, alert: Callable[..., Any], notice: Callable[..., bytes]
) -> None:
    controller = Process(tmp_path, port)
    body, sent = notice(alert()), threading.Semaphore(0)

    def send(_: int) -> int:
        """As Alertmanager does: again until it is taken. How often it was sent."""
        for attempt in range(1, 500):
            if post(port, body) == 200:
                sent.release()
                return attempt
            time.sleep(0.05)
        raise AssertionError("an alert was never taken")

    with concurrent.futures.ThreadPoolExecutor(SENDERS) as senders:
        waiting = [senders.submit(send, number) for number in range(COPIES)]
        for _ in range(KILLS):
            for _ in range(COPIES // (KILLS + 2)):
                assert sent.acquire(timeout=60)
            controller.end(signal.SIGKILL)
            controller.start()
        attempts = sum(each.result() for each in waiting)

    triggers = Triggers(database_of(Home(tmp_path), Settings()), 6 * 3600)
    until = time.monotonic() + 30
    while triggers.open() and time.monotonic() < until:
        time.sleep(0.05)
    rows = triggers.latest(1_000)
    triggers.database.close()
    assert controller.end(signal.SIGTERM) == 0
    assert (tmp_path / "ran").read_text() == "ran\n"
    assert [row.state for row in rows if row.admitted is not None] == ["PROMOTED"]
    assert {row.reason for row in rows} <= {"", "cooldown"}
    assert COPIES <= sum(row.copies for row in rows) <= attempts


def test_sigterm_while_a_run_is_under_way_ends_at_once_and_the_run_goes_on(
    tmp_path: Path, port: int, alert: Callable[..., Any], notice: Callable[..., bytes]
) -> None:
    controller = Process(tmp_path, port)
    assert post(port, notice(alert())) == 200
    until = time.monotonic() + 10
    while not (tmp_path / "ran").exists() and time.monotonic() < until:
        time.sleep(0.02)
    began = time.monotonic()
    assert controller.end(signal.SIGTERM) == 0
    assert time.monotonic() - began < 5
    time.sleep(2.5)  # nobody looks while the run ends
    controller.start()
    triggers = Triggers(database_of(Home(tmp_path), Settings()), 6 * 3600)
    while triggers.open() and time.monotonic() < until + 20:
        time.sleep(0.05)
    (row,) = triggers.latest()
    triggers.database.close()
    controller.end(signal.SIGTERM)
    assert (row.state, (tmp_path / "ran").read_text()) == ("PROMOTED", "ran\n")
