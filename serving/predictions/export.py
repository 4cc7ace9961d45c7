"""Accepted feedback leaves the online history for the home's event log, where runs and monitors find it.

>>> export = EventExport(history, home.store, writer="gateway-1", interval_seconds=5.0, registry=registry)
>>> export.start(); ...; export.close()      # the rest is exported on the way out

Segments `log/events/<day>/<writer>-<history>-<first>-<last>.jsonl.gz` hold the rows `first` to `last` of one history.
Where to go on is read from these names and nowhere else, so a kill at any point repeats and loses nothing: a segment is
there whole, and then counts, or not at all.
"""

import fcntl
import json
import os
import re
import threading
import time
from datetime import UTC, datetime
from typing import Any
from urllib.parse import unquote, urlsplit

from prometheus_client import CollectorRegistry

from components.recsys import clock
from components.recsys.errors import EverloopError
from components.recsys.predictions import EVENTS, segment
from components.recsys.store import Store
from serving.history import Feedback, History
from serving.logs import log
from serving.predictions.measures import ExportMeasures

ROWS = 10_000  # events a segment: 1 MB, a few milliseconds to write
JOIN_SECONDS = 10.0


class EventExport:
    """One thread. Of several processes that share a history one exports, and another when that one ends."""

    def __init__(
        self, history: History, store: Store, writer: str, interval_seconds: float, registry: CollectorRegistry
    ) -> None:
        self.history, self.store, self.interval = history, store, interval_seconds
        self.writer = re.sub(r"[^A-Za-z0-9_-]", "-", writer)
        self.identity = history.identity()
        self.measures = ExportMeasures(registry)
        self.cursor: int | None = None  # the last row that is in the store; None: to be read from there
        self.exported, self.fault = 0, ""
        self.last: float | None = None
        self.lock: int | None = None
        self.ending = threading.Event()
        self.thread = threading.Thread(target=self._run, name="event-export", daemon=True)

    def start(self) -> None:
        self.thread.start()

    def close(self) -> None:
        """Export what came last, once, in bounded time; what fails goes at the next start."""
        self.ending.set()
        if self.thread.is_alive():
            self.thread.join(JOIN_SECONDS)

    def facts(self) -> dict[str, Any]:
        """How the export is, for the status page. age_seconds: of the last turn without a fault."""
        age = None if self.last is None else round(time.monotonic() - self.last, 1)
        return {"exported": self.exported, "cursor": self.cursor, "age_seconds": age, "fault": self.fault}

    def _run(self) -> None:
        while not self.ending.is_set():
            self.turn()
            self.ending.wait(self.interval)
        self.turn()
        if self.lock is not None:
            os.close(self.lock)
            self.lock = None

    def turn(self) -> None:
        """Export everything accepted so far. A fault is remembered and counted, and the next turn tries again."""
        try:
            if not self._alone():
                return
            while self.export():
                pass
            self.fault, self.last = "", time.monotonic()
            self.measures.complete()
        except Exception as error:  # noqa: BLE001 - the thread outlives whatever a store does
            if not isinstance(error, EverloopError) or not self.fault:
                log("accepted events wait in the online history", why=repr(error))
            self.fault = str(error) or type(error).__name__
            self.cursor = None  # the answer may have been lost and not the segment
            self.measures.failed.inc()

    def export(self) -> int:
        """The next segment; how many events it holds. Raises StoreError."""
        if self.cursor is None:
            self.cursor = self.position()
        rows = self.history.feedback_after(self.cursor, ROWS)
        if not rows:
            return 0
        first, last = rows[0][0], rows[-1][0]
        key = f"{EVENTS}/{clock.now():%Y-%m-%d}/{self.writer}-{self.identity}-{first:012d}-{last:012d}.jsonl.gz"
        self.store.create(key, segment(line_of(event) for _, event in rows))
        self.cursor = last
        self.exported += len(rows)
        self.measures.exported.inc(len(rows))
        return len(rows)

    def _alone(self) -> bool:
        """Whether this process is the history's exporter: a lock beside its file, freed by the kernel at the end.

        On a history that is no file several may export the same rows; readers know an event by its id.
        """
        url = urlsplit(self.history.url)
        if url.scheme != "sqlite" or self.lock is not None:
            return True
        path = unquote(url.path)
        descriptor = os.open(f"{path}.export", os.O_RDWR | os.O_CREAT, 0o644)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            return False
        self.lock, self.cursor = descriptor, None
        return True

    def position(self) -> int:
        """The last row of this history that is in the store; 0 for none."""
        ours = re.compile(rf"-{self.identity}-\d+-(\d+)\.jsonl\.gz$")
        found = (ours.search(key) for key in self.store.list(EVENTS))
        return max((int(match[1]) for match in found if match), default=0)


def line_of(event: Feedback) -> bytes:
    """In the columns of the event table, all of them in every line, as the reader of JSON Lines likes it."""
    time = datetime.fromtimestamp(event.timestamp // 1_000_000, UTC).replace(microsecond=event.timestamp % 1_000_000)
    row = {
        "user_id": event.user_id,
        "item_id": event.item_id,
        "timestamp": time.isoformat(timespec="microseconds"),
        "event": event.event,
        "value": event.value,
        "event_id": event.event_id,
        "request_id": event.request_id or None,
    }
    return json.dumps(row, separators=(",", ":"), ensure_ascii=False).encode()
