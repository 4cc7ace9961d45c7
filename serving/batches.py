"""Lists that are asked for at the same moment are scored together: half the work a list, and nobody waits for anybody.

>>> batches = Batches()
>>> await batches.answer(predictor, [Prepared(Ask(user="42"), past)])
[{'request_id': '5f0c...', ...}]

What arrived in one turn of the event loop is one batch; a request that comes alone is answered alone, at once.
"""

import asyncio
from collections import deque
from collections.abc import Sequence
from typing import Any

from serving.predictor import Predictor, Prepared

Json = dict[str, Any]
MOST_ROWS = 64  # more together save nothing further, and others would wait for them
MOST_CELLS = 8_000_000  # rows times items scored at once: 32 MB

Waiting = tuple[Predictor, Sequence[Prepared], "asyncio.Future[list[Json]]"]


class Batches:
    def __init__(self) -> None:
        self.waiting: deque[Waiting] = deque()
        self.scheduled = False

    async def answer(self, predictor: Predictor, asks: Sequence[Prepared]) -> list[Json]:
        """In the order of the asks."""
        rows = most_rows(predictor)
        answers: list[Json] = []
        for start in range(0, len(asks), rows):
            answers += await self._put(predictor, asks[start : start + rows])
        return answers

    def _put(self, predictor: Predictor, asks: Sequence[Prepared]) -> "asyncio.Future[list[Json]]":
        loop = asyncio.get_running_loop()
        done: asyncio.Future[list[Json]] = loop.create_future()
        self.waiting.append((predictor, asks, done))
        self._schedule(loop)
        return done

    def _schedule(self, loop: asyncio.AbstractEventLoop) -> None:
        if not self.scheduled:
            self.scheduled = True
            loop.call_soon(self._answer_some)  # after all requests that were read in this turn

    def _answer_some(self) -> None:
        """One batch: the first in line and whoever fits beside it on the same release."""
        self.scheduled = False
        taken = [self.waiting.popleft()]
        predictor, asks = taken[0][0], list(taken[0][1])
        while (
            self.waiting
            and self.waiting[0][0] is predictor
            and len(asks) + len(self.waiting[0][1]) <= most_rows(predictor)
        ):
            taken.append(self.waiting.popleft())
            asks += taken[-1][1]
        if self.waiting:
            self._schedule(asyncio.get_running_loop())
        try:
            answers = iter(predictor.answers(asks))
        except Exception as error:  # noqa: BLE001 - whoever waits must hear of it, whatever it is
            for _, _, done in taken:
                if not done.done():
                    done.set_exception(error)
            return
        for _, own, done in taken:
            results = [next(answers) for _ in own]
            if not done.done():
                done.set_result(results)


def most_rows(predictor: Predictor) -> int:
    return max(1, min(MOST_ROWS, MOST_CELLS // max(1, len(predictor.ids))))
