"""Gateways over real sockets, before real predictors and before things that only look like one."""

import http.server
import json
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from components.recsys.buckets import bucket, secret_of, user_key
from components.recsys.home import Home
from components.recsys.predictions import read_predictions
from components.recsys.routes import Routes, Target
from components.recsys.settings import GatewaySettings, LogSettings, ServingSettings, Settings
from serving.gateway.server import running
from serving.server import running as serving_release

PREDICT = "/v1/models/everloop:predict"
SALT = "r-1"


def settings_of(serving: dict[str, Any] | None = None, **gateway: Any) -> Settings:
    return Settings(
        serving=ServingSettings(**{"port": 0, "poll_seconds": 0.05, **(serving or {})}),
        gateway=GatewaySettings(**{"port": 0, "poll_seconds": 0.02, "explore": 0.0, **gateway}),
        log=LogSettings(flush_seconds=0.02, segment_seconds=0.1),
    )


class Gate:
    """A gateway's client, and the home behind it."""

    def __init__(self, url: str, home: Path, http: httpx.Client) -> None:
        self.url, self.home, self.http = url, Home(home), http

    def predict(self, *instances: dict[str, Any]) -> list[dict[str, Any]]:
        answer = self.http.post(PREDICT, json={"instances": list(instances)})
        assert answer.status_code == 200, answer.text
        return list(answer.json()["predictions"])

    def one(self, **instance: Any) -> dict[str, Any]:
        return self.predict(instance)[0]

    def send(self, **event: Any) -> None:
        self.http.post("/v1/events", json=event).raise_for_status()

    def metric(self, line: str) -> float:
        for one in self.http.get("/metrics").text.splitlines():
            if one.startswith(line + " "):
                return float(one.rsplit(" ", 1)[1])
        return 0.0

    def group(self, user: str, share: float) -> str:
        """The group that this user must be in."""
        key = user_key(secret_of(self.home.store), user)
        return "candidate" if bucket(SALT, key) < share else "champion"

    def users_in(self, group: str, share: float, count: int = 3) -> list[str]:
        return [user for user in (f"u{n}" for n in range(1000)) if self.group(user, share) == group][:count]


def until(condition: Callable[[], Any], seconds: float = 15) -> Any:
    """What the condition gives once it is true."""
    deadline = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.02)
    return found


@pytest.fixture(scope="session", name="until")
def until_fixture() -> Callable[..., Any]:
    return until


@pytest.fixture
def gateway(world: Any) -> Callable[..., Any]:
    """with gateway(champion=URL or Target, candidate=..., share=...) as gate: ..."""

    @contextmanager
    def started(
        champion: Any = None,
        candidate: Any = None,
        share: float = 0.0,
        mirror: bool = False,
        serving: dict[str, Any] | None = None,
        **knobs: Any,
    ) -> Iterator[Gate]:
        routes(world, champion, candidate, share, mirror)
        with (
            running(str(world.home), settings_of(serving, **knobs)) as url,
            httpx.Client(base_url=url, timeout=20) as client,
        ):
            yield Gate(url, world.home, client)

    return started


def routes(
    world: Any, champion: Any, candidate: Any = None, share: float = 0.0, mirror: bool = False, epoch: int = 1
) -> None:
    """Write the routes. A URL stands for the world's release there; None for nobody."""

    def target(given: Any) -> Target | None:
        return Target(world.digest, (given,)) if isinstance(given, str) else given

    Routes(epoch, target(champion), target(candidate), share, mirror, SALT, "r-1").write(Home(world.home).store)


@pytest.fixture(scope="session")
def route() -> Callable[..., None]:
    return routes


@pytest.fixture
def predictor(world: Any) -> Iterator[Callable[..., Target]]:
    """A predictor of one release, as the rollout engine starts them; gives its target."""
    with ExitStack() as ends:

        def start(digest: str = "") -> Target:
            digest = digest or world.digest
            settings = settings_of({"history": "memory://"})
            url = ends.enter_context(serving_release("", settings, str(world.home / "releases" / digest)))
            return Target(digest, (url,))

        yield start


@pytest.fixture
def impostor() -> Iterator[Callable[..., Target]]:
    """Something that listens where a predictor should. reply: gives status and body for a request's JSON."""
    with ExitStack() as ends:

        def start(digest: str, reply: Callable[[Any], tuple[int, bytes]]) -> Target:
            class Handler(http.server.BaseHTTPRequestHandler):
                protocol_version = "HTTP/1.1"

                def do_POST(self) -> None:
                    length = int(self.headers["content-length"])
                    status, body = reply(json.loads(self.rfile.read(length)))
                    self.send_response(status)
                    self.send_header("content-length", str(len(body)))
                    self.end_headers()
                    self.wfile.write(body)

                def log_message(self, *arguments: Any) -> None:
                    """Nothing: requests are not what a test prints."""

            server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
            server.daemon_threads = True
            thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
            thread.start()
            ends.callback(lambda: (server.shutdown(), thread.join(), server.server_close()))
            return Target(digest, (f"http://127.0.0.1:{server.server_port}",))

        yield start


@pytest.fixture
def logged(world: Any) -> Callable[..., Any]:
    """All records of the home once there are `count`, in the order in which they were written."""

    def read(count: int) -> Any:
        def records() -> Any:
            found = list(read_predictions(Home(world.home).store, set()))
            return found if len(found) >= count else None

        return until(records)

    return read


@pytest.fixture(scope="module")
def gate(small_world: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gate]:
    """One gateway a test file, for tests that only ask."""
    home = Path(shutil.copytree(small_world.home, tmp_path_factory.mktemp("gated") / "home"))
    settings = settings_of({"history": "memory://"})
    with (
        serving_release("", settings, str(home / "releases" / small_world.digest)) as url,
        ExitStack() as ends,
    ):
        Routes(1, Target(small_world.digest, (url,)), salt=SALT).write(Home(home).store)
        gateway_url = ends.enter_context(running(str(home), settings_of()))
        yield Gate(gateway_url, home, ends.enter_context(httpx.Client(base_url=gateway_url, timeout=20)))
