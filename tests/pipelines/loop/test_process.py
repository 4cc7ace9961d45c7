"""Parts as processes: real ones, that answer, die and do not listen."""

import sys
import time
from pathlib import Path

import pytest

from components.recsys.errors import StoreError
from pipelines.loop.parts import Places, loop_parts
from pipelines.loop.process import Part

SERVER = """
import http.server, signal, sys
signal.signal(signal.SIGTERM, lambda *_: sys.exit(7))
http.server.HTTPServer(("127.0.0.1", int(sys.argv[1])), http.server.SimpleHTTPRequestHandler).serve_forever()
"""


def part(tmp_path: Path, code: str, *arguments: str, ready: str = "") -> Part:
    return Part("it", [sys.executable, "-c", code, *arguments], tmp_path / "logs" / "it.log", ready=ready)


@pytest.fixture
def server(tmp_path):
    port = Places.free().gateway
    made = part(tmp_path, SERVER, str(port), ready=f"http://127.0.0.1:{port}/")
    yield made
    made.stop()


def test_a_part_is_ready_when_it_answers_and_ends_as_it_is_told(server):
    server.start()
    server.wait_ready(20)
    assert server.alive
    assert server.stop() == 7
    assert not server.alive


def test_a_part_that_dies_is_started_again_but_not_at_once_when_it_keeps_dying(tmp_path):
    dying = part(tmp_path, "raise SystemExit(3)")
    dying.start()
    dying.process.wait()
    dying.patience = 0.0
    assert dying.tend()
    dying.process.wait()
    dying.patience = 60.0
    assert not dying.tend()
    assert dying.restarts == 1


def test_a_killed_part_comes_back_and_one_that_was_stopped_does_not(server):
    server.patience = 0.0
    server.start()
    server.wait_ready(20)
    first = server.pid
    server.kill()
    assert server.tend()
    server.wait_ready(20)
    assert server.pid != first
    server.stop()
    assert not server.tend()


def test_what_cannot_start_says_so_with_the_end_of_its_log(tmp_path):
    broken = part(tmp_path, "raise SystemExit('no such port')", ready="http://127.0.0.1:9/")
    broken.start()
    with pytest.raises(StoreError, match=r"it ended; its log .* ends: no such port"):
        broken.wait_ready(20)


def test_one_that_does_not_listen_to_sigterm_is_killed(tmp_path):
    deaf = part(
        tmp_path, "import signal, time; signal.signal(15, signal.SIG_IGN); print('deaf', flush=True); time.sleep(60)"
    )
    deaf.start()
    while "deaf" not in deaf.tail():
        time.sleep(0.02)
    assert deaf.stop(seconds=0.2) == -9


def test_ports_are_free_and_no_two_parts_share_one():
    places = Places.free()
    ports = [places.gateway, places.controller, places.monitor, places.rollout, places.prometheus, places.alertmanager]
    assert len(set(ports)) == len(ports)


def test_every_part_is_a_command_of_ours_with_the_home_and_the_settings(tmp_path):
    parts = loop_parts("/home", tmp_path / "settings.yaml", Places.free(), tmp_path, {})
    assert [one.name for one in parts] == ["rollout", "gateway", "monitor", "controller"]
    for one in parts:
        assert list(one.command[-4:]) == ["--home", "/home", "--settings", str(tmp_path / "settings.yaml")]


def test_a_part_is_asked_itself_and_not_by_way_of_a_proxy(server, monkeypatch):
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9/")
    monkeypatch.delenv("no_proxy", raising=False)
    monkeypatch.delenv("NO_PROXY", raising=False)
    server.start()
    server.wait_ready(20)
