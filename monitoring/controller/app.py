"""The webhook that Alertmanager calls, and the endpoints that Prometheus and people look at.

>>> app = make_app(Webhook(triggers, switches, settings))

POST /v1/alerts answers 200 only after the wish is stored, 503 when it could not be (Alertmanager tries again), 400 for what
can never succeed, 401 without the right bearer token, 408 when the body does not come, 413 when it is too large.
Errors are `{"error": "one sentence"}`.
"""

import asyncio
import hmac
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from components.recsys.errors import EverloopError, InputError, StoreError
from components.recsys.settings import RetrainSettings
from monitoring.controller.alerts import Notice, read_notice
from monitoring.controller.measures import Measures
from monitoring.controller.records import MODEL, Json
from monitoring.controller.switches import Switches
from monitoring.controller.triggers import Triggers

BODY_SECONDS = 10.0


class Unauthorized(EverloopError):
    status = 401


class TooLarge(EverloopError):
    status = 413


class TooSlow(EverloopError):
    status = 408


@dataclass
class Webhook:
    """ready, hangs: say in a sentence what is wrong, or ""; only a new process mends the second.

    heard: called after something was stored."""

    triggers: Triggers
    switches: Switches
    settings: RetrainSettings
    models: Collection[str] = (MODEL,)
    measures: Measures = field(default_factory=Measures)
    ready: Callable[[], str] = lambda: ""
    hangs: Callable[[], str] = lambda: ""
    heard: Callable[[], None] = lambda: None

    def check_token(self, header: bytes) -> None:
        """Raises Unauthorized; StoreError when our own copy of the token cannot be read: then nobody comes in."""
        if not self.settings.token_file:
            return
        try:
            token = Path(self.settings.token_file).read_bytes().strip()  # each time: it is small, and may be rotated
        except OSError as error:
            raise StoreError(f"retrain.token_file cannot be read ({error.strerror})") from None
        if not token:
            raise StoreError("retrain.token_file is empty")
        if not hmac.compare_digest(header, b"Bearer " + token):
            raise Unauthorized("show the token of retrain.token_file: Authorization: Bearer ...")

    def read(self, body: bytes) -> Notice:
        """Raises InputError."""
        return read_notice(body, self.models, MODEL)

    def take(self, notices: Sequence[Notice]) -> list[Json]:
        """Store what several bodies ask, in one commit, and answer each. Raises StoreError."""
        blocks = [block for notice in notices for block in notice.blocks]
        intents = [intent for notice in notices for intent in notice.intents]
        resolved = dict.fromkeys(kind for notice in notices for kind in notice.resolved)
        if blocks:
            self.switches.take(blocks)
        numbers = iter(self.triggers.receive(intents) if intents else [])
        if resolved:
            self.triggers.resolved(list(resolved))
        if intents or blocks:
            self.heard()
        return [
            {
                "accepted": sum(intent.copies for intent in notice.intents),
                "triggers": [next(numbers) for _ in notice.intents],
                "blocks": len(notice.blocks),
                "ignored": notice.ignored,
            }
            for notice in notices
        ]


class Inbox:
    """Notices that arrive while others are being stored are stored together: a storm costs few commits."""

    def __init__(self, take: Callable[[Sequence[Notice]], list[Json]]) -> None:
        self.take = take
        self.waiting: list[tuple[Notice, asyncio.Future[Json]]] = []
        self.storing: asyncio.Task[None] | None = None

    async def put(self, notice: Notice) -> Json:
        """The answer, once it is stored. Raises StoreError."""
        answer: asyncio.Future[Json] = asyncio.get_running_loop().create_future()
        self.waiting.append((notice, answer))
        if self.storing is None or self.storing.done():
            self.storing = asyncio.create_task(self._store())
        return await answer

    async def _store(self) -> None:
        while self.waiting:
            batch, self.waiting = self.waiting, []
            try:
                answers = await run_in_threadpool(self.take, [notice for notice, _ in batch])
                for (_, answer), value in zip(batch, answers, strict=True):
                    if not answer.done():
                        answer.set_result(value)
            except Exception as error:  # noqa: BLE001 - whoever waits must hear of it, and the next batch be stored
                for _, answer in batch:
                    if not answer.done():
                        answer.set_exception(error)


async def read_body(request: Request, most: int) -> bytes:
    """Raises TooLarge, TooSlow."""
    parts, size = [], 0
    try:
        async with asyncio.timeout(BODY_SECONDS):
            async for part in request.stream():
                size += len(part)
                if size > most:
                    raise TooLarge(f"the body has more than {most} bytes (retrain.max_body_bytes)")
                parts.append(part)
    except TimeoutError:
        raise TooSlow(f"the body was not complete within {BODY_SECONDS:g} s") from None
    return b"".join(parts)


def make_app(webhook: Webhook) -> Starlette:
    inbox = Inbox(webhook.take)

    async def alerts(request: Request) -> Response:
        try:
            await run_in_threadpool(webhook.check_token, request.headers.get("authorization", "").encode("latin-1"))
            body = await read_body(request, webhook.settings.max_body_bytes)
            answer = await inbox.put(await run_in_threadpool(webhook.read, body))
        except ClientDisconnect:
            return Response(status_code=400)  # nobody reads it
        except EverloopError as error:
            webhook.measures.webhooks.labels(outcome=outcome_of(error)).inc()
            headers = {"WWW-Authenticate": "Bearer"} if error.status == 401 else {}
            return JSONResponse({"error": str(error)}, error.status, headers)
        webhook.measures.webhooks.labels(outcome="accepted").inc()
        return JSONResponse(answer)

    async def healthz(request: Request) -> Response:
        trouble = webhook.hangs()
        return JSONResponse({"error": trouble}, 503) if trouble else JSONResponse({"status": "alive"})

    async def readyz(request: Request) -> Response:
        trouble = webhook.ready()
        return JSONResponse({"error": trouble}, 503) if trouble else JSONResponse({"status": "ready"})

    async def metrics(request: Request) -> Response:
        return Response(webhook.measures.exposition(), media_type="text/plain; version=0.0.4")

    return Starlette(
        routes=[
            Route("/v1/alerts", alerts, methods=["POST"]),
            Route("/healthz", healthz),
            Route("/readyz", readyz),
            Route("/metrics", metrics),
        ]
    )


def outcome_of(error: EverloopError) -> str:
    names = {400: "bad", 401: "unauthorized", 408: "slow", 413: "large"}
    return names.get(error.status, "bad" if isinstance(error, InputError) else "unavailable")
