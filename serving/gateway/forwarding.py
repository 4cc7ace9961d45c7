"""Asks a variant's predictors for lists, and believes only answers that keep the contract.

>>> forwarder = Forwarder(ServingSettings(), timeout_seconds=1.0)
>>> await forwarder.lists(target, wishes)
[{'release': '9f2c...', 'items': [...]}, ...]

Several addresses of a target take turns, and the next is tried when one fails at once; all together have
`timeout_seconds`. Raises Failed with the reason that the prediction log has, or Denied where the predictor says 4xx.
"""

import asyncio
import itertools
import math
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import orjson

from components.recsys.routes import Routes, Target
from components.recsys.settings import ServingSettings
from serving.asks import MOST_ITEMS, Ask
from serving.batches import MOST_ROWS
from serving.gateway.breaker import Breaker
from serving.gateway.exchange import Failed, Pool
from serving.gateway.people import Person

Json = dict[str, Any]
FRAME = len(b'{"instances":[]}')


class Denied(Failed):
    """The predictor refused the request itself (4xx); the sentence is its own."""

    def __init__(self, sentence: str) -> None:
        super().__init__("status", sentence)
        self.sentence = sentence


@dataclass(slots=True)
class Wish:
    """One list to be got. key: pseudonym. wide: items asked of the predictor, the pool of exploration with them."""

    request_id: str
    ask: Ask
    person: Person
    variant: str
    wide: int


class Forwarder:
    def __init__(self, settings: ServingSettings, timeout_seconds: float) -> None:
        self.settings, self.timeout_seconds = settings, timeout_seconds
        self.path = f"/v1/models/{settings.name}:predict"
        self.pools: dict[str, Pool] = {}
        self.breakers: dict[str, Breaker] = {}
        self.turns = itertools.count()

    async def lists(self, target: Target | None, wishes: Sequence[Wish]) -> list[Json]:
        """An answer for each wish, all from this target. Raises Failed."""
        if target is None or not target.urls:
            raise Failed("unreachable", "the routes name no predictor")
        bodies = list(self._bodies(wishes))
        if len(bodies) == 1:
            return await self._asked(target, *bodies[0])
        tasks = [asyncio.ensure_future(self._asked(target, body, some)) for body, some in bodies]
        try:
            return [answer for answers in await asyncio.gather(*tasks) for answer in answers]
        finally:
            for task in tasks:
                task.cancel()  # where one failed the others are not wanted

    async def ready(self, target: Target) -> bool:
        """Whether one of the target's predictors says that it is."""
        for url in target.urls:
            try:
                status, _ = await self._pool(url).request("GET", "/readyz", b"", self.timeout_seconds)
            except Failed:
                continue
            if status == 200:
                return True
        return False

    def keep(self, routes: Routes) -> None:
        """Forget the addresses that these routes no longer name: predictors come and go on new ports for years."""
        named = {url for target in (routes.champion, routes.candidate) if target for url in target.urls}
        for url in self.pools.keys() - named:
            self.pools.pop(url).retire()
        for url in self.breakers.keys() - named:
            del self.breakers[url]

    def states(self) -> dict[str, str]:
        """Of each address that fails just now, the reason."""
        return {url: breaker.reason for url, breaker in self.breakers.items() if breaker.open}

    def close(self) -> None:
        for pool in self.pools.values():
            pool.close()

    async def _asked(self, target: Target, body: bytes, wishes: Sequence[Wish]) -> list[Json]:
        deadline = time.monotonic() + self.timeout_seconds
        first, count = next(self.turns), len(target.urls)
        failure = Failed("unreachable")
        for turn in range(count):
            url = target.urls[(first + turn) % count]
            breaker = self.breakers.get(url)
            if breaker is None:
                breaker = self.breakers[url] = Breaker()
            now = time.monotonic()
            if not breaker.allows(now):
                failure = Failed(breaker.reason, f"{url} failed {breaker.failures} times in a row and is left alone")
                continue
            try:
                status, raw = await self._pool(url).request("POST", self.path, body, max(deadline - now, 0.001))
                answers = read_answers(status, raw, target, wishes)
            except Denied:
                breaker.succeeded()  # it is the request that was wrong, so no client can talk a predictor down
                raise
            except Failed as error:
                breaker.failed(error.reason, time.monotonic())
                failure = error
            else:
                breaker.succeeded()
                return answers
        raise failure

    def _pool(self, url: str) -> Pool:
        pool = self.pools.get(url)
        if pool is None:
            pool = self.pools[url] = Pool(url)
        return pool

    def _bodies(self, wishes: Sequence[Wish]) -> Iterator[tuple[bytes, Sequence[Wish]]]:
        """Requests within the predictor's limits: histories make them larger than what our client sent."""
        room = self.settings.max_body_bytes - FRAME
        rows = min(MOST_ROWS, self.settings.max_instances)
        parts: list[bytes] = []
        size, items, start = 0, 0, 0
        for index, wish in enumerate(wishes):
            part = instance_of(wish, room)
            full = size + len(part) + 1 > room or len(parts) == rows or items + wish.wide > MOST_ITEMS
            if parts and full:
                yield b'{"instances":[' + b",".join(parts) + b"]}", wishes[start:index]
                parts, size, items, start = [], 0, 0, index
            parts.append(part)
            size += len(part) + 1
            items += wish.wide
        yield b'{"instances":[' + b",".join(parts) + b"]}", wishes[start:]


