"""The few things we ask of Kubernetes' API, over plain HTTP.

>>> api = Api(connect())
>>> api.create(INFERENCE_SERVICES, inference_service(digest, settings, home))
>>> api.get(INFERENCE_SERVICES, "everloop-9f2c4ab0d1e2")["status"]["conditions"]

What is busy (429, 5xx, a line that breaks) is asked again, after as long as it wished (Retry-After) or 0.2 s, doubled each
time with some chance in it, within `patience` seconds in all. Everything else is an exception of faults.py at once.
"""

import contextlib
import http.client
import json
import random
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any
from urllib.parse import urlencode

from components.recsys.errors import NotFound, StoreError
from serving.kserve.connection import Connection
from serving.kserve.faults import Asked, Conflict, Gone, Kind, Unavailable, told

Json = dict[str, Any]

INFERENCE_SERVICES = Kind("serving.kserve.io", "v1beta1", "inferenceservices")
PODS = Kind("", "v1", "pods")
EVENTS = Kind("", "v1", "events")
CONFIG_MAPS = Kind("", "v1", "configmaps")
DISRUPTION_BUDGETS = Kind("policy", "v1", "poddisruptionbudgets")
HTTP_ROUTES = Kind("gateway.networking.k8s.io", "v1", "httproutes")
LEASES = Kind("coordination.k8s.io", "v1", "leases")

TIMEOUT_SECONDS = 10.0  # of one request
PATIENCE_SECONDS = 8.0  # of one call with all its tries: the engine's turn waits for it
FIRST_WAIT, LONGEST_WAIT = 0.2, 5.0
PAGE = 250  # objects in one answer to a list
TRIES = 10  # of a read-modify-write that others keep overtaking
WATCH_SECONDS = 240  # after which a watch is begun anew, so that a line that is dead does not go unseen for long
SILENT_SECONDS = 90.0  # bookmarks come about every minute; a watch that is silent for longer is dead

MERGE, JSON6902 = "application/merge-patch+json", "application/json-patch+json"


