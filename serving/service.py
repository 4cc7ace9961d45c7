"""What the server does for a request once it is read: lists, readiness; no HTTP in here.

>>> await service.predict([Ask(user="42")])
[{'request_id': '5f0c...', 'release': '9f2c...', 'variant': 'champion', 'items': [...]}]
"""

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from prometheus_client import Counter

from components.recsys.errors import EverloopError, StoreError
from components.recsys.settings import ServingSettings
from serving.asks import Ask
from serving.batches import Batches
from serving.history import History
from serving.intake import Intake
from serving.logs import log
from serving.measures import Measures
from serving.predictor import NOTHING, Past, Predictor, Prepared

Json = dict[str, Any]


class NotReady(EverloopError):
    """No release yet, or the end is near. The status, 503, makes a balancer ask elsewhere."""


@dataclass
class Leading:
    """The release that answers, with the histories in its vocabulary; replaced as a whole."""

    predictor: Predictor
    lists: Counter
    pasts: OrderedDict[str, tuple[Past, str]] = field(default_factory=OrderedDict)


class Service:
    def __init__(self, settings: ServingSettings, history: History, measures: Measures) -> None:
        self.settings, self.history, self.measures = settings, history, measures
        self.intake = Intake(history, settings, measures, self.forget)
        self.batches = Batches()
        self.leading: Leading | None = None
        self.draining = False

    @property
    def ready(self) -> bool:
        return self.leading is not None and not self.draining

    def take(self, predictor: Predictor) -> None:
        """Serve this from now on. One assignment: no request sees half of it, and those in flight keep the former."""
        former, self.leading = self.leading, Leading(predictor, self.measures.lists_of(predictor))
        if former:
            self.measures.release_info.remove(former.predictor.model.name, former.predictor.short)
            self.measures.swaps.inc()
        self.measures.release_info.labels(model=predictor.model.name, release=predictor.short).set(1)
        self.measures.release_since.set_to_current_time()
        self.measures.ready.set(self.ready)
        log(
            "serving",
            release=predictor.digest,
            model=predictor.model.name,
            items=len(predictor.ids),
            before=former and former.predictor.short,
        )

    def drain(self) -> None:
        """Say not ready, and go on answering until the server stops."""
        self.draining = True
        self.measures.ready.set(0)

    def leave(self) -> None:
        """Nothing of this lives in the event loop."""

    def current(self) -> Predictor:
        return self._leading().predictor

    async def be_ready(self) -> None:
        """Raises NotReady, so that nobody sends requests here."""
        self.current()
        if self.draining:
            raise NotReady("this server is about to stop; ask another one")

    def model(self) -> Json:
        """What the model endpoints say of the release. Raises NotReady."""
        predictor = self.current()
        return {"model": predictor.model.name, "release": predictor.digest, "version": predictor.short}

    async def predict(self, asks: Sequence[Ask]) -> list[Json]:
        """A list for each ask, all from one release. Raises InputError, NotReady."""
        leading = self._leading()
        self._forget_changed(leading)
        answers = await self.batches.answer(leading.predictor, [self._prepare(leading, ask) for ask in asks])
        for answer in answers:
            if "fallback" in answer:
                self.measures.fallbacks.labels(reason=answer["fallback"]).inc()
            if "note" in answer:
                self.measures.short_lists.inc()
        leading.lists.inc(len(answers))
        return answers

    def forget(self, user: str) -> None:
        """Read the user's history anew for the next list."""
        if self.leading:
            self.leading.pasts.pop(user, None)

    def close(self) -> None:
        self.intake.close()
        self.history.close()

    def _leading(self) -> Leading:
        if self.leading is None:
            raise NotReady("no release serves yet: the first one is promoted by `everloop run`")
        return self.leading

    def _prepare(self, leading: Leading, ask: Ask) -> Prepared:
        if ask.history is not None:
            past = leading.predictor.past(ask.history)
            cause = "" if len(past[0]) else "unknown_items" if ask.history else "no_history"
        elif ask.user:
            past, cause = self._recall(leading, ask.user)
        else:
            past, cause = NOTHING, "no_history"
        return leading.predictor.prepare(ask, past, cause)

    def _forget_changed(self, leading: Leading) -> None:
        """Histories that another server changed are read anew; while nobody can say, what is known counts."""
        if not leading.pasts:
            return
        try:
            users = self.history.changed()
        except StoreError as error:
            self.intake.complain("read", error)
            return
        if users is None:
            leading.pasts.clear()
            return
        for user in users:
            leading.pasts.pop(user, None)

    def _recall(self, leading: Leading, user: str) -> tuple[Past, str]:
        """The user's history in the release's vocabulary, and why it is empty if it is."""
        known = leading.pasts.get(user)
        if known is not None:
            leading.pasts.move_to_end(user)
            return known
        try:
            events = self.history.read(user)
        except StoreError as error:
            self.intake.complain("read", error)
            return NOTHING, "history_unavailable"
        past = leading.predictor.past(events)
        known = past, "" if len(past[0]) else "unknown_items" if events else "unknown_user"
        leading.pasts[user] = known
        if len(leading.pasts) > self.settings.history_cache_users:
            leading.pasts.popitem(last=False)
        self.measures.users_cached.set(len(leading.pasts))
        return known
