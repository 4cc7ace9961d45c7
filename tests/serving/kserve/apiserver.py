"""An API server as Kubernetes has it, over real HTTP, with the faults of a real one.

>>> server = ApiServer()
>>> server.fail("get", 429, headers={"Retry-After": "1"})     # the next get is answered so
>>> server.drop_watches(); server.forget_history()            # watches break, and cannot be taken up where they were
"""

import json
import threading
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

KINDS = {
    "serving.kserve.io/v1beta1/inferenceservices",
    "v1/pods",
    "v1/events",
    "v1/configmaps",
    "policy/v1/poddisruptionbudgets",
    "gateway.networking.k8s.io/v1/httproutes",
    "coordination.k8s.io/v1/leases",
}
WHO = "system:serviceaccount:prod:everloop-rollout"


@dataclass
class Fault:
    """Played once for each of `times` requests that fit. code 0: the line breaks; done: after the request had its effect."""

    verb: str
    code: int
    times: int = 1
    message: str = "it is not your fault"
    headers: dict[str, str] = field(default_factory=dict)
    done: bool = False
    plural: str = ""


@dataclass
class Status(Exception):
    """An answer that is no success, as the real server words it."""

    code: int
    reason: str
    message: str
    details: dict[str, Any] = field(default_factory=dict)

    def body(self) -> bytes:
        value = {"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": self.code}
        return json.dumps({**value, "reason": self.reason, "message": self.message, "details": self.details}).encode()


class ApiServer:
    """Stores objects as Kubernetes does: versions that grow, conflicts, selectors, pages, watches from a version on.

    rights: None for all, else {(verb, plural)}. denies: a webhook, which gives a reason or "". asked: what was requested.
    """

    def __init__(self) -> None:
        self.objects: dict[tuple[str, str, str], dict[str, Any]] = {}
        self.kinds = set(KINDS)
        self.version, self.oldest = 100, 0
        self.events: list[tuple[int, str, str, dict[str, Any]]] = []  # (version, type, plural, object)
        self.faults: list[Fault] = []
        self.rights: set[tuple[str, str]] | None = None
        self.denies: Callable[[str, dict[str, Any]], str] = lambda verb, value: ""
        self.asked: list[tuple[str, str]] = []
        self.namespaces = {"prod"}
        self.watches = 0  # that are open
        self.epoch = 0  # raised to end all watches
        self.news = threading.Condition()
        handler = type("Handler", (Handler,), {"api": self})
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self.server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        self.thread = threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        self.thread.start()

    def close(self) -> None:
        self.drop_watches()
        self.server.shutdown()
        self.server.server_close()
        self.thread.join()

    def fail(self, verb: str, code: int, **more: Any) -> None:
        self.faults.append(Fault(verb, code, **more))

    def drop_watches(self) -> None:
        with self.news:
            self.epoch += 1
            self.news.notify_all()

    def forget_history(self) -> None:
        """As etcd's compaction does: nobody can go on from an earlier version."""
        with self.news:
            self.events.clear()
            self.oldest = self.version

    def put(self, plural: str, value: dict[str, Any], namespace: str = "prod") -> dict[str, Any]:
        """As some controller writes it."""
        with self.news:
            key = (plural, namespace, value["metadata"]["name"])
            return self._store(key, json.loads(json.dumps(value)), "MODIFIED" if key in self.objects else "ADDED")

    def change(self, plural: str, name: str, **parts: Any) -> dict[str, Any]:
        return self.put(plural, {**self.objects[(plural, "prod", name)], **parts})

    def remove(self, plural: str, name: str) -> None:
        with self.news:
            self._drop((plural, "prod", name))

    def names(self, plural: str) -> set[str]:
        return {name for kind, _, name in self.objects if kind == plural}

    def of(self, plural: str, name: str) -> dict[str, Any]:
        return self.objects[(plural, "prod", name)]

    def _store(self, key: tuple[str, str, str], value: dict[str, Any], type_: str) -> dict[str, Any]:
        before = self.objects.get(key)
        self.version += 1
        meta = value.setdefault("metadata", {})
        meta["namespace"], meta["resourceVersion"] = key[1], str(self.version)
        meta["uid"] = before["metadata"]["uid"] if before else str(uuid.uuid4())
        moved = before is None or before.get("spec") != value.get("spec")
        meta["generation"] = (before["metadata"]["generation"] if before else 0) + moved
        meta.setdefault("creationTimestamp", "2026-11-24T13:30:00Z")
        self.objects[key] = value
        self.events.append((self.version, type_, key[0], value))
        self.news.notify_all()
        return value

    def _drop(self, key: tuple[str, str, str]) -> None:
        value = self.objects.pop(key)
        self.version += 1
        gone = {**value, "metadata": {**value["metadata"], "resourceVersion": str(self.version)}}
        self.events.append((self.version, "DELETED", key[0], gone))
        for other, held in list(self.objects.items()):  # the garbage collector
            owners = held["metadata"].get("ownerReferences") or []
            if any(owner["uid"] == value["metadata"]["uid"] for owner in owners):
                self._drop(other)
        self.news.notify_all()


