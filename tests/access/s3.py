"""An S3 that checks keys and enforces policies, and a middleman that writes down every request and can spoil some.

>>> with policed({"predictor": policy("predictor", BUCKET, aws=False)}, tmp_path) as place:
...     with place.acting("predictor"):
...         Home(place.home).store.read("ledger/0000000001.json")
StoreError: s3://everloop-access/home: access denied (AccessDenied) ...

SeaweedFS does the checking: signatures, known keys, actions, resources and the prefix of a list. The middleman passes on bytes
and the Host header as they came, or signatures would not fit.
"""

import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

import boto3

from pipelines.access.policies import Bucket

BUCKET = Bucket("everloop-access", "home")
ADMIN = "admin"
PASSED = {"connection", "transfer-encoding", "expect", "keep-alive"}  # headers of one hop, not passed on
Json = dict[str, Any]


@dataclass(frozen=True)
class Asked:
    """One request. action: as in the table of uses; key: under the home, of a list its prefix."""

    part: str
    action: str
    key: str
    status: int
    method: str = ""

    @property
    def refused(self) -> bool:
        return self.status == 403


@dataclass
class Place:
    """A running server with one key a part. Requests of `acting` parts are in `asked`.

    spoil: looks at a request before it is passed on; True when it has answered, or done harm, itself.
    lose: (action, beginning of a key) whose next answer is thrown away: the server has done it, the client never hears.
    cut: beginning of a key -> how many times its body breaks off in the middle.
    """

    endpoint: str
    asked: list[Asked] = field(default_factory=list)
    spoil: Callable[[str, str, BaseHTTPRequestHandler], bool] | None = None
    lose: set[tuple[str, str]] = field(default_factory=set)
    cut: dict[str, int] = field(default_factory=dict)

    @property
    def home(self) -> str:
        return f"s3://{BUCKET.name}/{BUCKET.prefix}"

    def environment(self, part: str, secret: str = "") -> dict[str, str]:
        return {
            "AWS_ACCESS_KEY_ID": key_of(part),
            "AWS_SECRET_ACCESS_KEY": secret or secret_of(part),
            "AWS_ENDPOINT_URL": self.endpoint,
            "AWS_REGION": "us-east-1",
        }

    @contextmanager
    def acting(self, part: str, secret: str = "") -> Iterator[None]:
        """This process with a part's key: boto3 and deltalake take it from the environment."""
        before = dict(os.environ)
        for name in ("AWS_SESSION_TOKEN", "AWS_PROFILE", "AWS_ENDPOINT_URL_S3"):
            os.environ.pop(name, None)
        os.environ.update(self.environment(part, secret))
        boto3.DEFAULT_SESSION = None  # it remembers keys
        try:
            yield
        finally:
            os.environ.clear()
            os.environ.update(before)
            boto3.DEFAULT_SESSION = None

    def of(self, part: str) -> list[Asked]:
        return [one for one in self.asked if one.part == part]


def key_of(part: str) -> str:
    return f"KEY{part.upper()}"


def secret_of(part: str) -> str:
    return f"secret-of-{part}"


@contextmanager
def policed(policies: Mapping[str, Json], folder: Path) -> Iterator[Place]:
    """SeaweedFS with these policies, one identity each, and an administrator."""
    identities: list[Json] = [{"name": ADMIN, "credentials": [_credentials(ADMIN)], "actions": ["Admin"]}]
    identities += [{"name": part, "credentials": [_credentials(part)], "policyNames": [part]} for part in policies]
    documents = [{"name": part, "content": json.dumps(document)} for part, document in policies.items()]
    (folder / "s3.json").write_text(json.dumps({"identities": identities, "policies": documents}))
    (folder / "data").mkdir()
    with _seaweed(folder) as port, _middleman(port) as place:
        with place.acting(ADMIN):
            client = boto3.client("s3")
            _patiently(lambda: client.create_bucket(Bucket=BUCKET.name))
            # The first write makes volumes, which takes a second that tests should not see.
            _patiently(lambda: client.put_object(Bucket=BUCKET.name, Key="warm", Body=b"1"))
            client.close()
        place.asked.clear()
        yield place


def _credentials(part: str) -> Json:
    return {"accessKey": key_of(part), "secretKey": secret_of(part)}