class Api:
    """patience: seconds. Every method raises EverloopErrors only, as faults.py has them."""

    def __init__(self, connection: Connection, namespace: str = "", patience: float = PATIENCE_SECONDS) -> None:
        self.connection, self.patience = connection, patience
        self.namespace = namespace or connection.namespace
        self.opener = connection.opener()
        self.random = random.Random()

    def get(self, kind: Kind, name: str) -> Json:
        """Raises NotFound."""
        return self._sent("GET", Asked("get", kind, self.namespace, name))

    def find(self, kind: Kind, name: str) -> Json | None:
        try:
            return self.get(kind, name)
        except NotFound:
            return None

    def list(self, kind: Kind, labels: Mapping[str, str] | None = None) -> tuple[list[Json], str]:
        """All objects with these labels, and the version from which to watch on."""
        asked = Asked("list", kind, self.namespace)
        found: list[Json] = []
        query = {"limit": str(PAGE), **_selecting(labels)}
        while True:
            try:
                page = self._sent("GET", asked, query)
            except Gone:  # of a page in the middle: it took us too long
                found, query = [], {name: value for name, value in query.items() if name != "continue"}
                continue
            found += page.get("items") or []
            more = (page.get("metadata") or {}).get("continue")
            if not more:
                return found, str((page.get("metadata") or {}).get("resourceVersion") or "")
            query["continue"] = more

    def create(self, kind: Kind, value: Json) -> Json:
        """Raises Conflict where one of that name is there; also where it is our own, and only the first answer was lost."""
        name = value["metadata"]["name"]
        value = {**value, "metadata": {**value["metadata"], "namespace": self.namespace}}
        return self._sent("POST", Asked("create", kind, self.namespace, name), body=value)

    def delete(self, kind: Kind, name: str, uid: str = "") -> bool:
        """Whether there was something to delete. uid: only this very object, not a later one of the same name."""
        options: Json = {"propagationPolicy": "Background"}
        if uid:
            options["preconditions"] = {"uid": uid}
        try:
            self._sent("DELETE", Asked("delete", kind, self.namespace, name), body=options)
        except (NotFound, Conflict):
            return False
        return True

    def patch(self, kind: Kind, name: str, change: Sequence[Json] | Json) -> Json:
        """A list is a JSON Patch (RFC 6902), which leaves other parts of lists alone; a dict a merge patch (RFC 7386)."""
        content = MERGE if isinstance(change, dict) else JSON6902
        return self._sent("PATCH", Asked("patch", kind, self.namespace, name), body=change, content=content)

    def revise(self, kind: Kind, name: str, steps: Callable[[Json], Sequence[Json]]) -> Json:
        """Read, decide on a JSON Patch, write; from the start when somebody wrote in between. No steps: nothing to do."""
        for _ in range(TRIES):
            before = self.get(kind, name)
            change = steps(before)
            if not change:
                return before
            # With the version in it the server refuses (409) what was decided on something older. A `test` step would
            # be answered with 422, as any mistake of ours.
            version = before["metadata"]["resourceVersion"]
            lock = {"op": "replace", "path": "/metadata/resourceVersion", "value": version}
            with contextlib.suppress(Conflict):
                return self.patch(kind, name, [lock, *change])
            self._pause(FIRST_WAIT * self.random.random())
        raise Conflict(f"{kind.name} {name} was changed by others {TRIES} times while we tried")

    def watch(self, kind: Kind, version: str, labels: Mapping[str, str] | None = None) -> Iterator[tuple[str, Json]]:
        """(type, object) as they come, from a version on, until the server or the line ends it. Raises Gone when the
        version is no longer kept. Resuming is Mirror's."""
        asked = Asked("watch", kind, self.namespace)
        query = {"watch": "1", "resourceVersion": version, "allowWatchBookmarks": "true"}
        query |= {"timeoutSeconds": str(WATCH_SECONDS), **_selecting(labels)}
        with self._opened("GET", asked, query, None, "", SILENT_SECONDS) as answer:
            while line := _line(answer, asked):
                event = json.loads(line)
                if event["type"] == "ERROR":
                    status = event.get("object") or {}
                    raise told(int(status.get("code") or 500), json.dumps(status).encode(), asked)
                yield str(event["type"]), event["object"]

    def _sent(
        self, method: str, asked: Asked, query: Mapping[str, str] | None = None, body: Any = None, content: str = ""
    ) -> Json:
        deadline, wait = time.monotonic() + self.patience, FIRST_WAIT
        while True:
            try:
                with self._opened(method, asked, query or {}, body, content, TIMEOUT_SECONDS) as answer:
                    value = json.loads(answer.read() or b"{}")
                    return value if isinstance(value, dict) else {}
            except (Unavailable, ValueError, OSError, http.client.HTTPException) as error:
                asked_for = error.wait if isinstance(error, Unavailable) else 0.0
                pause = asked_for or wait * (0.5 + self.random.random())
                if time.monotonic() + pause > deadline:
                    raise _sentence(error, self.connection.server, asked) from None
                self._pause(pause)
                wait = min(2 * wait, LONGEST_WAIT)

    def _opened(
        self, method: str, asked: Asked, query: Mapping[str, str], body: Any, content: str, timeout: float
    ) -> contextlib.AbstractContextManager[Any]:
        """The answer, open. Raises what faults.py makes of an answer that is no success."""
        headers = {"Accept": "application/json", "User-Agent": "everloop"}
        if body is not None:
            headers["Content-Type"] = content or "application/json"
        token = self.connection.token()
        if token:
            headers["Authorization"] = f"Bearer {token}"
        url = self.connection.server + _path(asked) + (f"?{urlencode(query)}" if query else "")
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(url, data, headers, method=method)
        try:
            return contextlib.closing(self.opener.open(request, timeout=timeout))
        except urllib.error.HTTPError as error:
            with error:
                raise told(error.code, _read(error), asked, _seconds(error.headers.get("Retry-After"))) from None

    def _pause(self, seconds: float) -> None:
        time.sleep(seconds)


def _path(asked: Asked) -> str:
    kind = asked.kind
    root = f"/apis/{kind.group}/{kind.version}" if kind.group else f"/api/{kind.version}"
    name = f"/{asked.name}" if asked.name and asked.verb != "create" else ""
    return f"{root}/namespaces/{asked.namespace}/{kind.plural}{name}"


def _selecting(labels: Mapping[str, str] | None) -> dict[str, str]:
    return {"labelSelector": ",".join(f"{name}={value}" for name, value in labels.items())} if labels else {}


def _line(answer: Any, asked: Asked) -> bytes:
    """The next line of a watch; empty at its end, also when the line broke in the middle of one."""
    try:
        line = bytes(answer.readline())
    except (OSError, http.client.HTTPException, ValueError):  # ValueError: it was closed meanwhile
        return b""
    return line if line.endswith(b"\n") else b""


def _read(error: urllib.error.HTTPError) -> bytes:
    try:
        return error.read(65_536)
    except (OSError, http.client.HTTPException):
        return b""


def _seconds(text: str | None) -> float:
    """Retry-After in seconds; a date, which no API server sends, counts as nothing."""
    try:
        return max(0.0, float(text or 0))
    except ValueError:
        return 0.0


def _sentence(error: Exception, server: str, asked: Asked) -> StoreError:
    if isinstance(error, StoreError):
        return error
    why = getattr(error, "reason", None) or str(error) or type(error).__name__
    return StoreError(f"Kubernetes' API at {server} cannot be reached for {asked.verb} on {asked.kind.name}: {why}")
