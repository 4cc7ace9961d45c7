"""Starting and ending the servers of the benchmark, each one process on a core of its own.

>>> with servers(home, release, histories) as running:
...     running["everloop"].port
"""

import contextlib
import os
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

OURS = "everloop"
NAMES = (OURS, "kserve", "fastapi", "kserve-quiet")
START_SECONDS = 60


@dataclass(frozen=True)
class Server:
    name: str
    port: int
    process: subprocess.Popen[bytes]

    @property
    def rss_mb(self) -> float:
        [line] = [
            one for one in Path(f"/proc/{self.process.pid}/status").read_text().splitlines() if one.startswith("VmRSS")
        ]
        return int(line.split()[1]) / 1024

    def cpu_seconds(self) -> float:
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def cores() -> tuple[set[int], set[int]]:
    """Those for servers and those for the load: apart where there are two."""
    own = sorted(os.sched_getaffinity(0))
    return ({own[0]}, set(own[1:])) if len(own) > 1 else (set(own), set(own))


@contextlib.contextmanager
def servers(home: Path, release: Path, histories: Path, logs: Path) -> Iterator[dict[str, Server]]:
    started: dict[str, Server] = {}
    try:
        for name in NAMES:
            port = free_port()
            peer = [sys.executable, "-m", "benchmarks.serving.peers", name, str(release), str(histories), str(port)]
            ours = [sys.executable, "-m", "pipelines.cli", "serve", "--home", str(home), "--port", str(port)]
            with (logs / f"{name}.log").open("wb") as log:
                process = subprocess.Popen(
                    ours if name == OURS else peer,
                    stdout=log,
                    stderr=log,
                    preexec_fn=lambda: os.sched_setaffinity(0, cores()[0]),
                )
            started[name] = Server(name, port, process)
        for server in started.values():
            wait_until_ready(server, logs)
        yield started
    finally:
        for server in started.values():
            server.process.terminate()
        for server in started.values():
            try:
                server.process.wait(15)
            except subprocess.TimeoutExpired:
                server.process.kill()
                server.process.wait()


def wait_until_ready(server: Server, logs: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    path = "/docs" if server.name == "fastapi" else "/v1/models/everloop"
    while True:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{server.port}{path}", timeout=2):
                return
        except OSError:
            if server.process.poll() is not None or time.monotonic() > deadline:
                said = (logs / f"{server.name}.log").read_text()[-2000:]
                raise SystemExit(f"the {server.name} server did not start:\n{said}") from None
            time.sleep(0.2)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
