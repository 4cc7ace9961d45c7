"""People of the synthetic world who visit the gateway: ask for a list, choose from it, and say what they did.

>>> visitors = Visitors(World(seed=7), "http://127.0.0.1:8000", k=5)
>>> visitors.day(60).click_rate
0.78

Requests are real HTTP from a few threads over kept connections. What counts as failed: no answer, a status that is not
200, or a list that is not whole. A kept connection that the server closed between two requests is opened anew, as every
HTTP client does.
"""

import http.client
import json
import threading
import time
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any
from urllib.parse import urlsplit

import numpy as np

from components.recsys.simulator import World
from components.recsys.simulator.world import START

Json = dict[str, Any]
BATCH = 200  # events in one request; the server takes 256
CLIENTS = 6
TIMEOUT = 10.0
REFUSED_SECONDS = 0.2


@dataclass(frozen=True)
class Visit:
    """One list and what came of it. failed: "" or what the client saw."""

    user: str
    request: str
    release: str
    variant: str
    items: tuple[str, ...]
    clicks: tuple[str, ...]
    failed: str = ""


@dataclass
class Day:
    """What happened on one simulated day (or one session of it)."""

    day: int
    visits: list[Visit] = field(default_factory=list)
    organic: int = 0
    failed: int = 0

    @property
    def lists(self) -> int:
        return len(self.visits)

    @property
    def click_rate(self) -> float:
        """Share of lists with a click."""
        return sum(bool(visit.clicks) for visit in self.visits) / max(1, self.lists)

    @property
    def clicks_per_list(self) -> float:
        return sum(len(visit.clicks) for visit in self.visits) / max(1, self.lists)

    @property
    def variants(self) -> Counter[str]:
        return Counter(visit.variant for visit in self.visits)


@dataclass(frozen=True)
class Failure:
    """What a client saw, and when (monotonic seconds)."""

    at: float
    why: str


class Visitors:
    """histories: what each person did, oldest first, as the online history has it. accepted: ids of confirmed events."""

    def __init__(self, world: World, url: str, k: int, seed: int = 1) -> None:
        self.world, self.k, self.seed = world, k, seed
        parts = urlsplit(url)
        self.address = (parts.hostname or "127.0.0.1", parts.port or 80)
        self.local = threading.local()
        self.pool = ThreadPoolExecutor(CLIENTS, thread_name_prefix="visitor")
        self.histories: dict[str, list[str]] = {user: [] for user in world.people.ids}
        self.connections: list[http.client.HTTPConnection] = []
        self.requests = 0
        self.failures: list[Failure] = []
        self.accepted: list[str] = []
        self.lock = threading.Lock()

    def active(self, day: int, session: int = 0, share: float = 1.0) -> list[str]:
        """Who looks around on a day: the same people whoever asks."""
        rng = np.random.default_rng([self.seed, day, session])
        people = self.world.people
        there = (rng.random(len(people.ids)) < share * people.rate) & (people.joined <= day)
        return [str(user) for user in people.ids[there]]

    def day(self, day: int, session: int = 0, share: float = 1.0, organic: bool = True) -> Day:
        """Everybody who is active asks once, then acts; and people search without a recommender, as before it existed."""
        done = Day(day)
        users = self.active(day, session, share)
        if users:
            self.world.respond(users[0], [], day, session)  # a day's luck is drawn once, not by every thread
        done.visits = list(self.pool.map(lambda user: self.visit(user, day, session), users))
        if organic:
            done.organic = self._search(day)
        done.failed = sum(bool(visit.failed) for visit in done.visits)
        return done

    def visit(self, user: str, day: int, session: int = 0) -> Visit:
        ask = {"instances": [{"user_id": user, "k": self.k, "filters": {"seen": False}}]}
        status, answer = self.post("/v1/models/everloop:predict", ask)
        lists = answer.get("predictions") or [{}]
        items = tuple(item["id"] for item in lists[0].get("items", ()))
        failed = ""
        if status != 200:
            failed = f"{status}: {answer.get('error', '')}"
        elif len(items) != self.k or len(set(items)) != self.k:
            failed = f"a list of {len(set(items))} instead of {self.k} items"
        if failed:
            self._fail(failed)
            if status == 0:
                time.sleep(REFUSED_SECONDS)  # nobody who is turned away knocks again at once
            return Visit(user, "", "", "", items, (), failed)
        one = lists[0]
        response = self.world.respond(user, items, day, session, one["request_id"])
        self.send(response.events)
        return Visit(user, one["request_id"], one["release"], one["variant"], items, response.clicks)

    def send(self, events: Sequence[Json]) -> None:
        """Feedback, as it comes from a page."""
        for start in range(0, len(events), BATCH):
            part = events[start : start + BATCH]
            body = [
                {
                    name: value.isoformat() if name == "timestamp" else value
                    for name, value in event.items()
                    if value is not None
                }
                for event in part
            ]
            status, answer = self.post("/v1/events", {"events": body})
            if status != 200:
                self._fail(f"events: {status}: {answer.get('error', '')}")
                continue
            for event in part:
                self.histories[event["user_id"]].append(event["item_id"])
            with self.lock:
                self.accepted += answer["event_ids"]

    def _search(self, day: int) -> int:
        found = self.world.history(1, start=day)
        events = list(found.iter_rows(named=True))
        parts = [events[start : start + BATCH] for start in range(0, len(events), BATCH)]
        list(self.pool.map(self.send, parts))
        return len(events)

    def post(self, path: str, body: Json) -> tuple[int, Json]:
        """Status (0: no answer) and answer."""
        with self.lock:
            self.requests += 1
        data = json.dumps(body).encode()
        for fresh in (False, True):
            connection = None if fresh else getattr(self.local, "connection", None)
            reused = connection is not None
            if connection is None:
                connection = http.client.HTTPConnection(*self.address, timeout=TIMEOUT)
                with self.lock:
                    self.connections.append(connection)
            try:
                connection.request("POST", path, data, {"content-type": "application/json"})
                answer = connection.getresponse()
                value = json.loads(answer.read())
            except (http.client.RemoteDisconnected, ConnectionResetError, BrokenPipeError) as error:
                connection.close()
                self.local.connection = None
                if reused:
                    continue
                return 0, {"error": repr(error)}
            except (OSError, http.client.HTTPException, ValueError) as error:
                connection.close()
                self.local.connection = None
                return 0, {"error": repr(error)}
            if answer.will_close:
                connection.close()
            self.local.connection = None if answer.will_close else connection
            return answer.status, value if isinstance(value, dict) else {}
        return 0, {"error": "the connection was closed twice"}

    def _fail(self, why: str) -> None:
        with self.lock:
            self.failures.append(Failure(time.monotonic(), why))

    def close(self) -> None:
        self.pool.shutdown()
        for connection in self.connections:
            connection.close()


def midnight(day: int) -> Any:
    """The beginning of a simulated day."""
    return START + timedelta(days=day)
