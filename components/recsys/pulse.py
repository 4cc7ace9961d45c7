"""Whether a part still turns, and its metrics: a small HTTP server for parts that answer nobody else.

>>> pulse = Pulse(most_seconds=300)
>>> with answering(make_wsgi_app(registry), pulse, "127.0.0.1", 8091) as url:
...     pulse.beat()                    # at every turn

`/healthz` says 503 once the last beat is older than `most_seconds`: the part hangs, and a new process will do better. A
store that cannot be reached is no such case: turns go on and say so. Every other path is the metrics.
"""

import contextlib
import json
import socket
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from socketserver import TCPServer, ThreadingMixIn
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer

Application = Callable[..., Iterable[bytes]]


class Pulse:
    """most_seconds: the longest that a turn may take."""

    def __init__(self, most_seconds: float, clock: Callable[[], float] = time.monotonic) -> None:
        self.most_seconds, self.clock = most_seconds, clock
        self.last = clock()

    def beat(self) -> None:
        self.last = self.clock()

    def trouble(self) -> str:
        """A sentence, or "" while it turns."""
        age = self.clock() - self.last
        return "" if age <= self.most_seconds else f"the last turn began {age:.0f} s ago; it hangs"


class Server(ThreadingMixIn, WSGIServer):
    """A thread a connection, so that a slow client holds up nobody."""

    daemon_threads = True
    request_queue_size = 64

    def __init__(self, host: str, port: int) -> None:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
        self.address_family = found[0]
        super().__init__((host, port), Quiet)

    def server_bind(self) -> None:
        """Without asking a name server who we are, as the base class does."""
        TCPServer.server_bind(self)
        self.server_name, self.server_port = str(self.server_address[0]), int(self.server_address[1])
        self.setup_environ()


class Quiet(WSGIRequestHandler):
    timeout = 10.0  # a client that says nothing for so long is left

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing: a kubelet asks every few seconds."""


@contextlib.contextmanager
def answering(metrics: Application, pulse: Pulse, host: str, port: int) -> Iterator[str]:
    """The URL, for as long as the block lasts. Raises OSError when the address is taken or not ours."""

    def application(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        if environ["PATH_INFO"] != "/healthz":
            return metrics(environ, start_response)
        trouble = pulse.trouble()
        status = "503 Service Unavailable" if trouble else "200 OK"
        start_response(status, [("Content-Type", "application/json")])
        return [json.dumps({"error": trouble} if trouble else {"status": "alive"}).encode()]

    server = Server(host, port)
    server.set_app(application)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.1}, daemon=True, name="metrics")
    thread.start()
    try:
        yield f"http://{f'[{host}]' if ':' in host else host}:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
