"""The webhook that Alertmanager calls, and the endpoints that Prometheus and people look at.

>>> app = make_app(Webhook(triggers, switches, settings))

POST /v1/alerts answers 200 only after the wish is stored, 503 when it could not be (Alertmanager tries again), 400 for what
can never succeed, 401 without the right bearer token, 408 when the body does not come, 413 when it is too large.
Errors are `{"error": "one sentence"}`.
"""

import asyncio
import hmac
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from pathlib import Path

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from components.recsys.errors import EverloopError, InputError, StoreError
from components.recsys.settings import RetrainSettings
from monitoring.controller.alerts import read_notice
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
    """ready: says in a sentence what is wrong, or "". heard: called after something was stored."""

    triggers: Triggers
    switches: Switches
    settings: RetrainSettings
    models: Collection[str] = (MODEL,)
    measures: Measures = field(default_factory=Measures)
    ready: Callable[[], str] = lambda: ""
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

    def take(self, body: bytes) -> Json:
        """Store what a body asks. Raises InputError, StoreError."""
        notice = read_notice(body, self.models, MODEL)
        if notice.blocks:
            self.switches.take(notice.blocks)
        numbers = self.triggers.receive(notice.intents) if notice.intents else []
        for model, reason_class in notice.resolved:
            self.triggers.resolved(model, reason_class)
        if numbers:
            self.heard()
        accepted = sum(intent.copies for intent in notice.intents)
        return {"accepted": accepted, "triggers": numbers, "blocks": len(notice.blocks), "ignored": notice.ignored}


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
    async def alerts(request: Request) -> Response:
        try:
            await run_in_threadpool(webhook.check_token, request.headers.get("authorization", "").encode("latin-1"))
            body = await read_body(request, webhook.settings.max_body_bytes)
            answer = await run_in_threadpool(webhook.take, body)
        except ClientDisconnect:
            return Response(status_code=400)  # nobody reads it
        except EverloopError as error:
            webhook.measures.webhooks.labels(outcome=outcome_of(error)).inc()
            headers = {"WWW-Authenticate": "Bearer"} if error.status == 401 else {}
            return JSONResponse({"error": str(error)}, error.status, headers)
        webhook.measures.webhooks.labels(outcome="accepted").inc()
        return JSONResponse(answer)

    async def healthz(request: Request) -> Response:
        return JSONResponse({"status": "alive"})

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
