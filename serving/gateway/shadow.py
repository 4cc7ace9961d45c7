"""Mirrors requests to a candidate that answers nobody: what it would have said is logged, and costs no client a moment.

>>> shadow = Shadow(forwarder, log.append, measures)
>>> shadow.mirror(wishes, routes)       # returns at once; dropped and counted where the candidate cannot keep up
"""

import asyncio
import time
from collections.abc import Callable, Sequence

from components.recsys import clock
from components.recsys.buckets import SHADOW
from components.recsys.predictions import Prediction
from components.recsys.routes import Routes
from serving.gateway.exchange import Failed
from serving.gateway.forwarding import Forwarder, Wish
from serving.gateway.lists import Moment, record_of, shadowed
from serving.gateway.measures import Measures

MOST_WAITING = 256  # requests; a shadow that is further behind says nothing about the present
WORKERS = 4  # requests at once: enough to follow, too few to take the machine


class Shadow:
    """append: takes a record for the log. Everything happens in the event loop of the server."""

    def __init__(self, forwarder: Forwarder, append: Callable[[Prediction], bool], measures: Measures) -> None:
        self.forwarder, self.append, self.measures = forwarder, append, measures
        self.waiting: asyncio.Queue[tuple[Sequence[Wish], Routes]] = asyncio.Queue(MOST_WAITING)
        self.workers: list[asyncio.Task[None]] = []

    def mirror(self, wishes: Sequence[Wish], routes: Routes) -> None:
        if not self.workers:
            self.workers = [asyncio.create_task(self._work()) for _ in range(WORKERS)]
        try:
            self.waiting.put_nowait((wishes, routes))
        except asyncio.QueueFull:
            self.measures.shadows.labels("dropped").inc(len(wishes))

    def stop(self) -> None:
        for worker in self.workers:
            worker.cancel()

    async def _work(self) -> None:
        while True:
            wishes, routes = await self.waiting.get()
            started = time.perf_counter()
            try:
                answers, failed = await self.forwarder.lists(routes.candidate, wishes), ""
            except Failed as error:
                empty = {"release": routes.candidate.release if routes.candidate else "", "items": []}
                answers, failed = [empty for _ in wishes], error.reason
            moment = Moment(clock.now().isoformat(), 1000 * (time.perf_counter() - started), failed)
            for wish, got in zip(wishes, answers, strict=True):
                if failed:
                    self.append(record_of(wish, got, [], "", False, routes, moment, SHADOW))
                else:
                    self.append(shadowed(wish, got, routes, moment))
            self.measures.shadows.labels("failed" if failed else "answered").inc(len(wishes))
