"""Debian's Prometheus, which the tests compare with and do not pass without; and somebody who takes webhooks."""

import json
import shutil
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

BINARIES = {
    "promtool": ("promtool",),
    "prometheus": ("prometheus",),
    "amtool": ("amtool",),
    "alertmanager": ("prometheus-alertmanager", "alertmanager"),
}


@pytest.fixture(scope="session")
def binary() -> Callable[[str], str]:
    """The path of one of BINARIES."""

    def find(name: str) -> str:
        for command in BINARIES[name]:
            if path := shutil.which(command):
                return path
        raise AssertionError(f"{name} is not installed; run `bash .ci/packages`")

    return find


@pytest.fixture(scope="session")
def promtool(binary: Callable[[str], str]) -> Callable[..., str]:
    """Run promtool; its output, an AssertionError when it says no."""

    def run(*arguments: object) -> str:
        done = subprocess.run(
            [binary("promtool"), *map(str, arguments)], capture_output=True, text=True, timeout=120, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout + done.stderr

    return run


class Receiver:
    """A webhook. statuses: what it answers to the next calls, 200 when there are none."""

    def __init__(self) -> None:
        self.statuses: list[int] = []
        self.calls: list[dict[str, Any]] = []
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                receiver.calls.append({"path": self.path, "headers": dict(self.headers), "body": body})
                self.send_response(receiver.statuses.pop(0) if receiver.statuses else 200)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_: Any) -> None:
                """Nothing: calls are not what a test prints."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"

    def bodies(self, path: str = "") -> list[dict[str, Any]]:
        return [call["body"] for call in self.calls if call["path"].startswith(path)]

    def wait(self, path: str, count: int = 1, seconds: float = 20.0) -> list[dict[str, Any]]:
        end = time.monotonic() + seconds
        while len(self.bodies(path)) < count:
            assert time.monotonic() < end, f"{len(self.bodies(path))} of {count} calls at {path}"
            time.sleep(0.02)
        return self.bodies(path)


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    made = Receiver()
    thread = threading.Thread(target=made.server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    yield made
    made.server.shutdown()
    thread.join()
    made.server.server_close()
