"""The prediction log of one process: what was shown to whom, kept while disk and sink come and go.

>>> log = PredictionLog(LogSettings(), home.store, Path("spool"), writer="gateway-1", registry=registry)
>>> log.append(record)      # never blocks, never raises; False: dropped, and counted
True
>>> log.close()             # everything on disk, and one last try to upload it

memory (`memory_records`) -> spool on disk (`spool_bytes`) -> sink (`log/predictions/<day>/<writer>-<number>.jsonl.gz`).
A record is on disk after `flush_seconds` at most; what is there survives a kill. Readers may find a record twice
(`read_predictions` drops the second). When the disk is full, records wait in memory and go on when it has space.
"""

import threading
import time
from collections import deque
from pathlib import Path
from typing import Any

from prometheus_client import CollectorRegistry

from components.recsys.predictions import Prediction
from components.recsys.settings import LogSettings
from components.recsys.store import Store, open_store
from serving.logs import log
from serving.predictions.measures import DROPPED, SPOOLED, LogMeasures
from serving.predictions.spool import Segment, Spool
from serving.predictions.uploads import Uploader

LAST_UPLOAD_SECONDS = 5.0  # how long closing waits for the sink
FLUSH_SECONDS = 10.0
AT_ONCE = 256  # records encoded between two syncs while the queue is long


class PredictionLog:
    """`append` from any thread; one thread writes the spool, another uploads. The store is the home's."""

    def __init__(
        self, settings: LogSettings, store: Store, spool: Path, writer: str, registry: CollectorRegistry
    ) -> None:
        self.settings = settings
        self.measures = LogMeasures(registry)
        self.spool = Spool(spool, writer)
        self.queue: deque[Prediction] = deque()
        self.held: list[tuple[str, bytes]] = []  # day and line of what is being written
        self.segment: Segment | None = None
        self.fault = ""  # of the disk
        self.wake, self.ending = threading.Event(), threading.Event()
        self.written = threading.Condition()
        self.turns = 0
        self.half = max(settings.memory_records // 2, 1)
        self.uploader = Uploader(self.spool, open_store(settings.sink) if settings.sink else store, self.measures)
        self.thread = threading.Thread(target=self._run, name="prediction-log", daemon=True)
        self.thread.start()
        self.uploader.start()

    def append(self, record: Prediction) -> bool:
        """Take a record over. False when memory is full or the log is closed: it is dropped, and counted."""
        waiting = len(self.queue) + len(self.held)
        if waiting >= self.settings.memory_records or self.ending.is_set():
            self.measures.count("dropped_disk" if self.fault else "dropped_memory")
            return False
        self.queue.append(record)
        if waiting >= self.half and not self.wake.is_set():
            self.wake.set()
        return True

    def flush(self, seconds: float = FLUSH_SECONDS) -> bool:
        """Wait until everything appended before is on disk. False when it is not by then, as on a full disk."""
        deadline = time.monotonic() + seconds
        with self.written:
            target = self.turns + 2  # the turn under way may have looked at the queue before
            while self.turns < target and self.thread.is_alive():
                self.wake.set()
                if not self.written.wait(min(0.05, max(deadline - time.monotonic(), 0.0))) and (
                    time.monotonic() >= deadline
                ):
                    return False
        return not self.fault

    def close(self, seconds: float = LAST_UPLOAD_SECONDS) -> None:
        """Everything in memory on disk; then one last try to upload, this long at most. A second call does nothing."""
        self.ending.set()
        self.wake.set()
        self.thread.join(FLUSH_SECONDS)
        self.uploader.close(seconds)

    def facts(self) -> dict[str, Any]:
        """How the log is, for the status page. upload_age_seconds: None before the first upload."""
        counts = dict(self.measures.counts)
        last = self.uploader.last
        return {
            "queued": len(self.queue) + len(self.held),
            "spooled": counts[SPOOLED],
            "spool_bytes": self.spool.bytes,
            "dropped": sum(counts[outcome] for outcome in DROPPED),
            "dropped_by": {outcome.removeprefix("dropped_"): counts[outcome] for outcome in DROPPED},
            "upload_age_seconds": None if last is None else round(time.monotonic() - last, 1),
            "fault": self.fault or self.uploader.fault,
        }

    def _run(self) -> None:
        while not self.ending.is_set():
            self.wake.wait(self.settings.flush_seconds)
            self.wake.clear()
            self._turn()
        self._turn()
        if self.queue or self.held:
            self.measures.count("dropped_disk", len(self.queue) + len(self.held))
        self._close_segment()

    def _turn(self) -> None:
        """Write what is queued, close what is old. Whatever the disk does, the thread goes on."""
        try:
            while self.queue or self.held:
                self._write()
            if self.segment and time.monotonic() - self.segment.opened >= self.settings.segment_seconds:
                self._close_segment()
            self.fault = ""
        except OSError as error:
            self._failed(error)
        self.measures.spool_bytes.set(self.spool.bytes)
        with self.written:
            self.turns += 1
            self.written.notify_all()

    def _write(self) -> None:
        """The next lines, as many as fit into one segment. Raises OSError; they stay in `held` then."""
        if not self.held:
            self._encode()
        if not self.held:
            return
        day, first = self.held[0]
        full = self.segment and self.segment.size + len(first) + 1 > self.settings.segment_bytes
        if self.segment and (full or self.segment.day != day):
            self._close_segment()
        lines: list[bytes] = []
        size = self.segment.size if self.segment else 0
        for its_day, line in self.held:
            size += len(line) + 1
            if its_day != day or (lines and size > self.settings.segment_bytes):
                break
            lines.append(line)
        room = self.settings.spool_bytes - self.spool.bytes
        fitting = 0
        while fitting < len(lines) and len(lines[fitting]) + 1 <= room:
            room -= len(lines[fitting]) + 1
            fitting += 1
        if fitting:
            if self.segment is None:
                self.segment = self.spool.open(day)
            self.spool.add(self.segment.write(lines[:fitting]))
            self.measures.count(SPOOLED, fitting)
        if fitting < len(lines):
            self.measures.count("dropped_spool", len(lines) - fitting)
        self.held = self.held[len(lines) :]
        if self.segment and self.segment.size >= self.settings.segment_bytes:
            self._close_segment()

    def _encode(self) -> None:
        while self.queue and len(self.held) < AT_ONCE:
            record = self.queue.popleft()
            try:
                self.held.append((record.time[:10], record.to_json()))
            except (TypeError, ValueError):  # half a surrogate pair in an id, say
                self.measures.count("dropped_invalid")
            time.sleep(0)  # the event loop wants the interpreter, and would else wait 5 ms for it

    def _close_segment(self) -> None:
        """Hand the open segment to the uploader. A file that cannot be renamed is adopted later: its lock is gone."""
        if self.segment is not None:
            segment, self.segment = self.segment, None
            try:
                segment.close()
            except OSError as error:
                self.fault = error.strerror or str(error)
            self.uploader.wake.set()

    def _failed(self, error: OSError) -> None:
        if not self.fault:
            log("the prediction log cannot write its spool; records wait in memory", why=str(error))
        self.fault = error.strerror or str(error)
        self._close_segment()  # what it holds may go to the sink, and a new file is tried next
