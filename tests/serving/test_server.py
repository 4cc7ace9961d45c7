"""The process: how it starts, what it says, how it ends."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time

import httpx
import pytest

from components.recsys.errors import InputError, StoreError
from serving.process import listen

PROGRAM = """
import sys
from components.recsys.settings import load_settings
from serving.server import main
sys.exit(main(sys.argv[1], load_settings(None, sys.argv[2:]), told=lambda text: print(text, flush=True)))
"""


class Process:
    def __init__(self, home, *overrides):
        settings = ["serving.port=0", "serving.poll_seconds=0.1", *overrides]
        self.process = subprocess.Popen(
            [sys.executable, "-c", PROGRAM, str(home), *settings],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.said = []
        self.url = ""
        for line in self.process.stdout:
            self.said.append(line.strip())
            found = re.search(r"answering at (http://\S+?)/v1", line)
            if found:
                self.url = found[1]
                break
        deadline = time.monotonic() + 20
        while self.url:
            try:
                httpx.get(self.url + "/healthz")
                return
            except httpx.TransportError:
                assert time.monotonic() < deadline
                time.sleep(0.05)

    def end(self, sign=signal.SIGTERM):
        self.process.send_signal(sign)
        out, err = self.process.communicate(timeout=30)
        return self.process.returncode, out, err


@pytest.fixture
def start(world):
    started = []

    def make(*overrides):
        started.append(Process(world.home, *overrides))
        return started[-1]

    yield make
    for one in started:
        if one.process.poll() is None:
            one.process.kill()
        one.process.communicate()


@pytest.mark.parametrize("sign", [signal.SIGTERM, signal.SIGINT])
def test_asked_to_stop_it_ends_with_exit_code_0(start, world, sign):
    server = start()
    assert server.said[0] == f"serving release {world.digest[:12]} (ease, 24 items)"
    code, out, err = server.end(sign)
    assert code == 0
    assert out.strip() == "stopped; all requests were answered"
    assert "Traceback" not in err


def test_stopping_fails_no_request(start):
    """Clients behind a balancer that asks for readiness, as Kubernetes does."""
    server = start("serving.drain_seconds=1")
    answers, failures, ready = [], [], threading.Event()
    ready.set()

    def balance():
        while httpx.get(server.url + "/readyz").status_code == 200:
            time.sleep(0.05)
        ready.clear()

    def ask():
        with httpx.Client(base_url=server.url) as http:
            while ready.is_set():
                try:
                    answer = http.post("/v1/models/everloop:predict", json={"instances": [{"user_id": "u2"}]})
                    answers.append(answer.status_code)
                except httpx.TransportError as error:
                    failures.append(error)

    threads = [threading.Thread(target=balance), *(threading.Thread(target=ask) for _ in range(4))]
    for thread in threads:
        thread.start()
    time.sleep(0.5)
    code, _, _ = server.end()
    for thread in threads:
        thread.join()
    assert code == 0
    assert len(answers) > 10
    assert set(answers) == {200}
    assert not failures


def test_while_it_drains_it_answers_and_says_not_ready(start):
    server = start("serving.drain_seconds=3")
    server.process.send_signal(signal.SIGTERM)
    deadline = time.monotonic() + 2.5
    while httpx.get(server.url + "/readyz").status_code != 503:
        assert time.monotonic() < deadline
    assert "about to stop" in httpx.get(server.url + "/v2/health/ready").json()["error"]
    assert httpx.get(server.url + "/v2/health/live").status_code == 200
    answer = httpx.post(server.url + "/v1/models/everloop:predict", json={"instances": [{"user_id": "u2"}]})
    assert answer.status_code == 200
    assert answer.headers["connection"] == "close"
    assert "everloop_ready 0.0" in httpx.get(server.url + "/metrics").text
    assert server.end()[0] == 0  # asked twice: at once


def test_a_request_half_sent_at_the_end_is_waited_for(start):
    server = start("serving.grace_seconds=5")
    body = b'{"instances": [{"user_id": "u2"}]}'
    address = (httpx.URL(server.url).host, httpx.URL(server.url).port)
    with socket.create_connection(address, timeout=10) as connection:
        connection.sendall(
            b"POST /v1/models/everloop:predict HTTP/1.1\r\nhost: x\r\ncontent-length: %d\r\n\r\n" % len(body)
            + body[:10]
        )
        time.sleep(0.2)
        server.process.send_signal(signal.SIGTERM)
        time.sleep(0.5)
        connection.sendall(body[10:])
        assert connection.recv(65536).startswith(b"HTTP/1.1 200 OK")
    server.process.communicate(timeout=20)
    assert server.process.returncode == 0


def test_a_client_that_never_finishes_cannot_hold_it_longer_than_the_grace(start):
    server = start("serving.grace_seconds=1", "serving.request_timeout_seconds=60")
    address = (httpx.URL(server.url).host, httpx.URL(server.url).port)
    with socket.create_connection(address, timeout=10) as connection:
        connection.sendall(b"POST /v1/models/everloop:predict HTTP/1.1\r\nhost: x\r\ncontent-length: 10\r\n\r\n1")
        time.sleep(0.2)
        started = time.monotonic()
        code, _, err = server.end()
    assert code == 0
    assert time.monotonic() - started < 8
    assert "Traceback" not in err


def test_every_log_line_is_one_json_object_and_requests_write_none(start):
    server = start()
    for _ in range(20):
        httpx.post(server.url + "/v1/models/everloop:predict", json={"instances": [{"user_id": "u2"}]})
        httpx.post(server.url + "/v1/models/everloop:predict", content=b"{")
    _, _, err = server.end()
    lines = [json.loads(line) for line in err.splitlines() if line.startswith("{")]
    assert [line["message"] for line in lines] == ["serving"]
    assert {"time", "message", "release"} <= set(lines[0])


def test_after_kill_9_the_next_server_has_everything(start):
    first = start()
    for film in range(5):
        sent = httpx.post(first.url + "/v1/events", json={"user_id": "newcomer", "item_id": f"f{film}"})
        assert sent.status_code == 200
    first.process.kill()
    first.process.wait()
    second = start()
    answer = httpx.post(
        second.url + "/v1/models/everloop:predict", json={"instances": [{"user_id": "newcomer", "k": 24}]}
    )
    listed = {item["id"] for item in answer.json()["predictions"][0]["items"]}
    assert listed == {f"f{film}" for film in range(5, 24)}


def test_a_port_that_is_taken_is_told_with_the_way_out():
    with listen("127.0.0.1", 0) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(InputError, match=rf"cannot listen on 127.0.0.1:{port} \(.*\); choose another with --port"):
            listen("127.0.0.1", port)
    with pytest.raises(InputError, match="cannot listen on no-such-host"):
        listen("no-such-host", 0)


def test_a_history_that_was_named_and_cannot_be_opened_stops_the_start(world, serve, tmp_path):
    (tmp_path / "file").write_text("")
    with (
        pytest.raises(StoreError, match="online history"),
        serve(world.home, history=f"sqlite://{tmp_path}/file/history.sqlite"),
    ):
        pass
    with pytest.raises(InputError, match="no online history for 'etcd://'"), serve(world.home, history="etcd://host"):
        pass


def test_it_answers_on_ipv6_too(world, serve):
    if not os.path.exists("/proc/net/if_inet6"):  # noqa: PTH110 - a machine without IPv6 cannot listen on it
        with pytest.raises(InputError), serve(world.home, host="::1"):
            pass
        return
    with serve(world.home, host="::1") as client:
        assert client.url.startswith("http://[::1]:")
        assert client.ids(user_id="u2")
