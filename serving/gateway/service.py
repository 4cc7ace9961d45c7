"""What the gateway does for a request once it is read: groups, forwarding, the way out when a predictor fails, the log.

>>> await gateway.predict([Ask(user="42")])
[{'request_id': '5f0c...', 'release': '9f2c...', 'variant': 'candidate', 'items': [...]}]

A list comes from the predictor of the user's group; where that fails from the other group's, if people get lists from it;
else from the gateway's own popularity. The client sees a list each time, the log says why.
"""

import asyncio
import itertools
import random
import secrets
import time
from collections.abc import Coroutine, Sequence
from typing import Any, NamedTuple, Protocol, TypeVar

from components.recsys import clock
from components.recsys.buckets import CANDIDATE, CHAMPION, bucket, variant_of
from components.recsys.errors import InputError
from components.recsys.predictions import Prediction
from components.recsys.release import SHORT
from components.recsys.routes import Routes, Target
from components.recsys.settings import Settings
from serving.asks import Ask
from serving.gateway.exchange import Failed
from serving.gateway.forwarding import Denied, Forwarder, Wish
from serving.gateway.lists import Moment, listed
from serving.gateway.measures import Measures
from serving.gateway.people import NOBODY, People, Person, events_in, told
from serving.gateway.routing import Routing
from serving.gateway.shadow import Shadow
from serving.gateway.tally import Tally
from serving.history import History
from serving.intake import Intake
from serving.service import NotReady

Json = dict[str, Any]
Kind = TypeVar("Kind")


class Log(Protocol):
    """Where records go; `serving.predictions.log.PredictionLog` is one."""

    def append(self, record: Prediction) -> bool:
        """Never blocks. False when the record was dropped."""


class Got(NamedTuple):
    """What came for a wish. latency_ms: of the variant's own answer, or until it failed. failed: why, if it did."""

    answer: Json
    latency_ms: float
    failed: str


