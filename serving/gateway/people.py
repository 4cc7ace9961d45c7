"""What the gateway knows of who asks: the pseudonymous key, and the history as predictors are told it.

>>> people = People(history, secret, most=100_000, complain=intake.complain)
>>> people.recall("42")
Person(key='8c1f...', history=b'[{"item_id":"242","event":"click"}]', events=1, cause='')

Histories stay in memory as the JSON that is sent on, so that a request costs one look-up. Another gateway on the same home
may write too: its events are known here within FRESH_SECONDS, this gateway's own at once.
"""

import time
from collections import OrderedDict
from collections.abc import Callable, Iterable
from typing import NamedTuple

import orjson

from components.recsys.buckets import user_key
from components.recsys.errors import StoreError
from serving.history import History

NO_HISTORY = b"[]"
FRESH_SECONDS = 0.02  # asking SQLite takes 0.1 ms under load, a third of a request's whole cost


class Person(NamedTuple):
    """key: "" for somebody without an id. cause: why the history is empty, if the gateway knows better than a predictor."""

    key: str
    history: bytes
    events: int
    cause: str


NOBODY = Person("", NO_HISTORY, 0, "")


class People:
    """secret: of the pseudonyms. most: users kept in memory. complain: told of a store that fails."""

    def __init__(self, history: History, secret: bytes, most: int, complain: Callable[[str, StoreError], None]) -> None:
        self.history, self.secret, self.most, self.complain = history, secret, most, complain
        self.known: OrderedDict[str, Person] = OrderedDict()
        self.outdated, self.looked = False, -FRESH_SECONDS

    def refresh(self) -> None:
        """Forget what others have changed. To be called before every request."""
        if self.outdated:
            self.outdated = False
            self.known.clear()
        now = time.monotonic()
        if now - self.looked < FRESH_SECONDS:
            return
        self.looked = now
        try:
            changed = self.history.changed()
        except StoreError as error:
            self.complain("read", error)
            return  # what is in memory is better than nothing
        if changed is None:
            self.known.clear()
        else:
            for user in changed:
                self.forget(user)

    def outdate(self) -> None:
        """From any thread: whatever is in memory may be wrong."""
        self.outdated = True

    def forget(self, user: str) -> None:
        self.known.pop(user, None)

    def recall(self, user: str) -> Person:
        known = self.known.get(user)
        if known is not None:
            self.known.move_to_end(user)
            return known
        key = user_key(self.secret, user)
        try:
            events = self.history.read(user)
        except StoreError as error:
            self.complain("read", error)
            return Person(key, NO_HISTORY, 0, "history_unavailable")
        person = Person(key, told(events), len(events), "" if events else "unknown_user")
        self.known[user] = person
        if len(self.known) > self.most:
            self.known.popitem(last=False)
        return person


def told(events: Iterable[tuple[str, str]]) -> bytes:
    """A history in the JSON of an instance: an id alone where the kind of event is unsaid.

    >>> told([("242", "click"), ("50", "")])
    b'[{"item_id":"242","event":"click"},"50"]'
    """
    return orjson.dumps([{"item_id": item, "event": kind} if kind else item for item, kind in events])


def events_in(history: bytes) -> list[tuple[str, str]]:
    """The reverse of `told`."""
    return [(one["item_id"], one["event"]) if isinstance(one, dict) else (one, "") for one in orjson.loads(history)]
