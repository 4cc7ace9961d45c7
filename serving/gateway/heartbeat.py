"""Says now and then that the gateway lives, and what it has done, where the other parts and `everloop status` can read it.

>>> heart = Heartbeat(Statuses(home.store), gateway.facts)
>>> heart.start()

A thread of its own: a store that hangs or fails costs no request anything. Several gateways on one home overwrite each
other's word; counts of all of them are in Prometheus.
"""

import threading
from collections.abc import Callable
from typing import Any

from components.recsys.errors import EverloopError
from components.recsys.statuses import Statuses
from serving.logs import log

PART = "gateway"
SECONDS = 2.0


class Heartbeat:
    def __init__(self, statuses: Statuses, facts: Callable[[], dict[str, Any]]) -> None:
        self.statuses, self.facts = statuses, facts
        self.fault = ""
        self.stopping = threading.Event()
        self.thread = threading.Thread(target=self._run, name="heartbeat", daemon=True)

    def start(self) -> None:
        self.thread.start()

    def stop(self) -> None:
        self.stopping.set()
        if self.thread.is_alive():
            self.thread.join(timeout=5)

    def beat(self) -> None:
        try:
            self.statuses.write(PART, self.facts())
            self.fault = ""
        except EverloopError as error:
            if not self.fault:
                log("the gateway's word cannot be written", why=str(error))
            self.fault = str(error)

    def _run(self) -> None:
        self.beat()
        while not self.stopping.wait(SECONDS):
            self.beat()
