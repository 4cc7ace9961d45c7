import json
import socket
import urllib.error
import urllib.request
from collections.abc import Callable, Iterable
from typing import Any

import pytest

from components.recsys.pulse import Pulse, answering


def metrics(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"everloop_up 1\n"]


def port_of(url: str) -> int:
    return int(url.rsplit(":", 1)[1])


def get(url: str) -> tuple[int, bytes]:
    try:
        with urllib.request.urlopen(url, timeout=5) as answer:
            return answer.status, answer.read()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read()


@pytest.mark.parametrize("host", ["127.0.0.1", "::1", "localhost"])
def test_a_part_that_turns_is_alive_and_its_metrics_can_be_read(host: str) -> None:
    with answering(metrics, Pulse(60), host, 0) as url:
        assert get(f"{url}/healthz") == (200, b'{"status": "alive"}')
        assert get(f"{url}/metrics") == (200, b"everloop_up 1\n")


def test_a_turn_that_takes_too_long_is_told_until_the_next_begins() -> None:
    now = [0.0]
    pulse = Pulse(300, clock=lambda: now[0])
    with answering(metrics, pulse, "127.0.0.1", 0) as url:
        now[0] = 300.0
        assert get(f"{url}/healthz")[0] == 200
        now[0] = 301.0
        status, body = get(f"{url}/healthz")
        assert (status, json.loads(body)["error"]) == (503, "the last turn began 301 s ago; it hangs")
        assert get(f"{url}/metrics")[0] == 200  # whoever looks into it wants the figures
        pulse.beat()
        assert get(f"{url}/healthz")[0] == 200


def test_a_client_that_says_nothing_holds_up_nobody() -> None:
    with answering(metrics, Pulse(60), "127.0.0.1", 0) as url, socket.create_connection(("127.0.0.1", port_of(url))):
        assert get(f"{url}/healthz")[0] == 200


def test_a_port_that_is_taken_is_an_error_of_the_system() -> None:
    with (
        answering(metrics, Pulse(60), "127.0.0.1", 0) as url,
        pytest.raises(OSError, match="in use"),
        answering(metrics, Pulse(60), "127.0.0.1", port_of(url)),
    ):
        pass
