"""Taking feedback: events are kept durably before anybody is told so, and the next list knows them.

>>> await intake.take({"user_id": "42", "item_id": "242", "event": "click"}, now=time.time())
{'accepted': 1, 'duplicates': 0, 'event_ids': ['5d1c...']}
"""

import time
from collections.abc import Callable
from typing import Any, Protocol

from prometheus_client import Counter

from components.recsys.errors import InputError, StoreError
from components.recsys.settings import ServingSettings
from serving.feedback import Writer, read_feedback
from serving.history import History
from serving.logs import log

QUIET_SECONDS = 10.0  # between two log lines on a history that keeps failing


class Counts(Protocol):
    """Whoever counts events and a history's faults."""

    events: Counter
    history_errors: Counter


class Intake:
    """forget: called with each user of whom something new is kept."""

    def __init__(
        self, history: History, settings: ServingSettings, counts: Counts, forget: Callable[[str], None]
    ) -> None:
        self.settings, self.counts, self.forget = settings, counts, forget
        self.writer = Writer(history)
        self.complained = -QUIET_SECONDS

    async def take(self, body: Any, now: float) -> dict[str, Any]:
        """What the client is answered. now: Unix seconds, for events without a time. Raises InputError, StoreError."""
        try:
            events = read_feedback(body, self.settings, now)
        except InputError:
            self.counts.events.labels(outcome="refused").inc()
            raise
        try:
            fresh = await self.writer.append(events)
        except StoreError as error:
            self.complain("append", error)
            raise StoreError(
                "the online history cannot be written just now; the events were not taken, send them again"
            ) from None
        for event in events:
            self.forget(event.user_id)
        accepted = sum(fresh)
        self.counts.events.labels(outcome="accepted").inc(accepted)
        self.counts.events.labels(outcome="duplicate").inc(len(fresh) - accepted)
        return {
            "accepted": accepted,
            "duplicates": len(fresh) - accepted,
            "event_ids": [event.event_id for event in events],
        }

    def complain(self, operation: str, error: StoreError) -> None:
        """Count a fault of the history, and say so now and then."""
        self.counts.history_errors.labels(operation=operation).inc()
        if time.monotonic() - self.complained >= QUIET_SECONDS:
            self.complained = time.monotonic()
            log("the online history failed", operation=operation, why=str(error))

    def close(self) -> None:
        self.writer.close()