class Handler(BaseHTTPRequestHandler):
    api: ApiServer
    protocol_version = "HTTP/1.1"

    def log_message(self, *_: Any) -> None:
        """Nothing: requests are not what a test prints."""

    def do_GET(self) -> None:
        self.answer()

    do_POST = do_PUT = do_PATCH = do_DELETE = do_GET

    def answer(self) -> None:
        raw = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        body = json.loads(raw) if raw else None
        parts = urlsplit(self.path)
        query = {name: values[0] for name, values in parse_qs(parts.query).items()}
        pieces = parts.path.strip("/").split("/")
        pieces = pieces[1:]  # api or apis
        at = pieces.index("namespaces")
        group, namespace, plural = "/".join(pieces[:at]), pieces[at + 1], pieces[at + 2]
        name = pieces[at + 3] if len(pieces) > at + 3 else ""
        verb = {"POST": "create", "PUT": "update", "PATCH": "patch", "DELETE": "delete"}.get(self.command, "")
        verb = verb or ("get" if name else "watch" if query.get("watch") else "list")
        self.api.asked.append((verb, plural))
        fault = next((one for one in self.api.faults if one.verb == verb and one.plural in ("", plural)), None)
        if fault:
            fault.times -= 1
            if fault.times <= 0:
                self.api.faults.remove(fault)
        try:
            if fault and not fault.done:
                raise Status(fault.code, "Fault", fault.message)
            if f"{group}/{plural}" not in self.api.kinds:
                return self.send(404, b"404 page not found\n", "text/plain")
            self.check_rights(verb, group.partition("/")[0] if "/" in group else "", plural, namespace, name)
            if verb == "watch":
                return self.watch(plural, namespace, query)
            value = self.done(verb, plural, namespace, name, query, body)
            if fault:
                raise Status(fault.code, "Fault", fault.message)
            return self.send(201 if verb == "create" else 200, json.dumps(value).encode())
        except Status as status:
            if status.code == 0:
                self.close_connection = True
                self.connection.close()
                return None
            return self.send(status.code, status.body(), headers=fault.headers if fault else {})

    def check_rights(self, verb: str, group: str, plural: str, namespace: str, name: str) -> None:
        if self.api.rights is not None and (verb, plural) not in self.api.rights:
            of = f'{plural}.{group} "{name}"' if group else f'{plural} "{name}"'
            raise Status(
                403,
                "Forbidden",
                f'{of} is forbidden: User "{WHO}" cannot {verb} resource "{plural}" in API group "{group}" in the '
                f'namespace "{namespace}"',
            )

    def done(self, verb: str, plural: str, namespace: str, name: str, query: dict[str, str], body: Any) -> Any:
        api = self.api
        with api.news:
            if verb == "create":
                if namespace not in api.namespaces:
                    details = {"name": namespace, "kind": "namespaces"}
                    raise Status(404, "NotFound", f'namespaces "{namespace}" not found', details)
                key = (plural, namespace, body["metadata"]["name"])
                self.admit(verb, body)
                if key in api.objects:
                    raise Status(409, "AlreadyExists", f'{plural} "{key[2]}" already exists', {"name": key[2]})
                return api._store(key, body, "ADDED")
            if verb == "list":
                return self.listed(plural, namespace, query)
            key = (plural, namespace, name)
            if key not in api.objects:
                raise Status(404, "NotFound", f'{plural} "{name}" not found', {"name": name, "kind": plural})
            before = api.objects[key]
            if verb == "get":
                return before
            if verb == "delete":
                wanted = ((body or {}).get("preconditions") or {}).get("uid", before["metadata"]["uid"])
                if wanted != before["metadata"]["uid"]:
                    raise Status(409, "Conflict", "Precondition failed: UID in precondition")
                api._drop(key)
                return before
            after = body if verb == "update" else self.patched(before, body)
            if after["metadata"].get("resourceVersion", "") != before["metadata"]["resourceVersion"]:
                raise Status(409, "Conflict", f'Operation cannot be fulfilled on {plural} "{name}"', {"name": name})
            self.admit(verb, after)
            return api._store(key, after, "MODIFIED")

    def admit(self, verb: str, value: dict[str, Any]) -> None:
        why = self.api.denies(verb, value)
        if why:
            raise Status(
                400,
                "BadRequest",
                f'admission webhook "inferenceservice.kserve-webhook-server.validator" denied the request: {why}',
            )

    def patched(self, before: dict[str, Any], change: Any) -> dict[str, Any]:
        after = json.loads(json.dumps(before))
        if self.headers["Content-Type"] == "application/merge-patch+json":
            return dict(merged(after, change))
        assert self.headers["Content-Type"] == "application/json-patch+json"
        for step in change:
            *way, last = [part.replace("~1", "/").replace("~0", "~") for part in step["path"].strip("/").split("/")]
            place = after
            for part in way:
                place = place[part]
            if step["op"] == "test" and place.get(last) != step["value"]:
                raise Status(409, "Conflict", "the server rejected our request due to a failed test")
            if step["op"] == "remove":
                del place[last]
            elif step["op"] in ("add", "replace"):
                place[last] = step["value"]
        return after

    def listed(self, plural: str, namespace: str, query: dict[str, str]) -> dict[str, Any]:
        wanted = dict(part.split("=") for part in query.get("labelSelector", "").split(",") if part)
        found = [
            value
            for (kind, place, _), value in sorted(self.api.objects.items())
            if (kind, place) == (plural, namespace) and fits(value, wanted)
        ]
        first = int(query.get("continue", "0"))
        last = first + int(query.get("limit", "500"))
        more = {"continue": str(last)} if last < len(found) else {}
        meta = {"resourceVersion": str(self.api.version), **more}
        return {"kind": "List", "metadata": meta, "items": found[first:last]}

    def watch(self, plural: str, namespace: str, query: dict[str, str]) -> None:
        api, seen = self.api, int(query["resourceVersion"])
        wanted = dict(part.split("=") for part in query.get("labelSelector", "").split(",") if part)
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Connection", "close")
        self.end_headers()
        self.close_connection = True
        with api.news:
            epoch, api.watches = api.epoch, api.watches + 1
            try:
                if seen < api.oldest:
                    gone = json.loads(Status(410, "Expired", f"too old resource version: {seen}").body())
                    return self.say("ERROR", gone)
                while api.epoch == epoch:
                    for version, type_, kind, value in list(api.events):
                        if version > seen and kind == plural and fits(value, wanted):
                            self.say(
                                type_, {**value, "metadata": {**value["metadata"], "resourceVersion": str(version)}}
                            )
                        seen = max(seen, version)
                    api.news.wait(0.5)
            except OSError:
                pass  # who watched has gone
            finally:
                api.watches -= 1

    def say(self, type_: str, value: dict[str, Any]) -> None:
        self.wfile.write(json.dumps({"type": type_, "object": value}).encode() + b"\n")
        self.wfile.flush()

    def send(self, code: int, body: bytes, kind: str = "application/json", headers: Any = None) -> None:
        self.send_response(code)
        for name, value in {"Content-Type": kind, "Content-Length": str(len(body)), **(headers or {})}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)


def fits(value: dict[str, Any], wanted: dict[str, str]) -> bool:
    return wanted.items() <= (value["metadata"].get("labels") or {}).items()


def merged(value: Any, change: Any) -> Any:
    """RFC 7386."""
    if not isinstance(change, dict):
        return change
    value = value if isinstance(value, dict) else {}
    for name, part in change.items():
        if part is None:
            value.pop(name, None)
        else:
            value[name] = merged(value.get(name), part)
    return value
