"""A connection with guards: slow, endless, stalled and half-closed clients cost neither memory nor a place for long.

>>> uvicorn.Config(app, http=guarded(settings, measures))

uvicorn has no limit on the time or the size of a request's head. A deadline is a number that the sweep compares twice a
second, since a timer a request would cost every request.
"""

import asyncio
import re
import time
from typing import Any, Protocol

import orjson
from prometheus_client import Counter
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from components.recsys.settings import ServingSettings

MOST_HEAD = 65_536  # bytes of request line and headers, as most servers take
SWEEP_SECONDS = 0.5
LAST_CALL_SECONDS = 0.3
UPGRADE = re.compile(rb"\r\nupgrade:", re.IGNORECASE)


class CutOffs(Protocol):
    """Whoever counts connections that the guards ended."""

    cut_off: Counter


class Connection(HttpToolsProtocol):
    """began: when the request now arriving began, or the connection if none came yet; None while none is expected."""

    limit_seconds: float
    measures: CutOffs

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self.began: float | None = time.monotonic()
        self.head = 0  # bytes of a request whose headers are not complete; -1 while a body arrives
        self.unsent, self.unsent_since = 0, 0.0
        self.silent, self.leaving = True, False  # no request so far; no request after this one

    def data_received(self, data: bytes) -> None:
        if self.head == 0 and b"pgrade:" in data:
            data = without_upgrade(data)
        if self.head >= 0:
            self.head += len(data)
        super().data_received(data)
        if self.head > MOST_HEAD:
            self.cut_off(431, "large_headers", f"the request's headers are larger than {MOST_HEAD} bytes")

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self.began = time.monotonic()

    def on_headers_complete(self) -> None:
        super().on_headers_complete()
        self.head, self.silent = -1, False
        if self.leaving:
            self.cycle.keep_alive = False

    def on_message_complete(self) -> None:
        super().on_message_complete()
        self.began = None
        self.head = 0

    def eof_received(self) -> bool | None:  # type: ignore[override]
        """Who closes its half after a whole request still gets the answer; after half a request there is none."""
        if self.cycle is not None and not self.cycle.response_complete and not self.cycle.more_body:
            self.cycle.keep_alive = False
            return True
        return None

    def shutdown(self) -> None:
        """The server is about to stop. Who just came in may still say what they came for."""
        self.leaving = True
        if self.silent:
            self.loop.call_later(LAST_CALL_SECONDS, self._close_unless_asked)
        else:
            super().shutdown()

    def _close_unless_asked(self) -> None:
        if self.silent:
            self.transport.close()

    def send_400_response(self, msg: str) -> None:
        self.reply_and_close(400, "this is not a valid HTTP request")

    def sweep(self, now: float) -> None:
        """End what is over its time."""
        if self.transport.is_closing():
            return
        if self.began is not None and self.flow.read_paused:
            self.began = now  # it is we who do not read, until answers before it are taken
        if self.began is not None and now - self.began > self.limit_seconds:
            self.cut_off(408, "slow_request", f"the request was not complete within {self.limit_seconds:g} s")
            return
        unsent = self.transport.get_write_buffer_size()
        if not unsent or unsent != self.unsent:
            self.unsent, self.unsent_since = unsent, now
        elif now - self.unsent_since > self.limit_seconds:
            self.measures.cut_off.labels(reason="slow_reader").inc()
            self.transport.abort()

    def cut_off(self, status: int, reason: str, sentence: str) -> None:
        if self.transport.is_closing():
            return
        self.measures.cut_off.labels(reason=reason).inc()
        if self.cycle is not None and self.cycle.response_started and not self.cycle.response_complete:
            self.transport.close()  # an answer has begun; another would be read as part of it
        elif self.cycle is not None and self.cycle.response_complete and self.head < 0:
            self.transport.close()  # answered already (413), while the rest of the body was still coming
        else:
            self.reply_and_close(status, sentence)

    def reply_and_close(self, status: int, sentence: str) -> None:
        body = orjson.dumps({"error": sentence})
        head = b"content-type: application/json\r\ncontent-length: %d\r\nconnection: close\r\n\r\n" % len(body)
        self.transport.write(STATUS_LINE[status] + head + body)
        self.transport.close()


def without_upgrade(data: bytes) -> bytes:
    """A request whose wish for another protocol is overheard, as RFC 9110 7.8 allows.

    httptools would drop the body after it, and Java's client asks for h2c in every first request.
    """
    head, end, body = data.partition(b"\r\n\r\n")
    return UPGRADE.sub(b"\r\nx-upgrade:", head) + end + body


def guarded(settings: ServingSettings, measures: CutOffs) -> type[Connection]:
    """A Connection class with these limits; uvicorn makes one instance a connection."""
    return type(
        "GuardedConnection", (Connection,), {"limit_seconds": settings.request_timeout_seconds, "measures": measures}
    )


async def sweep(connections: set[Any]) -> None:
    """Look at all connections for ever."""
    while True:
        await asyncio.sleep(SWEEP_SECONDS)
        now = time.monotonic()
        for connection in list(connections):
            connection.sweep(now)
