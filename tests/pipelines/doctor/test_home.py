"""The home's bucket, tried on a real S3 server, and on ones that lie, refuse and stall."""

import base64
import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import boto3
import pytest

from pipelines.doctor.checks import home
from pipelines.doctor.findings import NO, OK, UNKNOWN, WARNING, Finding
from pipelines.doctor.wants import Wants


def verdicts(findings: list[Any], area: str = "home") -> dict[str, str]:
    return {each.looked_at: each.verdict for each in findings if each.area == area}


def test_a_good_store_passes_and_keeps_nothing(s3_url, diagnose) -> None:
    findings = diagnose(Wants("team-a", home=s3_url))
    told = verdicts(findings)
    assert {told.pop(name) for name in (s3_url, "put-if-absent", "listing", "deleting", "clock")} == {OK}
    assert told == {"Secret everloop-store": WARNING}
    client = boto3.client("s3")
    assert client.list_objects_v2(Bucket=s3_url.split("/")[2])["KeyCount"] == 0
    client.close()


def test_the_namespaces_secret_goes_before_this_shell(api, s3_url, diagnose, monkeypatch, one) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "this-shell")
    data = {
        "AWS_ACCESS_KEY_ID": "pods",
        "AWS_SECRET_ACCESS_KEY": "secret",
        "AWS_ENDPOINT_URL": "http://s3.storage.svc:9000",
    }
    encoded = {name: base64.b64encode(value.encode()).decode() for name, value in data.items()}
    api.add("/api/v1/namespaces/team-a/secrets", {"metadata": {"name": "everloop-store"}, "data": encoded})
    findings = diagnose(Wants("team-a", home=s3_url))
    assert (
        one(findings, "home", s3_url).verdict == OK
    )  # at the shell's endpoint, since the Secret's is a name of the cluster
    assert one(findings, "home", "Secret").found == "holds AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_ENDPOINT_URL"
    monkeypatch.delenv("AWS_ENDPOINT_URL")
    found = one(diagnose(Wants("team-a", home=s3_url)), "home", s3_url)
    assert (found.verdict, "inside the cluster" in found.found) == (UNKNOWN, True)
    assert found.do.startswith("kubectl -n storage port-forward service/s3 9000 ")


@pytest.mark.parametrize(
    ("secret", "words"),
    [
        (
            {"AWS_ACCESS_KEY_ID": b"key\n", "AWS_SECRET_ACCESS_KEY": b"s"},
            "AWS_ACCESS_KEY_ID ends with a blank or a line break",
        ),
        ({"AWS_ACCESS_KEY_ID": b"key"}, "holds AWS_ACCESS_KEY_ID without AWS_SECRET_ACCESS_KEY"),
    ],
)
def test_a_secret_that_cannot_work_is_found_before_it_is_tried(secret, words, api, diagnose, one, s3_url) -> None:
    data = {name: base64.b64encode(value).decode() for name, value in secret.items()}
    api.add("/api/v1/namespaces/team-a/secrets", {"metadata": {"name": "everloop-store"}, "data": data})
    findings = diagnose(Wants("team-a", home=s3_url))
    found = one(findings, "home", "Secret")
    assert (found.verdict, words in found.found) == (NO, True)
    assert not [each for each in findings if each.looked_at == s3_url]


def test_a_missing_bucket(s3_url, diagnose, one) -> None:
    found = one(diagnose(Wants("team-a", home="s3://not-there/home")), "home", "s3://not-there/home")
    assert (found.verdict, "the bucket does not exist" in found.found) == (NO, True)


def test_a_folder_is_refused_where_pods_will_look_for_it(diagnose, one, tmp_path) -> None:
    assert not one(diagnose(Wants("team-a", home=str(tmp_path))), "home", "store").refused
    asked = Wants("team-a", home=str(tmp_path), kubeflow_endpoint="http://127.0.0.1:9")
    assert one(diagnose(asked), "home", "store").refused


def test_no_home_is_said_and_is_no_refusal(diagnose, one) -> None:
    found = one(diagnose(), "home", "store")
    assert (found.verdict, found.refused) == (UNKNOWN, False)


class Store:
    """An S3 server that behaves as it is told: `code` refuses everything, or what it is the answer to by method."""

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        self.codes: dict[str, tuple[int, str]] = {}
        self.seconds, self.behind = 0.0, 0.0
        self.kept: dict[str, bytes] = {}
        self.ignores_absent = False

    def answer(self, method: str, path: str, headers: Any, body: bytes) -> tuple[int, bytes]:
        time.sleep(self.seconds)
        listing = method == "GET" and "list-type=2" in path
        refusal = self.codes.get("LIST" if listing else method)
        if refusal:
            return refusal[0], f"<Error><Code>{refusal[1]}</Code></Error>".encode()
        if method == "PUT":
            if headers.get("If-None-Match") and path in self.kept and not self.ignores_absent:
                return 412, b"<Error><Code>PreconditionFailed</Code></Error>"
            self.kept[path] = body
            return 200, b""
        if listing:
            keys = "".join(f"<Contents><Key>{key.split('/', 2)[2]}</Key></Contents>" for key in self.kept)
            return 200, f"<ListBucketResult>{keys}</ListBucketResult>".encode()
        if method == "DELETE":
            return (204, b"") if self.kept.pop(path, None) else (404, b"")
        return 200, self.kept[path]