class Gateway:
    """draw: uniform numbers in [0, 1), for exploration and for the groups of people without an id."""

    def __init__(
        self,
        settings: Settings,
        history: History,
        secret: bytes,
        routing: Routing,
        measures: Measures,
        log: Log,
        draw: random.Random | None = None,
    ) -> None:
        self.settings, self.knobs = settings.serving, settings.gateway
        routing.seeded = lambda: self.people.outdate()
        self.history, self.routing, self.measures, self.log = history, routing, measures, log
        self.intake = Intake(history, self.settings, measures, lambda user: self.people.forget(user))
        self.people = People(history, secret, self.settings.history_cache_users, self.intake.complain)
        self.forwarder = Forwarder(self.settings, self.knobs.timeout_seconds)
        self.shadow = Shadow(self.forwarder, log.append, measures)
        self.tally = Tally()
        self.draw = (draw or random.Random()).random
        self.pool = self.knobs.explore_pool if self.knobs.explore else 0
        self.prefix, self.numbers = secrets.token_hex(8), itertools.count(1)
        self.routed: Routes | None = None
        self.draining = False
        measures.ready.set_function(lambda: float(self.ready))

    @property
    def ready(self) -> bool:
        """As far as can be told without asking a predictor."""
        routes = self.routing.routes
        return not self.draining and (self.routing.last is not None or bool(routes and routes.champion))

    async def predict(self, asks: Sequence[Ask]) -> list[Json]:
        """A list for each ask. Raises InputError; NotReady while there is neither a predictor nor a release."""
        started = time.perf_counter()
        routes = self._routes()
        self.people.refresh()
        wishes = [self._wish(ask, routes) for ask in asks]
        groups = {
            variant: some
            for variant in (CHAMPION, CANDIDATE)
            if (some := [wish for wish in wishes if wish.variant == variant])
        }
        parts = await together([self._got(variant, some, routes) for variant, some in groups.items()])
        got = dict(zip(groups, map(iter, parts), strict=True))
        spent, now = time.perf_counter() - started, clock.now().isoformat()
        answers = [self._list(wish, next(got[wish.variant]), routes, now, spent) for wish in wishes]
        self.measures.users_cached.set(len(self.people.known))
        if routes and routes.mirror and routes.candidate:
            self._mirror(groups.get(CHAMPION, []), parts[0], routes)
        return answers

    def be_accepting(self) -> None:
        """Raises NotReady while events and requests should go to another gateway.

        Whether a release serves already does not matter here: before the first one, events are taken and lists refused with
        a sentence, which is more than a Service without endpoints does.
        """
        if self.draining:
            raise NotReady("this gateway is about to stop; ask another one")
        if self.routing.read_at is None:
            raise NotReady(f"the home has not been read yet{self.routing.fault and f': {self.routing.fault}'}")

    async def be_ready(self) -> None:
        """Raises NotReady, so that nobody sends requests here."""
        if self.draining:
            raise NotReady("this gateway is about to stop; ask another one")
        routes = self.routing.routes
        if routes is None:
            raise NotReady("nobody has said yet who answers: `everloop rollout run` writes the routes")
        if not self.routing.last and not (routes.champion and await self.forwarder.ready(routes.champion)):
            raise NotReady("no predictor answers, and no release could be loaded for a list of our own")

    def drain(self) -> None:
        """Say not ready, and go on answering until the server stops."""
        self.draining = True

    def model(self) -> Json:
        """What the model endpoints say. Raises NotReady."""
        routes = self.routing.routes
        release = (routes and routes.champion and routes.champion.release) or (
            self.routing.last and self.routing.last.digest
        )
        if not release:
            raise NotReady("no release serves yet: the first one is promoted by `everloop run`")
        return {"release": release, "version": release[:SHORT]}

    def facts(self) -> Json:
        """For the status of this part: the routes as it knows them, and what it has done since it started."""
        routes = self.routing.routes
        return {
            "epoch": routes.epoch if routes else None,
            "champion": routes.champion.release if routes and routes.champion else "",
            "candidate": routes.candidate.release if routes and routes.candidate else "",
            "share": routes.share if routes else 0.0,
            "mirror": bool(routes and routes.mirror),
            "routes_age_seconds": self.routing.age(),
            "last_resort": self.routing.last.digest if self.routing.last else "",
            "failing": self.forwarder.states(),
            "draining": self.draining,
            **self.tally.facts(),
        }

    def console_facts(self) -> dict[str, float | str]:
        """The same in a flat form, for people."""
        tally = self.tally
        return {
            "lists": tally.lists.total(),
            "lists_by_the_candidate": tally.lists[CANDIDATE],
            "lists_another_had_to_give": tally.failures.total(),
            "lists_with_an_explored_place": tally.explored,
            "lists_from_popularity": tally.fallbacks,
            "last_failure": tally.last_failure or "none",
        }

    def leave(self) -> None:
        """Called in the event loop after the last answer. Lists that a shadow has yet to give are given up."""
        self.shadow.stop()
        self.forwarder.close()

    def close(self) -> None:
        self.intake.close()

    def _routes(self) -> Routes | None:
        """As they are now; one reading counts for a whole request."""
        routes = self.routing.routes
        if routes is not self.routed:
            self.routed = routes
            if routes:
                self.forwarder.keep(routes)
        return routes

    def _wish(self, ask: Ask, routes: Routes | None) -> Wish:
        person = self.people.recall(ask.user) if ask.user else NOBODY
        if ask.history is not None:
            person = Person(person.key, told(ask.history), len(ask.history), "")
        variant = CHAMPION
        if routes and routes.candidate and routes.share > 0:
            # Who has no id is in a new group with every request.
            variant = variant_of(bucket(routes.salt, person.key) if person.key else self.draw(), routes.share)
        wide = min(ask.k + self.pool, self.settings.max_k)
        return Wish(f"{self.prefix}{next(self.numbers):08x}", ask, person, variant, wide)

    async def _got(self, variant: str, wishes: Sequence[Wish], routes: Routes | None) -> list[Got]:
        """Something for each wish, whatever fails. Raises InputError, NotReady."""
        started = time.perf_counter()
        first, second = targets(variant, routes)
        try:
            answers, failed = await self._lists(first, wishes), ""
            latency = 1000 * (time.perf_counter() - started)
        except Failed as failure:
            latency, failed = 1000 * (time.perf_counter() - started), failure.reason
            self.tally.failed(variant, str(failure))
            try:
                answers = await self._lists(second, wishes)
            except Failed:
                answers = self._own(wishes, failure)
        return [Got(answer, latency, failed) for answer in answers]

    async def _lists(self, target: Target | None, wishes: Sequence[Wish]) -> list[Json]:
        """Raises Failed, also for an empty list where something is left to show."""
        answers = await self.forwarder.lists(target, wishes)
        for answer, wish in zip(answers, wishes, strict=True):
            if not answer["items"] and self.routing.last:
                try:
                    ours = self.routing.last.answer(wish.ask, events_in(wish.person.history))
                except InputError:
                    continue  # an attribute that only the other release's items have
                if ours["items"]:
                    raise Failed("invalid", "an empty list, though the catalogue has items for it")
        return answers

    def _own(self, wishes: Sequence[Wish], failure: Failed) -> list[Json]:
        """Lists when no predictor gives any. Raises InputError where the asks themselves are at fault."""
        last = self.routing.last
        if last is None:
            if isinstance(failure, Denied):
                raise InputError(failure.sentence)
            raise NotReady("no predictor answers, and no release could be loaded for a list of our own")
        return [last.answer(wish.ask, events_in(wish.person.history)) for wish in wishes]

    def _list(self, wish: Wish, got: Got, routes: Routes | None, now: str, spent: float) -> Json:
        """The answer; its record goes to the log, its figures to the metrics."""
        moment = Moment(now, got.latency_ms, got.failed)
        answer, record = listed(wish, got.answer, self.knobs.explore, routes, moment, self.draw)
        self.log.append(record)
        self.measures.listed(record, spent)
        self.tally.count(record)
        return answer

    def _mirror(self, wishes: Sequence[Wish], got: Sequence[Got], routes: Routes) -> None:
        """Last of all, so that the answers are on their way before the shadow's turn comes."""
        answered = [wish for wish, one in zip(wishes, got, strict=False) if not one.failed]
        if answered:
            self.shadow.mirror(answered, routes)


async def together(works: Sequence[Coroutine[Any, Any, Kind]]) -> list[Kind]:
    """The results in their order. One alone is not worth a task."""
    return [await works[0]] if len(works) == 1 else await asyncio.gather(*works)


def targets(variant: str, routes: Routes | None) -> tuple[Target | None, Target | None]:
    """Who answers the variant, and who when it fails. A candidate without a share of users answers nobody."""
    if routes is None:
        return None, None
    if variant == CANDIDATE:
        return routes.candidate, routes.champion
    return routes.champion, routes.candidate if routes.share > 0 else None