def instance_of(wish: Wish, room: int) -> bytes:
    """The ask as a predictor reads it: with the history in it, and without the user, who is none of its business.

    Of a history that does not fit into `room` bytes the newest part is sent.
    """
    ask, history = wish.ask, wish.person.history
    instance: Json = {"k": wish.wide, "history": orjson.Fragment(history)}
    if ask.genres:
        instance["context"] = {"genres": ask.genres}
    filters: Json = {}
    if not ask.drop_seen:
        filters["seen"] = False
    if ask.exclude:
        filters["exclude"] = ask.exclude
    if ask.where:
        filters["where"] = ask.where
    if filters:
        instance["filters"] = filters
    part = orjson.dumps(instance)
    while len(part) > room and len(history) > 2:
        events = orjson.loads(history)
        history = orjson.dumps(events[len(events) // 2 + 1 :])
        part = orjson.dumps({**instance, "history": orjson.Fragment(history)})
    return part


def read_answers(status: int, raw: bytes, target: Target, wishes: Sequence[Wish]) -> list[Json]:
    """The predictions of an answer. Raises Failed ("status", "invalid") or Denied."""
    if status != 200:
        if 400 <= status < 500:
            raise Denied(sentence_of(raw))
        raise Failed("status", f"status {status}")
    try:
        answers = orjson.loads(raw)["predictions"]
        if len(answers) != len(wishes):
            raise Failed("invalid", f"{len(answers)} lists for {len(wishes)}")
        for answer, wish in zip(answers, wishes, strict=True):
            check(answer, wish, target.release)
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise Failed("invalid", f"{type(error).__name__}: {error}") from None
    return list(answers)


def check(answer: Json, wish: Wish, release: str) -> None:
    """Raises Failed, or whatever comes of a wrong type, for a list that breaks the contract."""
    if answer["release"] != release:
        raise Failed("invalid", f"release {answer['release']!r:.80} answers where {release} should")
    items = answer["items"]
    ids = {item["id"] for item in items}
    if len(ids) != len(items) or len(items) > wish.wide:
        raise Failed("invalid", "items repeat, or are more than asked for")
    if len(items) < wish.wide and not isinstance(answer.get("note"), str):
        raise Failed("invalid", f"{len(items)} items of {wish.wide}, and no word why")
    for item in items:
        if type(item["id"]) is not str or not math.isfinite(item["score"]) or type(item["reason"]) is not str:
            raise Failed("invalid", "an item is not as promised")
    if not isinstance(answer.get("fallback", ""), str):
        raise Failed("invalid", "fallback is no text")


def sentence_of(raw: bytes) -> str:
    try:
        return str(orjson.loads(raw)["error"])
    except (ValueError, TypeError, KeyError):
        return "the predictor refused the request"
