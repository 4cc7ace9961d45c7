"""What every server of ours does with HTTP: find the endpoint, read its JSON, answer mistakes with one sentence.

>>> class App(Endpoints):
...     def endpoints(self):
...         return {"/healthz": {"GET": ("live", self.live)}}

Errors are `{"error": "one sentence"}`, as in KServe. Nothing that a client sends makes a 5xx. A plain ASGI application,
since every layer between the socket and the work costs rate.
"""

import time
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from types import MappingProxyType
from typing import Any, Protocol

import orjson

from components.recsys.errors import EverloopError, InputError
from components.recsys.settings import ServingSettings
from serving.asks import shortened
from serving.logs import log

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Reply = tuple[int, bytes]
Handler = Callable[[Message, Receive], Awaitable[Reply]]
Routes = dict[str, dict[str, tuple[str, Handler]]]  # path -> method -> (endpoint in metrics, handler)

Headers = list[tuple[bytes, bytes]]

JSON: Headers = [(b"content-type", b"application/json")]
METRICS: Headers = [(b"content-type", b"text/plain; version=0.0.4; charset=utf-8")]
CLOSE = (b"connection", b"close")


class Rejected(EverloopError):
    """A request that HTTP itself has a status for."""

    def __init__(self, status: int, sentence: str, allow: str = "") -> None:
        super().__init__(sentence)
        self.status = status
        self.allow = allow


class Gone(Exception):
    """The client hung up before it had sent everything."""


class Counts(Protocol):
    """Whoever counts answers."""

    def answered(self, endpoint: str, status: int, seconds: float) -> None:
        """One answer."""


class Draining(Protocol):
    """What is served: it may be about to stop."""

    draining: bool

    def drain(self) -> None:
        """Say not ready, and go on answering until the server stops."""

    def leave(self) -> None:
        """Called in the event loop after the last answer: give back what lives in it."""


class Endpoints(ABC):
    """An ASGI application over the handlers that a subclass names. types: headers of endpoints that answer no JSON."""

    types: Mapping[str, Headers] = MappingProxyType({"metrics": METRICS})

    def __init__(self, settings: ServingSettings, served: Draining, counts: Counts) -> None:
        self.settings, self.served, self.counts = settings, served, counts
        self.routes = self.endpoints()

    @abstractmethod
    def endpoints(self) -> Routes:
        """Every path that answers."""

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        started = time.perf_counter()
        endpoint, allow = "none", ""
        try:
            endpoint, handler = self.route(scope["path"], scope["method"])
            status, body = await handler(scope, receive)
        except Gone:
            return
        except EverloopError as error:
            status, body = error.status, orjson.dumps({"error": str(error)})
            allow = getattr(error, "allow", "")
        except Exception as error:  # noqa: BLE001 - the last resort, so that a mistake of ours is an answer and not a broken connection
            log("a request failed by our mistake", endpoint=endpoint, error=f"{type(error).__name__}: {error}")
            status, body = 500, orjson.dumps({"error": "this server made a mistake; its log says more"})
        headers = [*(self.types.get(endpoint, JSON) if status == 200 else JSON)]
        headers.append((b"content-length", str(len(body)).encode()))
        if self.served.draining:
            headers.append(CLOSE)  # so that clients open their next connection elsewhere
        if allow:
            headers.append((b"allow", allow.encode()))
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": body})
        self.counts.answered(endpoint, status, time.perf_counter() - started)

    def route(self, path: str, method: str) -> tuple[str, Handler]:
        """Raises Rejected with 404 or 405."""
        methods = self.routes.get(path)
        if methods is None:
            raise Rejected(404, self._nothing_at(path))
        found = methods.get("GET" if method == "HEAD" else method)
        if found is None:
            allow = ", ".join(methods)
            raise Rejected(405, f"{shortened(path)} takes {allow}, not {shortened(method)}", allow)
        return found

    def _nothing_at(self, path: str) -> str:
        for beginning in ("/v1/models/", "/v2/models/"):
            if path.startswith(beginning):
                other = path[len(beginning) :].split(":")[0].split("/")[0]
                if other != self.settings.name:
                    return f"there is no model '{shortened(other)}'; this server has '{self.settings.name}'"
        return f"there is nothing at {shortened(path)}; lists are at POST /v1/models/{self.settings.name}:predict"

    async def read(self, scope: Message, receive: Receive) -> Any:
        """The request's JSON. Raises Rejected (413, 415), InputError, Gone."""
        limit = self.settings.max_body_bytes
        for name, value in scope["headers"]:
            if name == b"content-type":
                check_type(value)
            elif name == b"content-length" and int(value) > limit:
                raise Rejected(
                    413, f"the body has {int(value)} bytes; at most {limit} are taken, so send fewer lists at once"
                )
            elif name == b"content-encoding" and value != b"identity":
                raise Rejected(415, "compressed bodies are not taken; send plain JSON")
        message = await receive()
        body: bytes = message.get("body", b"")
        if message.get("more_body"):
            parts, size = [body], len(body)
            while message.get("more_body"):
                message = await receive()
                part: bytes = message.get("body", b"")
                size += len(part)
                if size > limit:
                    raise Rejected(
                        413, f"the body has more than {limit} bytes, which is the most taken; send fewer lists at once"
                    )
                parts.append(part)
            body = b"".join(parts)
        if message["type"] == "http.disconnect":
            raise Gone
        if not body:
            raise InputError("the body is empty; send JSON")
        try:
            return orjson.loads(body)
        except orjson.JSONDecodeError as error:
            raise InputError(f"the body is not JSON: {error}") from None


def check_type(value: bytes) -> None:
    """No content type counts as JSON. Raises Rejected."""
    kind = value.split(b";")[0].strip().lower()
    if kind and kind != b"application/json" and not (kind.startswith(b"application/") and kind.endswith(b"+json")):
        given = shortened(kind.decode("latin-1"))
        raise Rejected(
            415, f"content type {given} is not taken; send JSON with the header content-type: application/json"
        )


def dumped(value: Any) -> bytes:
    return orjson.dumps(value, option=orjson.OPT_SERIALIZE_NUMPY)
