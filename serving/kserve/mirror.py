"""What the cluster holds of one kind, kept up to date in memory by a watch.

>>> mirror = Mirror(api, INFERENCE_SERVICES, {"app.kubernetes.io/component": "predictor"})
>>> mirror.start()
>>> mirror.objects()
{'everloop-9f2c4ab0d1e2': {...}}

List, then watch from the list's version on. A watch that ends or breaks is taken up where it was; when the server no
longer keeps that version (410 Gone) everything is listed anew, and what vanished meanwhile is gone here too. While the
server cannot be asked, what was known holds, and `fault` says since when that is so.
Source: https://kubernetes.io/docs/reference/using-api/api-concepts#efficient-detection-of-changes
"""

import random
import threading
from collections.abc import Mapping

from components.recsys.errors import EverloopError
from serving.kserve.api import Api, Json
from serving.kserve.faults import Gone, Kind
from serving.logs import log

FIRST_WAIT, LONGEST_WAIT = 0.1, 10.0  # seconds before a broken watch is taken up, doubled each time


class Mirror:
    """fault: why nothing is heard just now; empty when all is well."""

    def __init__(self, api: Api, kind: Kind, labels: Mapping[str, str]) -> None:
        self.api, self.kind, self.labels = api, kind, labels
        self.known: dict[str, Json] = {}
        self.version = ""
        self.fault = ""
        self.listed = False
        self.stopping = threading.Event()
        self.thread = threading.Thread(target=self._run, name=f"watch-{kind.plural}", daemon=True)

    def start(self) -> None:
        """The first list is made at once, in the caller's thread: raises what it raises."""
        self._list()
        self.thread.start()

    def stop(self) -> None:
        """The thread is a daemon: it ends with its watch, or with the process."""
        self.stopping.set()

    def objects(self) -> dict[str, Json]:
        """name -> object, as last seen."""
        return dict(self.known)

    def see(self, value: Json) -> None:
        """Take over an object that we wrote ourselves, without waiting for the watch to tell of it."""
        self.known[value["metadata"]["name"]] = value

    def _list(self) -> None:
        found, self.version = self.api.list(self.kind, self.labels)
        self.known = {one["metadata"]["name"]: one for one in found}
        self.listed, self.fault = True, ""

    def _run(self) -> None:
        wait = FIRST_WAIT
        while not self.stopping.is_set():
            try:
                if not self.listed:
                    self._list()
                heard = self._followed()
                wait = FIRST_WAIT if heard else min(2 * wait, LONGEST_WAIT)
            except Gone:
                self.listed = False
                continue
            except EverloopError as error:
                self._complain(str(error))
                wait = min(2 * wait, LONGEST_WAIT)
            except Exception as error:  # noqa: BLE001 - what a broken server sends must not end the thread
                self._complain(f"{type(error).__name__}: {error}")
                self.listed, wait = False, min(2 * wait, LONGEST_WAIT)
            self.stopping.wait(wait * (0.5 + random.random()))

    def _followed(self) -> bool:
        """Take over events until the watch ends; whether there were any."""
        heard = False
        for type_, value in self.api.watch(self.kind, self.version, self.labels):
            if self.stopping.is_set():
                break
            heard, self.fault = True, ""
            self.version = value["metadata"]["resourceVersion"]
            if type_ == "BOOKMARK":
                continue
            if type_ == "DELETED":
                self.known.pop(value["metadata"]["name"], None)
            else:
                self.known[value["metadata"]["name"]] = value
        return heard

    def _complain(self, why: str) -> None:
        if why != self.fault:
            log("what the cluster holds is not heard of just now; what was known holds", kind=self.kind.name, why=why)
        self.fault = why
