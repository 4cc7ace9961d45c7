"""The HTTP side: a plain ASGI application, since every layer between the socket and the model costs rate.

>>> app = App(service)

Errors are `{"error": "one sentence"}`, as in KServe. Nothing that a client sends makes a 5xx; 503 says that no release
serves yet, that the server is about to stop, or that the online history cannot be written.
"""

import time
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

import orjson

from components.recsys.errors import EverloopError, InputError
from components.recsys.version import VERSION
from serving import v2
from serving.asks import read_asks, shortened
from serving.feedback import read_feedback
from serving.logs import log
from serving.service import NotReady, Service, model_facts

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Reply = tuple[int, bytes]
Handler = Callable[[Message, Receive], Awaitable[Reply]]

JSON = (b"content-type", b"application/json")
TEXT = (b"content-type", b"text/plain; version=0.0.4; charset=utf-8")
CLOSE = (b"connection", b"close")
METRICS = "/metrics"


class Rejected(EverloopError):
    """A request that HTTP itself has a status for."""

    def __init__(self, status: int, sentence: str, allow: str = "") -> None:
        super().__init__(sentence)
        self.status = status
        self.allow = allow


class Gone(Exception):
    """The client hung up before it had sent everything."""


class App:
    def __init__(self, service: Service) -> None:
        self.service, self.settings = service, service.settings
        self.measures = service.measures
        name = self.settings.name
        # path -> method -> (endpoint in metrics, handler)
        self.routes: dict[str, dict[str, tuple[str, Handler]]] = {
            f"/v1/models/{name}:predict": {"POST": ("v1_predict", self.predict)},
            "/v1/models": {"GET": ("v1_models", self.models)},
            f"/v1/models/{name}": {"GET": ("v1_model", self.model)},
            "/v1/events": {"POST": ("v1_events", self.events)},
            f"/v2/models/{name}/infer": {"POST": ("v2_infer", self.infer)},
            "/v2": {"GET": ("v2_server", self.server)},
            "/v2/health/live": {"GET": ("live", self.v2_live)},
            "/v2/health/ready": {"GET": ("ready", self.v2_ready)},
            "/v2/models": {"GET": ("v2_models", self.models)},
            f"/v2/models/{name}": {"GET": ("v2_model", self.v2_model)},
            f"/v2/models/{name}/ready": {"GET": ("ready", self.model)},
            "/healthz": {"GET": ("live", self.live)},
            "/readyz": {"GET": ("ready", self.readyz)},
            METRICS: {"GET": ("metrics", self.metrics)},
            "/": {"GET": ("live", self.live)},
        }

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
        headers = [
            TEXT if endpoint == "metrics" and status == 200 else JSON,
            (b"content-length", str(len(body)).encode()),
        ]
        if self.service.draining:
            headers.append(CLOSE)  # so that clients open their next connection elsewhere
        if allow:
            headers.append((b"allow", allow.encode()))
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": body})
        self.measures.answered(endpoint, status, time.perf_counter() - started)

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

    async def predict(self, scope: Message, receive: Receive) -> Reply:
        answers = await self.service.predict(read_asks(await self.read(scope, receive), self.settings))
        return 200, dumped({"predictions": answers})

    async def infer(self, scope: Message, receive: Receive) -> Reply:
        body = await self.read(scope, receive)
        asks = v2.read_tensors(body, self.settings)
        v2.wanted_outputs(body)
        return 200, dumped(v2.write_tensors(await self.service.predict(asks), body, self.settings.name))

    async def events(self, scope: Message, receive: Receive) -> Reply:
        try:
            events = read_feedback(await self.read(scope, receive), self.settings, time.time())
        except InputError:
            self.measures.events.labels(outcome="refused").inc()
            raise
        fresh = await self.service.take_feedback(events)
        return 200, dumped(
            {"accepted": sum(fresh), "duplicates": len(fresh) - sum(fresh), "event_ids": [e.event_id for e in events]}
        )

    async def models(self, scope: Message, receive: Receive) -> Reply:
        return 200, dumped({"models": [self.settings.name]})

    async def model(self, scope: Message, receive: Receive) -> Reply:
        self._be_ready()
        return 200, dumped({"name": self.settings.name, "ready": True, **model_facts(self.service.current())})

    async def server(self, scope: Message, receive: Receive) -> Reply:
        return 200, dumped({"name": "everloop", "version": VERSION, "extensions": []})

    async def v2_model(self, scope: Message, receive: Receive) -> Reply:
        return 200, dumped(v2.metadata(self.settings.name, self.service.current().digest))

    async def v2_live(self, scope: Message, receive: Receive) -> Reply:
        return 200, dumped({"live": True})

    async def v2_ready(self, scope: Message, receive: Receive) -> Reply:
        self._be_ready()
        return 200, dumped({"ready": True})

    async def live(self, scope: Message, receive: Receive) -> Reply:
        return 200, dumped({"status": "alive"})

    async def readyz(self, scope: Message, receive: Receive) -> Reply:
        self._be_ready()
        return 200, dumped({"status": "ready"})

    async def metrics(self, scope: Message, receive: Receive) -> Reply:
        return 200, self.measures.exposition()

    def _be_ready(self) -> None:
        """Raises NotReady, so that nobody sends requests here."""
        self.service.current()
        if self.service.draining:
            raise NotReady("this server is about to stop; ask another one")


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
