"""A small world whose answers are known: films of two tastes, and a served release over real sockets."""

import csv
import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from components.recsys.events import ingest, read_events, read_items
from components.recsys.frames import Catalogue, Interactions
from components.recsys.home import Home
from components.recsys.ledger import Ledger
from components.recsys.models import MODELS
from components.recsys.models.base import Training
from components.recsys.release import releases_of, save
from components.recsys.settings import ServingSettings, Settings
from serving.server import running

USERS, FILMS = 40, 24  # even users take even films (Drama), odd users odd ones (Comedy)
START = 1_600_000_000


def taken(user: int, film: int) -> bool:
    """Whether the user took the film: of their taste all but a fifth."""
    return film % 2 == user % 2 and (film + 3 * user) % 5 != 0


@dataclass(frozen=True)
class World:
    home: Path
    digest: str
    data: dict[str, Any]

    def release(self, **config: Any) -> str:
        """Another release on the same events; its digest."""
        return make_release(Home(self.home), self.data, **config)


def make_release(home: Home, data: dict[str, Any], **config: Any) -> str:
    events, items = read_events(home, data), read_items(home, data)
    interactions = Interactions.from_frame(events)
    catalogue = Catalogue.align(interactions.items, items)
    kind = MODELS["ease"]
    model = kind(kind.Config(**{"l2": 5.0, "half_life": None, **config})).fit(Training(interactions, catalogue))
    content = {
        "settings": {"prepare": {"event_weights": {"ignored": 0.0}}},
        "data": {
            name: {k: v for k, v in part.items() if k != "version"} if part else None for name, part in data.items()
        },
    }
    provenance = {"data_version": {name: part["version"] if part else None for name, part in data.items()}}
    return save(
        releases_of(home), model, catalogue, content, provenance, {"history_lengths": [1, 2]}, "# A small world\n"
    )


@pytest.fixture(scope="session")
def small_world(tmp_path_factory: pytest.TempPathFactory) -> World:
    folder = tmp_path_factory.mktemp("world")
    with (folder / "events.csv").open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["user_id", "item_id", "timestamp"])
        for user in range(USERS):
            films = [film for film in range(FILMS) if taken(user, film)]
            rows.writerows([f"u{user}", f"f{film}", START + 3600 * (user + film)] for film in films)
    with (folder / "items.csv").open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["item_id", "title", "genres", "year", "price", "family"])
        for film in range(FILMS):
            genres = "Drama" if film % 2 == 0 else "Comedy|Family"
            rows.writerow([f"f{film}", f"Film {film}", genres, 1990 + film % 3, film + 0.5, film < 4])
    home = Home(folder / "home")
    got = ingest(home, {"events": str(folder / "events.csv"), "items": str(folder / "items.csv")}, Settings().data)
    digest = make_release(home, got.data)
    Ledger(home).append("promote", digest, "the first")
    return World(folder / "home", digest, got.data)


@pytest.fixture
def world(small_world: World, tmp_path: Path) -> World:
    """A copy that may be changed."""
    return World(Path(shutil.copytree(small_world.home, tmp_path / "home")), small_world.digest, small_world.data)


def quick(**serving: Any) -> Settings:
    return Settings(serving=ServingSettings(**{"port": 0, "poll_seconds": 0.05, **serving}))


@dataclass
class Client:
    """A client of the real server."""

    url: str
    http: httpx.Client

    def predict(self, *instances: dict[str, Any]) -> list[dict[str, Any]]:
        answer = self.http.post("/v1/models/everloop:predict", json={"instances": list(instances)})
        assert answer.status_code == 200, answer.text
        return list(answer.json()["predictions"])

    def one(self, **instance: Any) -> dict[str, Any]:
        return self.predict(instance)[0]

    def ids(self, **instance: Any) -> list[str]:
        return [item["id"] for item in self.one(**instance)["items"]]

    def refusal(self, status: int, body: Any, path: str = "/v1/models/everloop:predict") -> str:
        """The sentence of an answer that must have this status."""
        answer = self.http.post(path, json=body) if not isinstance(body, bytes) else self.http.post(path, content=body)
        assert answer.status_code == status, answer.text
        assert set(answer.json()) == {"error"}
        return str(answer.json()["error"])

    def metric(self, line: str) -> float:
        """The value of one series as /metrics gives it; 0 while there is none."""
        for one in self.http.get("/metrics").text.splitlines():
            if one.startswith(line + " "):
                return float(one.rsplit(" ", 1)[1])
        return 0.0


@contextmanager
def served(home: Path | str, model_dir: Path | None = None, **serving: Any) -> Iterator[Client]:
    with (
        running(str(home), quick(**serving), str(model_dir) if model_dir else None) as url,
        httpx.Client(base_url=url, timeout=20) as http,
    ):
        yield Client(url, http)


@pytest.fixture(scope="session", name="taken")
def taken_fixture() -> Callable[[int, int], bool]:
    return taken


@pytest.fixture(scope="session")
def serve() -> Callable[..., Any]:
    return served


@pytest.fixture(scope="module")
def client(small_world: World, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    """One server a test file, for tests that only ask."""
    home = shutil.copytree(small_world.home, tmp_path_factory.mktemp("served") / "home")
    with served(home) as made:
        yield made


class RedisServer:
    """A real redis-server on a free port, for as long as the block lasts; `stop` and `start` play its faults."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.url = f"redis://127.0.0.1:{self.port}/0"
        self.start()

    def start(self) -> None:
        options = {
            "port": self.port, "bind": "127.0.0.1", "dir": self.folder, "save": "",
            "appendonly": "yes", "appendfsync": "always", "requirepass": "",
        }  # fmt: skip
        command = ["redis-server", *(part for name, value in options.items() for part in (f"--{name}", str(value)))]
        self.process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        for _ in range(200):
            if self.ask("PING").startswith(b"+PONG"):
                return
            assert self.process.poll() is None, "redis-server ended at once"
            time.sleep(0.025)
        raise AssertionError("redis-server does not answer")

    def ask(self, command: str) -> bytes:
        """One inline command, as netcat would send it."""
        try:
            with socket.create_connection(("127.0.0.1", self.port), timeout=5) as line:
                line.sendall(command.encode() + b"\r\n")
                return line.recv(1000)
        except OSError:
            return b""

    def stop(self) -> None:
        self.process.kill()
        self.process.wait()


@pytest.fixture(scope="session")
def one_redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    if shutil.which("redis-server") is None:
        pytest.skip("redis-server is not installed: apt-get install redis-server")
    server = RedisServer(tmp_path_factory.mktemp("redis"))
    yield server
    server.stop()


@pytest.fixture
def redis_url(one_redis: RedisServer) -> str:
    """An empty Redis."""
    assert one_redis.ask("FLUSHALL").startswith(b"+OK")
    return one_redis.url


@pytest.fixture
def own_redis(one_redis: RedisServer, tmp_path: Path) -> Iterator[RedisServer]:
    """A Redis of this test alone, to be stopped."""
    server = RedisServer(tmp_path)
    yield server
    server.stop()
