import threading
import urllib.request
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from components.recsys.neighbours import NO_PROXY


class Hello(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(204)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Nothing."""


@pytest.fixture
def url():
    server = HTTPServer(("127.0.0.1", 0), Hello)
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def test_a_neighbour_is_asked_itself_where_everybody_else_goes_through_a_proxy(url, monkeypatch) -> None:
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9/")
    outside = urllib.request.build_opener()
    with pytest.raises(OSError, match="refused"):
        outside.open(url, timeout=2)
    with NO_PROXY.open(url, timeout=2) as answer:
        assert answer.status == 204
