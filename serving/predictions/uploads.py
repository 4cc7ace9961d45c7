"""Closed segments go from the spool into the sink, at least once, however long the sink is dead.

>>> uploader = Uploader(spool, open_store("s3://bucket/home"), measures)
>>> uploader.start(); ...; uploader.close(seconds=5)

The key is the segment's name, put if absent: after a crash between upload and delete the same bytes are found there and
nothing is sent twice. While the sink fails, tries are spaced out up to `LONGEST` seconds; appending notices nothing.
"""

import random
import threading
import time
import traceback
from contextlib import suppress

from components.recsys.errors import EverloopError, NotFound
from components.recsys.predictions import PREDICTIONS, DamagedSegment, lines_of, segment
from components.recsys.store import Store
from serving.logs import log
from serving.predictions.measures import LogMeasures
from serving.predictions.spool import Spool, Waiting

FIRST, LONGEST = 0.25, 15.0  # seconds between tries; a sink that is back is noticed within the longest
COUNT = 60.0  # seconds between counts of a spool that other processes may share
LOOK = 1.0  # seconds between looks at the spool when nobody tells of a closed segment


class Uploader:
    """A thread beside the writer. Only it deletes segments."""

    def __init__(self, spool: Spool, store: Store, measures: LogMeasures) -> None:
        self.spool, self.store, self.measures = spool, store, measures
        self.fault = ""
        self.last: float | None = None  # time.monotonic() of the last upload
        self.pause = self.counted = 0.0
        self.wake = threading.Event()
        self.ending = threading.Event()
        self.thread = threading.Thread(target=self._run, name="prediction-log-upload", daemon=True)

    def start(self) -> None:
        self.thread.start()

    def close(self, seconds: float) -> None:
        """One last try for what is closed, no longer than this; what is left stays in the spool for the next start."""
        self.ending.set()
        self.wake.set()
        self.thread.join(seconds)

    def _run(self) -> None:
        while not self.ending.is_set():
            self.turn()
            if self.pause:  # a segment that was closed meanwhile is no reason to ask a dead sink sooner
                self.ending.wait(self.pause)
            else:
                self.wake.wait(LOOK)
            self.wake.clear()
        self.turn()

    def turn(self) -> None:
        """Adopt what dead writers left, then upload everything that is closed, the oldest first, until one fails."""
        try:
            if self.spool.adopt() or time.monotonic() > self.counted + COUNT:
                self.spool.count()
                self.counted = time.monotonic()
            for waiting in self.spool.closed():
                self.upload(waiting)
            self.fault, self.pause = "", 0.0
        except Exception as error:  # noqa: BLE001 - the thread outlives whatever a store or a disk does
            if not isinstance(error, EverloopError | OSError):
                log("uploading the prediction log failed", error=traceback.format_exc())
            elif not self.fault:
                log("the prediction log waits in the spool", why=str(error))
            self.fault = str(error) or type(error).__name__
            self.measures.upload("failed")
            # Spread, so that many gateways do not come back to a recovering sink at once.
            self.pause = min(max(2 * self.pause, FIRST), LONGEST) * random.uniform(0.8, 1.0)

    def upload(self, waiting: Waiting) -> None:
        """Raises StoreError, OSError."""
        try:
            lines = waiting.lines()
        except FileNotFoundError:
            return  # another process that shares the spool was faster
        if self.store.create(key := f"{PREDICTIONS}/{waiting.key}.jsonl.gz", segment(lines)):
            self.measures.upload("ok")
        elif self._same(key, lines):
            self.measures.upload("known")
        else:
            self.upload(self.spool.renamed(waiting))
            return
        self.spool.remove(waiting)
        self.last = time.monotonic()

    def _same(self, key: str, lines: list[bytes]) -> bool:
        """By content: another version of zlib may have compressed it otherwise."""
        with suppress(NotFound, DamagedSegment):
            return lines_of(self.store, key) == lines
        return False
