"""One writer at a time on a home in object storage, where no kernel holds a lock for us.

>>> lease = Lease(home.store, "rollout")
>>> lease.take()                # False while another holds it and lives
True
>>> home.store = Fenced(home.store, lease)      # which writes nothing once the lease is lost

`leases/<name>/<number>.json`, the greatest number holds. It is created with put-if-absent, so of two that take over at the
same time one wins. The holder writes a new beat every few seconds; who waits takes over when it has seen no new beat for
`seconds` on its *own* clock, so clocks of machines may differ as they like. The holder trusts itself for two thirds of that
time after its last beat, on its own clock, too; so a process that was frozen wakes up without the right to write.
Source: Gray and Cheriton, "Leases", SOSP 1989; the number is the fencing token of Kleppmann, "How to do distributed locking".
"""

import json
import os
import socket
import threading
import time
import uuid
from collections.abc import Callable
from pathlib import Path

from components.recsys.errors import EverloopError, NotFound, StoreError
from components.recsys.store import Store

SECONDS = 30.0  # a rollout engine that died is replaced after this; an object store may stall for a few
TRUST = 2 / 3
BEATS = 4  # in that time


class Lease:
    """clock: seconds that only grow."""

    def __init__(
        self, store: Store, name: str, seconds: float = SECONDS, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.store, self.prefix, self.seconds, self.clock = store, f"leases/{name}", seconds, clock
        self.holder = f"{socket.gethostname()}-{os.getpid()}-{uuid.uuid4().hex[:6]}"
        self.number, self.beats, self.beaten = 0, 0, 0.0
        self.watched: tuple[bytes, float] = (b"", 0.0)
        self.stopping = threading.Event()
        self.thread: threading.Thread | None = None

    @property
    def held(self) -> bool:
        """Whether this process may write: it holds the lease, and nobody can have taken it over yet."""
        return bool(self.number) and self.clock() - self.beaten < TRUST * self.seconds

    def take(self) -> bool:
        """Whether it is ours now. Ask again and again: who holds it is given up only after a while without a beat."""
        if self.number:
            return self.beat()
        newest = self._newest()
        if newest:
            told = self._read(newest)
            if told is not None and not json.loads(told).get("free"):
                if told != self.watched[0]:
                    self.watched = told, self.clock()
                if self.clock() - self.watched[1] < self.seconds:
                    return False
        at = self.clock()
        if not self.store.create(self._key(newest + 1), self._said()):
            return False
        self.number, self.beaten = newest + 1, at
        for key in self.store.list(self.prefix):
            if key < self._key(self.number):
                self.store.delete(key)
        return True

    def beat(self) -> bool:
        """Say that we live; False when another has taken over."""
        at = self.clock()  # before the write: what takes long counts against us
        if self._newest() != self.number:
            self.number = 0
            return False
        self.beats += 1
        self.store.write(self._key(self.number), self._said())
        self.beaten = at
        return True

    def start(self) -> None:
        """Beat in a thread of our own, however long anything else takes."""
        self.thread = threading.Thread(target=self._beat_on, name="lease", daemon=True)
        self.thread.start()

    def give_back(self) -> None:
        """So that the next one need not wait."""
        self.stopping.set()
        if self.thread:
            self.thread.join(timeout=5)
        if self.held and self._newest() == self.number:
            self.store.write(self._key(self.number), self._said(free=True))
        self.number = 0

    def who(self) -> str:
        """Who holds it, as far as one can read."""
        told = self._read(self._newest())
        return str(json.loads(told)["holder"]) if told else ""

    def _beat_on(self) -> None:
        while not self.stopping.wait(TRUST * self.seconds / BEATS):
            try:
                if self.number:
                    self.beat()
            except EverloopError:
                continue  # the store is away: trust runs out by itself

    def _newest(self) -> int:
        keys = [key for key in self.store.list(self.prefix) if key.endswith(".json")]
        return int(keys[-1].rpartition("/")[2].removesuffix(".json")) if keys else 0

    def _read(self, number: int) -> bytes | None:
        try:
            return self.store.read(self._key(number))
        except NotFound:
            return None

    def _key(self, number: int) -> str:
        return f"{self.prefix}/{number:010d}.json"

    def _said(self, free: bool = False) -> bytes:
        return json.dumps({"holder": self.holder, "beat": self.beats, "free": free}).encode()


class Fenced:
    """A store that lets through what is read, and what is written only while the lease is held. Raises StoreError."""

    def __init__(self, store: Store, lease: Lease) -> None:
        self.store, self.lease, self.url = store, lease, store.url

    def read(self, key: str) -> bytes:
        return self.store.read(key)

    def list(self, prefix: str = "") -> list[str]:
        return self.store.list(prefix)

    def write(self, key: str, data: bytes) -> None:
        self._may()
        self.store.write(key, data)

    def create(self, key: str, data: bytes, private: bool = False) -> bool:
        self._may()
        return self.store.create(key, data, private)

    def upload(self, key: str, file: Path) -> None:
        self._may()
        self.store.upload(key, file)

    def delete(self, key: str) -> None:
        self._may()
        self.store.delete(key)

    def _may(self) -> None:
        if not self.lease.held:
            raise StoreError(
                f"another process leads on {self.url} now, so this one writes nothing; it waits for its turn"
            )