@pytest.fixture(scope="module")
def server() -> Iterator[tuple[Store, str]]:
    made = Store()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        wbufsize = 1 << 16

        def do_PUT(self) -> None:
            self._do()

        do_GET = do_DELETE = do_PUT

        def _do(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            status, answer = made.answer(self.command, self.path, self.headers, body)
            self.send_response_only(status)
            self.send_header("Date", format_datetime(datetime.now(UTC) - timedelta(seconds=made.behind), usegmt=True))
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def handle_expect_100(self) -> bool:
            """Told at once: a client waits a second for it."""
            told = super().handle_expect_100()
            self.wfile.flush()
            return told

        def log_message(self, *_: Any) -> None:
            """Nothing."""

    listening = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    listening.daemon_threads = True
    threading.Thread(target=listening.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
    yield made, f"http://127.0.0.1:{listening.server_port}"
    listening.shutdown()
    listening.server_close()


KEYS = {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test"}


@pytest.fixture(scope="module")
def client(server: tuple[Store, str]) -> Iterator[Any]:
    """The doctor's own, made once: botocore takes a second to read what S3 is."""
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("AWS_ENDPOINT_URL", raising=False)
        made = home._client({**KEYS, "AWS_ENDPOINT_URL": server[1]})
    yield made
    made.close()


@pytest.fixture
def store(server: tuple[Store, str]) -> Store:
    server[0].reset()
    return server[0]


@pytest.fixture
def tried(store: Store, client: Any) -> Callable[[], dict[str, Finding]]:
    """What trying the store finds, by what was looked at."""
    return lambda: {each.looked_at: each for each in home.probe(client, "bucket", "home")}


WHERE = "s3://bucket/home"


@pytest.mark.parametrize(
    ("code", "status", "words"),
    [
        ("InvalidAccessKeyId", 403, "does not know this access key"),
        ("SignatureDoesNotMatch", 403, "the secret key is wrong"),
        ("AccessDenied", 403, "may not do this"),
        ("ExpiredToken", 400, "session token has expired"),
        ("RequestTimeTooSkewed", 403, "15 minutes apart"),
        ("NotImplemented", 501, "put-if-absent"),
        ("SomethingElse", 400, "the store refuses: SomethingElse"),
    ],
)
def test_each_refusal_is_one_sentence(code, status, words, store, tried) -> None:
    store.codes["PUT"] = (status, code)
    found = tried()[WHERE]
    assert (found.verdict, words in found.found) == (NO, True), found


def test_a_store_that_overwrites_is_refused(store, tried) -> None:
    store.ignores_absent = True
    found = tried()["put-if-absent"]
    assert (found.verdict, "overwrites" in found.found) == (NO, True)
    assert store.kept == {}


def test_rights_to_list_and_to_delete_are_missed_one_by_one(store, tried) -> None:
    store.codes["LIST"] = (403, "AccessDenied")
    assert tried()["listing"].verdict == NO
    store.codes = {"DELETE": (403, "AccessDenied")}
    found = tried()["deleting"]
    assert (found.verdict, "stays behind" in found.found) == (NO, True)


def test_a_slow_store_is_warned_of_and_a_silent_one_refused(store, tried, server, monkeypatch) -> None:
    store.seconds = 0.2
    monkeypatch.setattr(home, "SLOW_SECONDS", 0.1)
    assert tried()[WHERE].verdict == WARNING
    monkeypatch.setattr(home, "SECONDS", 0.1)
    impatient = home._client({**KEYS, "AWS_ENDPOINT_URL": server[1]})
    [found] = home.probe(impatient, "bucket", "home")
    assert (found.verdict, "did not answer within 0.1 s" in found.found) == (NO, True)
    impatient.close()


def test_clocks_that_drift_apart_are_told_before_the_store_refuses(store, tried) -> None:
    store.behind = 600
    assert tried()["clock"].verdict == WARNING


def test_a_store_that_is_not_there(monkeypatch) -> None:
    monkeypatch.delenv("AWS_ENDPOINT_URL", raising=False)
    nobody = home._client({**KEYS, "AWS_ENDPOINT_URL": "http://127.0.0.1:9"})
    [found] = home.probe(nobody, "bucket", "home")
    assert (found.verdict, "cannot be reached from here" in found.found) == (NO, True)
    nobody.close()
