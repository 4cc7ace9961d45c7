"""The HTTP/1.1 client: one server's kept connections.

>>> pool = Pool("http://127.0.0.1:41234")
>>> await pool.request("POST", "/v1/models/everloop:predict", body, seconds=1.0)
(200, b'{"predictions":[...]}')

Our own, since this is most of what the gateway does: a request costs 0.04 to 0.07 ms of processor here, 0.11 to 0.19 ms with
aiohttp, about 1 ms with httpx (uvloop, one or sixteen connections to a real predictor). httptools, which parses, is uvicorn's.
"""

import asyncio
import ssl
import time
from typing import Any
from urllib.parse import urlsplit

import httptools

IDLE_SECONDS = 30.0  # less than the 75 that our servers keep a connection, so that we close first
MOST_IDLE = 64
MOST_BODY = 32_000_000  # bytes of an answer: ten times our largest


class Failed(Exception):
    """No usable answer. reason: timeout, unreachable, status or invalid, as the prediction log says it."""

    def __init__(self, reason: str, sentence: str = "") -> None:
        super().__init__(f"{reason}: {sentence}" if sentence else reason)
        self.reason = reason


class Lost(Failed):
    """The connection ended. begun: whether a part of the answer had come."""

    def __init__(self, begun: bool, sentence: str) -> None:
        super().__init__("unreachable", sentence)
        self.begun = begun


class Exchange(asyncio.Protocol):
    """One connection; one request at a time. open_: where it is as long as it is one."""

    transport: asyncio.Transport

    def __init__(self, loop: asyncio.AbstractEventLoop, open_: "set[Exchange]") -> None:
        self.loop, self.open = loop, open_
        self.used = 0.0  # when it last answered
        self.reusable = True
        self.answer: asyncio.Future[tuple[int, bytes]] | None = None

    def connection_made(self, transport: Any) -> None:
        self.transport = transport
        self.open.add(self)

    def send(self, request: bytes) -> "asyncio.Future[tuple[int, bytes]]":
        """The status and the body of the answer, once it is whole. Raises Lost or Failed."""
        self.answer = self.loop.create_future()
        self.parser = httptools.HttpResponseParser(self)
        self.parts: list[bytes] = []
        self.size, self.begun = 0, False
        if self.transport.is_closing():
            self._fail(Lost(False, "the connection was closed"))
        else:
            self.transport.write(request)
        return self.answer

    def data_received(self, data: bytes) -> None:
        if self.answer is None or self.answer.done():
            self.close()  # nobody asked
            return
        self.begun = True
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserError as error:
            self._fail(Failed("invalid", f"not HTTP: {error}"))

    def on_body(self, body: bytes) -> None:
        self.size += len(body)
        if self.size > MOST_BODY:
            self._fail(Failed("invalid", f"the answer has more than {MOST_BODY} bytes"))
        else:
            self.parts.append(body)

    def on_message_complete(self) -> None:
        self.reusable = self.reusable and self.parser.should_keep_alive()
        self.used = time.monotonic()
        if self.answer is not None and not self.answer.done():
            self.answer.set_result((self.parser.get_status_code(), b"".join(self.parts)))

    def connection_lost(self, error: Exception | None) -> None:
        self.reusable = False
        self.open.discard(self)
        if self.answer is not None and not self.answer.done():
            self._fail(Lost(self.begun, str(error or "the connection was closed")))

    def close(self) -> None:
        self.reusable = False
        self.transport.abort()  # an answer still under way is not wanted

    def _fail(self, error: Failed) -> None:
        if self.answer is not None and not self.answer.done():
            self.answer.set_exception(error)
        self.close()


class Pool:
    """Connections to one server (its base URL), made when needed, kept when free."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        self.url, self.host, self.prefix = url, parts.hostname or "", parts.path.rstrip("/")
        self.secure = parts.scheme == "https"
        self.port = parts.port or (443 if self.secure else 80)
        self.authority = parts.netloc.rpartition("@")[2]
        self.idle: list[Exchange] = []
        self.open: set[Exchange] = set()
        self.retired = False  # nobody will ask again

    async def request(self, method: str, path: str, body: bytes, seconds: float) -> tuple[int, bytes]:
        """Status and body. Raises Failed. An answer that is not whole after `seconds` is not waited for."""
        head = (
            f"{method} {self.prefix}{path} HTTP/1.1\r\nhost: {self.authority}\r\n"
            f"content-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n"
        )
        try:
            async with asyncio.timeout(seconds):
                return await self._exchanged(head.encode() + body)
        except TimeoutError:
            raise Failed("timeout", f"{self.url} did not answer within {seconds:.3g} s") from None

    async def _exchanged(self, request: bytes) -> tuple[int, bytes]:
        while True:
            kept = self._kept()
            exchange = kept or await self._connected()
            try:
                answer = await exchange.send(request)
            except Lost as error:
                if kept and not error.begun:
                    continue  # it was closed while it lay idle: no word about the server yet
                raise
            except asyncio.CancelledError:
                exchange.close()
                raise
            if exchange.reusable and len(self.idle) < MOST_IDLE and not self.retired:
                self.idle.append(exchange)
            else:
                exchange.close()
            return answer

    def _kept(self) -> Exchange | None:
        """The connection used last, so that those too many grow old."""
        while self.idle:
            exchange = self.idle.pop()
            if exchange.reusable and time.monotonic() - exchange.used < IDLE_SECONDS:
                return exchange
            exchange.close()
        return None

    async def _connected(self) -> Exchange:
        loop = asyncio.get_running_loop()
        secure = ssl.create_default_context() if self.secure else None
        try:
            _, exchange = await loop.create_connection(
                lambda: Exchange(loop, self.open), self.host, self.port, ssl=secure
            )
        except OSError as error:
            raise Failed("unreachable", f"{self.url}: {error.strerror or error}") from None
        return exchange

    def retire(self) -> None:
        """Close what is free now and the rest once it has answered."""
        self.retired = True
        while self.idle:
            self.idle.pop().close()

    def close(self) -> None:
        """Also what is in flight: uvloop's loop waits for ever for a connection that nobody ends."""
        for exchange in list(self.open):
            exchange.close()
        self.idle.clear()
