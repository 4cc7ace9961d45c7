"""What the client is answered and what the log keeps of it: both from one predictor's answer.

>>> answer, record = listed(wish, got, GatewaySettings(), routes, moment, draw=random.random)

Lists that no model made (`fallback`) are not explored: they are what they are with certainty, propensity 1.0.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from components.recsys.buckets import SHADOW
from components.recsys.predictions import Prediction, Shown
from components.recsys.routes import Routes
from serving.gateway.exploration import explore
from serving.gateway.forwarding import Wish

Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Moment:
    """The circumstances that a record keeps. time: ISO, of the loop's clock. failed: why the variant did not answer."""

    time: str
    latency_ms: float
    failed: str = ""


def listed(
    wish: Wish, got: Json, share: float, routes: Routes | None, moment: Moment, draw: Callable[[], float]
) -> tuple[Json, Prediction]:
    """The answer and its record. got: as the predictor gave it, changed on the way. share: of explored lists."""
    k, pool = wish.ask.k, got["items"]
    fallback = told_fallback(wish, got)
    items, explored = explore(pool, k, 0.0 if fallback else share, draw)
    answer: Json = {
        "request_id": wish.request_id,
        "release": got["release"],
        "variant": wish.variant,
        "items": items,
    }
    if explored:
        answer["explored"] = True
    if fallback:
        answer["fallback"] = fallback
    if len(items) < k:
        answer["note"] = f"{len(items)} of {k}: {got['note'].partition(': ')[2] or 'there are no more'}"
    return answer, record_of(wish, got, items, fallback, explored, routes, moment)


def shadowed(wish: Wish, got: Json, routes: Routes, moment: Moment) -> Prediction:
    """The record of a list that nobody saw. Its propensities say what they would have been."""
    items, _ = explore(got["items"], wish.ask.k, 0.0, lambda: 1.0)
    return record_of(wish, got, items, told_fallback(wish, got), False, routes, moment, SHADOW)


def record_of(
    wish: Wish,
    got: Json,
    items: list[Json],
    fallback: str,
    explored: bool,
    routes: Routes | None,
    moment: Moment,
    variant: str = "",
) -> Prediction:
    return Prediction(
        request_id=wish.request_id,
        time=moment.time,
        user=wish.person.key,
        release=got["release"],
        variant=variant or wish.variant,
        items=tuple([Shown(item["id"], item["score"], item["propensity"]) for item in items]),
        candidates=tuple([item["id"] for item in got["items"]]),
        k=wish.ask.k,
        latency_ms=moment.latency_ms,
        fallback=fallback,
        failed=moment.failed,
        rollout=routes.rollout if routes else "",
        epoch=routes.epoch if routes else 0,
        history=wish.person.events,
        explored=explored,
    )


def told_fallback(wish: Wish, got: Json) -> str:
    """The predictor's word, but for histories of which the gateway knows better why they are empty."""
    fallback: str = got.get("fallback", "")
    return wish.person.cause if fallback == "no_history" and wish.person.cause else fallback
