"""The test after each sync, against a gateway that answers as ours does, and against worse."""

import json
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from components.recsys.errors import InputError, Refused, StoreError
from pipelines.gitops.smoke import smoke
from serving.gateway.lastresort import NO_PREDICTOR

A = "a" * 64
LIST = {"request_id": "r", "release": A, "variant": "champion", "items": [{"id": "i17", "score": 1.0}]}
NOBODY = (503, {"error": "neither a predictor nor a release"})
ALONE = (200, {"predictions": [{**LIST, "fallback": NO_PREDICTOR}]})
GOOD = (200, {"predictions": [LIST]})
Answers = list[tuple[int, Any]]


@pytest.fixture
def gateway() -> Iterator[Callable[..., str]]:
    """answers: one after the other, the last one for good. champion: whom the console shows."""
    servers: list[ThreadingHTTPServer] = []

    def serve(answers: Answers, champion: str = "", console: bool = True) -> str:
        left = list(answers)

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                self.rfile.read(int(self.headers["Content-Length"]))
                self.say(*(left.pop(0) if len(left) > 1 else left[0]))

            def do_GET(self) -> None:
                variants = [{"variant": "champion", "release": champion}] if champion else []
                self.say(*((200, {"serving": {"variants": variants}}) if console else (404, {"error": "no"})))

            def say(self, status: int, value: Any) -> None:
                data = value if isinstance(value, bytes) else json.dumps(value).encode()
                self.send_response(status)
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            def log_message(self, *_: Any) -> None:
                """Nothing."""

        servers.append(ThreadingHTTPServer(("127.0.0.1", 0), Handler))
        threading.Thread(target=servers[-1].serve_forever, kwargs={"poll_interval": 0.01}).start()
        return f"http://127.0.0.1:{servers[-1].server_port}"

    yield serve
    for server in servers:
        server.shutdown()
        server.server_close()


def test_a_list_from_a_release_passes(gateway) -> None:
    found = smoke(gateway([GOOD]), A)
    assert (found.release, found.variant, found.items) == (A, "champion", ["i17"])


def test_what_a_predictor_gives_a_stranger_passes(gateway) -> None:
    assert smoke(gateway([(200, {"predictions": [{**LIST, "fallback": "unknown_user"}]})]), A).release == A


@pytest.mark.parametrize(("stable", "champion"), [(A, ""), ("", A)])
def test_without_a_list_it_fails_when_somebody_should_serve(gateway, stable, champion) -> None:
    with pytest.raises(Refused, match=r"gives no list \(status 503: neither a predictor.*although a{12} should serve"):
        smoke(gateway([NOBODY], champion), stable)


@pytest.mark.parametrize("console", [True, False])
def test_without_a_list_it_passes_where_nobody_should_serve(gateway, console) -> None:
    assert smoke(gateway([NOBODY], console=console)).release == ""


def test_the_gateways_own_list_is_no_pass(gateway) -> None:
    with pytest.raises(Refused, match="no predictor answers"):
        smoke(gateway([ALONE], A))


def test_it_waits_for_what_comes_true(gateway, monkeypatch) -> None:
    monkeypatch.setattr("pipelines.gitops.smoke.PAUSE_SECONDS", 0.01)
    assert smoke(gateway([NOBODY, (500, b"oops"), ALONE, GOOD]), A, wait_seconds=20).release == A


@pytest.mark.parametrize(
    "answer",
    [(200, {}), (200, b"<html>"), (200, []), (200, {"predictions": [LIST, LIST]}), (200, {"predictions": [3]})],
)
def test_what_is_no_list_is_no_pass(gateway, answer) -> None:
    with pytest.raises(Refused, match="no gateway of Everloop"):
        smoke(gateway([answer]), A)


def test_an_empty_list_is_no_pass(gateway) -> None:
    with pytest.raises(Refused, match="empty list"):
        smoke(gateway([(200, {"predictions": [{**LIST, "items": []}]})]), A)


def test_nobody_there_is_a_fault_of_the_machine(gateway) -> None:
    with pytest.raises(StoreError, match="does not answer"):
        smoke("http://127.0.0.1:9", A)
    with pytest.raises(InputError, match="http://HOST"):
        smoke("everloop-gateway", A)