@contextmanager
def _seaweed(folder: Path) -> Iterator[int]:
    names = ("master", "volume", "filer", "s3")
    ports = dict(zip([*names, *(f"{name}.grpc" for name in names)], _free_ports(2 * len(names)), strict=True))
    options = [f"-{name.split('.')[0]}.port{name[len(name.split('.')[0]) :]}={port}" for name, port in ports.items()]
    command = [
        str(Path(sys.executable).parent / "weed"),
        "server",
        f"-dir={folder / 'data'}",
        "-filer=true",
        "-s3=true",
    ]
    command += ["-ip=127.0.0.1", "-ip.bind=127.0.0.1", "-s3.port.iceberg=0", "-s3.port.lance=0", *options]
    command += [
        "-master.volumeSizeLimitMB=64",
        "-volume.max=60",
        "-volume.minFreeSpace=200MiB",
        f"-s3.config={folder / 's3.json'}",
    ]
    command += [f"-s3.localSocket={folder / 's3.sock'}", f"-filer.localSocket={folder / 'filer.sock'}"]
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log, cwd=folder, start_new_session=True)
    try:
        yield ports["s3"]
    finally:
        os.killpg(process.pid, signal.SIGKILL)  # it takes ten seconds to end when asked
        process.wait()
        for name in names:  # which it keeps outside of its folder, and killed leaves behind
            Path(f"/tmp/seaweedfs-{name}-grpc-{ports[f'{name}.grpc']}.sock").unlink(missing_ok=True)


def _free_ports(count: int) -> list[int]:
    """gRPC ports too: by default they are the others plus 10,000, which two servers at once may share."""
    sockets = [socket.socket() for _ in range(count)]
    try:
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [int(one.getsockname()[1]) for one in sockets]
    finally:
        for one in sockets:
            one.close()


def _patiently(call: Callable[[], Any], seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while True:
        try:
            call()
        except Exception:  # whatever a server that is starting says
            if time.monotonic() > deadline:
                raise
            time.sleep(0.2)
        else:
            return


class Quiet(ThreadingHTTPServer):
    def handle_error(self, *_: Any) -> None:
        """Clients that hang up are what some tests are about."""


@contextmanager
def _middleman(port: int) -> Iterator[Place]:
    place = Place("")

    class Middleman(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True  # or an answer in two writes waits 40 ms for the first to be acknowledged

        def answer(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            part, action, key = meaning(self.command, self.path, self.headers)
            if place.spoil is not None and place.spoil(action, key, self):
                return
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
            try:
                connection.putrequest(self.command, self.path, skip_host=True, skip_accept_encoding=True)
                for name, value in self.headers.items():
                    if name.lower() not in PASSED:
                        connection.putheader(name, value)
                connection.endheaders(body)
                answer = connection.getresponse()
                data = answer.read()
                place.asked.append(Asked(part, action, key, answer.status, self.command))
                lost = {one for one in place.lose if one[0] == action and key.startswith(one[1])}
                if lost and answer.status == 200:
                    place.lose -= lost
                    self.close_connection = True
                    return
                self.send_response(answer.status)
                for name, value in answer.getheaders():
                    if name.lower() not in {*PASSED, "content-length"}:
                        self.send_header(name, value)
                length = answer.getheader("Content-Length") if self.command == "HEAD" else str(len(data))
                self.send_header("Content-Length", length or "0")
                self.end_headers()
                if self.command == "HEAD":
                    return
                cut = next((one for one, times in place.cut.items() if times and key.startswith(one)), None)
                if cut is not None and action == "read":
                    place.cut[cut] -= 1
                    self.close_connection = True
                    data = data[: len(data) // 2]
                self.wfile.write(data)
            except ConnectionError:  # while it starts
                self.send_error(503)
            finally:
                connection.close()

        do_GET = do_PUT = do_POST = do_DELETE = do_HEAD = answer

        def log_message(self, *_: Any) -> None:
            """Nothing."""

    server = Quiet(("127.0.0.1", 0), Middleman)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    place.endpoint = f"http://127.0.0.1:{server.server_port}"
    try:
        yield place
    finally:
        server.shutdown()
        server.server_close()


def meaning(method: str, path: str, headers: Mapping[str, str]) -> tuple[str, str, str]:
    """Who asks for what, in the words of the table: part, action and key under the home."""
    url = urlsplit(path)
    query = parse_qs(url.query, keep_blank_values=True)
    bucket, _, key = unquote(url.path).lstrip("/").partition("/")
    credential = (headers.get("Authorization") or "").partition("Credential=")[2].partition("/")[0]
    part = credential.removeprefix("KEY").lower()
    if method in ("GET", "HEAD") and not key:
        action, key = "list", query.get("prefix", [""])[0]
    elif method in ("GET", "HEAD"):
        action = "read"
    elif method == "DELETE" and "uploadId" in query:
        action = "write"  # an upload that is given up
    elif method == "DELETE":
        action = "delete"
    elif headers.get("If-None-Match") == "*":
        action = "create"
    else:
        action = "write"
    inside = key.removeprefix(f"{BUCKET.prefix}/") if bucket == BUCKET.name else f"?{bucket}/{key}"
    return part, action, inside
