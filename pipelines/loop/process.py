"""One part of the loop as a process: started, watched, started again when it dies, stopped.

>>> part = Part("gateway", [sys.executable, "-m", "pipelines.cli", "gateway", ...], log, ready="http://127.0.0.1:8000/readyz")
>>> part.start(); part.wait_ready(20)

Each process has a session of its own, so that Ctrl-C reaches the supervisor alone, which then stops the parts in order.
"""

import contextlib
import os
import signal
import subprocess
import time
import urllib.error
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from components.recsys.errors import StoreError
from components.recsys.neighbours import NO_PROXY

MOST_PATIENCE = 30.0  # seconds between restarts of a part that keeps dying
STEADY_SECONDS = 20.0  # a part that lived this long is taken for well again
TAIL = 400  # characters of a log that an error shows


@dataclass
class Part:
    """ready: a URL that answers 200 when the part works."""

    name: str
    command: Sequence[str]
    log: Path
    ready: str = ""
    environment: Mapping[str, str] = field(default_factory=dict)
    restarts: int = 0
    process: "subprocess.Popen[bytes] | None" = None
    started: float = 0.0
    patience: float = 0.5
    wanted: bool = False

    def start(self) -> None:
        self.log.parent.mkdir(parents=True, exist_ok=True)
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                self.command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env={**os.environ, **self.environment},
                start_new_session=True,
            )
        self.started, self.wanted = time.monotonic(), True

    @property
    def pid(self) -> int:
        return self.process.pid if self.process else 0

    @property
    def alive(self) -> bool:
        return self.process is not None and self.process.poll() is None

    def wait_ready(self, seconds: float) -> None:
        """Raises StoreError with the end of the part's log when it dies or is not ready in time."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            if not self.alive:
                break
            if not self.ready or answers(self.ready):
                return
            time.sleep(0.05)
        how = "ended" if not self.alive else f"was not ready within {seconds:.0f} s"
        raise StoreError(f"{self.name} {how}; its log {self.log} ends: {self.tail() or '(nothing)'}")

    def tend(self) -> bool:
        """Start it again when it died, not too often; whether it did."""
        if not self.wanted or self.alive:
            if self.alive and time.monotonic() - self.started > STEADY_SECONDS:
                self.patience = 0.5
            return False
        if time.monotonic() - self.started < self.patience:
            return False
        self.patience = min(2 * self.patience, MOST_PATIENCE)
        self.start()
        self.restarts += 1  # after the start, so that whoever counts finds it alive
        return True

    def kill(self) -> None:
        """As a crash: no goodbye."""
        if self.process is not None:
            with contextlib.suppress(ProcessLookupError):
                self.process.kill()
            self.process.wait()

    def stop(self, seconds: float = 15.0) -> int | None:
        """SIGTERM, and SIGKILL for who does not listen; the exit code, None where it never ran."""
        self.wanted = False
        if self.process is None:
            return None
        with contextlib.suppress(ProcessLookupError):
            self.process.send_signal(signal.SIGTERM)
        try:
            return self.process.wait(timeout=seconds)
        except subprocess.TimeoutExpired:
            self.process.kill()
            return self.process.wait()

    def tail(self) -> str:
        try:
            return self.log.read_text(errors="replace")[-TAIL:].strip()
        except OSError:
            return ""


def answers(url: str, seconds: float = 1.0) -> bool:
    """Whether a URL answers 200."""
    try:
        with NO_PROXY.open(url, timeout=seconds) as answer:
            return bool(answer.status == 200)
    except (OSError, urllib.error.URLError, ValueError):
        return False
