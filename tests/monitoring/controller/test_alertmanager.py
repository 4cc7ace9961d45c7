"""A real Alertmanager with our configuration calls the real webhook, and is killed and started in between."""

import contextlib
import json
import socket
import subprocess
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from components.recsys.home import Home
from components.recsys.settings import Settings
from monitoring.alertmanager.config import alertmanager_config
from monitoring.controller.server import database_of, running
from monitoring.controller.triggers import Triggers

SCALE = 0.002  # group_wait 60 ms
DRIFT = {"alertname": "DriftDetected", "model": "everloop", "action": "retrain", "reason": "drift"}


def until(condition: Callable[[], Any], seconds: float = 20) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not come to pass"
        time.sleep(0.02)


@contextlib.contextmanager
def alertmanager(program: str, folder: Path) -> Iterator[str]:
    """Its address; in the end it is killed, and forgets what it has not written."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        address = f"127.0.0.1:{free.getsockname()[1]}"
    command = [program, f"--config.file={folder / 'am.yml'}", f"--storage.path={folder / 'am'}"]
    command += [f"--web.listen-address={address}", "--cluster.listen-address="]
    with (folder / "am.log").open("a") as log, subprocess.Popen(command, stdout=log, stderr=log) as process:
        try:
            until(lambda: _ready(address))
            yield address
        finally:
            process.kill()


def _ready(address: str) -> bool:
    with contextlib.suppress(OSError), urllib.request.urlopen(f"http://{address}/-/ready", timeout=1):
        return True
    return False


def fire(address: str, **labels: str) -> None:
    """As Prometheus does while a rule holds."""
    body = json.dumps([{"labels": {**DRIFT, **labels}, "annotations": {"summary": "it has drifted"}}]).encode()
    request = urllib.request.Request(f"http://{address}/api/v2/alerts", body, {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=5):
        pass


def test_alerts_over_restarts_of_alertmanager_and_of_the_controller_are_one_run(
    binary: Callable[[str], str], tmp_path: Path, table: Any
) -> None:
    (tmp_path / "token").write_text("secret\n")
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    settings = Settings.model_validate({"retrain": {"port": port, "token_file": str(tmp_path / "token")}})
    home, runs = Home(tmp_path / "home"), table()
    url = f"http://127.0.0.1:{port}/v1/alerts"
    (tmp_path / "am.yml").write_text(alertmanager_config(url, "", str(tmp_path / "token"), SCALE))
    program = binary("alertmanager")
    triggers = Triggers(database_of(home, settings), settings.retrain.cooldown_seconds)

    def copies() -> int:
        return sum(row.copies for row in triggers.latest(1_000))

    with alertmanager(program, tmp_path) as address:
        fire(address, feature="genres")  # while the controller is down: Alertmanager keeps trying
        with running(home, settings, runs):
            until(lambda: runs.starts)
            for number in range(20):
                fire(address, feature=f"price {number}")
            until(lambda: copies() >= 21)
    with alertmanager(program, tmp_path) as address, running(home, settings, runs):
        before = copies()
        fire(address, feature="genres")  # the same alert, with another startsAt
        until(lambda: copies() > before)
        until(lambda: not [row for row in triggers.latest() if row.state == "RECEIVED"])
    rows = triggers.latest(1_000)
    triggers.database.close()
    assert len(runs.starts) == 1
    assert {(row.state, row.reason) for row in rows} == {("RUNNING", ""), ("SUPPRESSED", "cooldown")}
    assert rows[0].evidence["alerts"][0]["fingerprint"]
