"""The same controller over a real PostgreSQL (Debian: apt-get install postgresql)."""

import contextlib
import os
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from components.recsys.errors import StoreError
from components.recsys.settings import RetrainSettings
from monitoring.controller.database import open_database
from monitoring.controller.engine import Controller
from monitoring.controller.records import MANUAL, Block, Intent, State
from monitoring.controller.switches import Switches
from monitoring.controller.triggers import Triggers


class Server:
    """One PostgreSQL on a free port, in a folder of its own: it will not run as root."""

    def __init__(self) -> None:
        found = sorted(Path("/usr/lib/postgresql").glob("*/bin/postgres"), key=lambda path: int(path.parts[-3]))
        own = shutil.which("postgres")
        assert found or own, "PostgreSQL is not installed: apt-get install postgresql"
        self.programs = found[-1].parent if found else Path(str(own)).parent
        self.folder = Path(tempfile.mkdtemp(prefix="everloop-postgres-"))
        self.as_user = []
        if os.getuid() == 0:
            shutil.chown(self.folder, "postgres")
            self.as_user = ["runuser", "-u", "postgres", "--"]
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port = int(free.getsockname()[1])
        self._call("initdb", "--auth=trust", "--username=everloop", "--no-sync", "-D", "data")
        self.start()
        self.url = f"postgresql://everloop:not-checked@127.0.0.1:{self.port}/postgres"

    def start(self) -> None:
        options = f"-p {self.port} -c listen_addresses=127.0.0.1 -c unix_socket_directories= -c fsync=off"
        self._call("pg_ctl", "start", "-w", "-D", "data", "-l", "log", "-o", options)

    def stop(self) -> None:
        self._call("pg_ctl", "stop", "-m", "immediate", "-D", "data")

    def _call(self, program: str, *arguments: str) -> None:
        done = subprocess.run(
            [*self.as_user, str(self.programs / program), *arguments],
            cwd=self.folder,
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert done.returncode == 0, done.stdout + done.stderr


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    made = Server()
    yield made
    with contextlib.suppress(AssertionError):
        made.stop()
    shutil.rmtree(made.folder)


class Desk:
    def __init__(self, url: str, launcher: Any, **changes: Any) -> None:
        settings = RetrainSettings(**changes)
        self.database, self.launcher = open_database(url), launcher
        self.triggers, self.switches = Triggers(self.database, settings.cooldown_seconds), Switches(self.database)
        self.controller = Controller(self.triggers, self.switches, launcher, settings)


def test_decides_and_runs_as_over_sqlite_and_comes_back_after_the_server_was_gone(
    server: Server, table: Any, drift: Intent
) -> None:
    runs = table()
    desk, other = Desk(server.url, runs), Desk(server.url, runs)
    assert "not-checked" not in desk.database.url

    # One run of two wishes; the second controller stands by while the first is in its turn.
    desk.triggers.receive([drift, drift])
    with desk.database.alone() as mine, other.database.alone() as theirs:
        assert (mine, theirs) == (True, False)
        assert other.controller.turn() is False
    assert desk.controller.turn()
    (row,) = desk.triggers.latest()
    assert (row.state, row.copies, runs.starts) == (State.RUNNING, 2, [row.key])

    # Guards, folding and switches.
    other.triggers.receive([drift])
    other.controller.turn()
    other.triggers.receive([Intent("everloop", "quality", "alertmanager", 3, ({"labels": {"alertname": "Ü 漢"}},))])
    other.controller.turn()
    assert {row.reason for row in desk.triggers.latest()} == {"", "cooldown", "concurrency"}
    desk.switches.take([Block("b", "DataQualityFailed", {"a": "b"}, firing=True)])
    desk.switches.pause("the catalogue is being moved", "ada")
    assert (other.switches.read().paused, len(other.switches.read().blocks)) == ("the catalogue is being moved", 1)
    desk.switches.resume("ada", data_quality=True)
    assert (other.switches.read().paused, other.switches.read().blocks) == ("", ())

    # The server dies under both: a wish is refused, not lost, and everything goes on when it is back.
    server.stop()
    with pytest.raises(StoreError, match="database postgresql://127"):
        desk.triggers.receive([drift])
    with pytest.raises(StoreError):
        desk.controller.turn()
    server.start()
    runs.end(row.key)
    until = time.monotonic() + 10
    while desk.triggers.get(row.id).state is not State.PROMOTED and time.monotonic() < until:
        desk.controller.turn()
    assert desk.triggers.get(row.id).outcome == "promoted"
    desk.triggers.receive([Intent("everloop", MANUAL, "ada", note="by hand")])
    other.controller.turn()
    assert len(runs.starts) == 2
    assert desk.triggers.figures()[0] == 1
    for each in (desk, other):
        each.database.close()
