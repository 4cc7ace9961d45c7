"""The engine's loop where git makes the InferenceServices: it waits, follows, and leaves everything in the cluster alone."""

import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from components.recsys.home import Home
from components.recsys.ledger import Ledger
from components.recsys.release import releases_of
from components.recsys.routes import Routes
from components.recsys.settings import ServingSettings, Settings, load_settings
from serving.kserve.connection import Connection
from serving.kserve.inference_service import inference_service, name_of
from serving.rollout.measures import Measures
from serving.rollout.server import Loop
from serving.rollout.state import Rollouts
from serving.server import running


@pytest.fixture
def home(s3_url: str, world: Any) -> Home:
    """Two releases, of which nobody has heard yet."""
    made = Home(s3_url)
    for release in (world.digest, world.release(l2=50.0)):
        for path in (world.home / "releases" / release).iterdir():
            releases_of(made).write(f"{release}/{path.name}", path.read_bytes())
    return made


@pytest.fixture
def candidate(home: Home, world: Any) -> str:
    return next(key[:64] for key in releases_of(home).list() if not key.startswith(world.digest))


@pytest.fixture
def loop(home: Home, server: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[Loop]:
    monkeypatch.setattr("serving.kserve.predictors.connect", lambda: Connection(server.url, "prod"))
    for name in ("ASK_EVERY", "PODS_EVERY"):
        monkeypatch.setattr(f"serving.kserve.predictors.{name}", 0.0)
    settings = load_settings(None, ["rollout.predictors=kserve", "rollout.kserve=follow", "rollout.bake_seconds=0"])
    one = Loop(home, settings, Measures())
    yield one
    mirror = one.predictors.mirror  # type: ignore[attr-defined] - of KServePredictors
    mirror.stop()
    while mirror.thread.is_alive():
        server.drop_watches()
        mirror.thread.join(0.05)


@pytest.fixture
def serve(world: Any, tmp_path: Path) -> Iterator[Callable[[str], str]]:
    """A real predictor of a release; its URL."""
    import contextlib

    with contextlib.ExitStack() as ends:

        def one(release: str) -> str:
            folder = Path(shutil.copytree(world.home / "releases" / release, tmp_path / release))
            settings = Settings(serving=ServingSettings(port=0, history="memory://"))
            return ends.enter_context(running("", settings, str(folder)))

        yield one


def commit(server: Any, home: Home, stable: str, candidate: str = "") -> None:
    data = {"stable": stable, "candidate": candidate, "home": home.url, "by": "anna"}
    server.put("configmaps", {"metadata": {"name": "everloop-model"}, "data": data})


def bring(server: Any, home: Home, release: str, url: str) -> None:
    """What Argo CD applies, and KServe says of it."""
    server.put("inferenceservices", inference_service(release, Settings(), home.url))
    status = {"deploymentMode": "Standard", "address": {"url": url}}
    server.change("inferenceservices", name_of(release), status=status)


def soon(what: Callable[[], Any], seconds: float = 15) -> Any:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline and not what():
        time.sleep(0.02)
    return what()


def test_from_the_first_commit_to_a_rollout_and_back_by_git_revert(
    loop: Loop, home: Home, server: Any, world: Any, candidate: str, serve: Callable[[str], str]
) -> None:
    loop.turn()
    assert "git has not brought it" in loop.orders.fault  # type: ignore[union-attr] - it follows

    commit(server, home, world.digest)
    loop.turn()
    assert Ledger(home).champion() == world.digest
    assert Routes.read(home.store) is None or Routes.read(home.store).champion is None  # type: ignore[union-attr]
    bring(server, home, world.digest, serve(world.digest))

    def routed(release: str) -> bool:
        loop.turn()
        routes = Routes.read(home.store)
        return bool(routes and routes.champion and routes.champion.release == release)

    assert soon(lambda: routed(world.digest))

    Ledger(home).append("approve", candidate, "beats the champion", expect_champion=world.digest)
    loop.turn()
    assert Rollouts(home.store).newest() is None  # git has not named it

    commit(server, home, world.digest, candidate)
    loop.turn()
    rollout = Rollouts(home.store).newest()
    assert rollout is not None
    assert (rollout.candidate, rollout.state) == (candidate, "waiting")
    assert "git has not brought it" in loop.facts["waits_for"]

    bring(server, home, candidate, serve(candidate))

    def tried() -> bool:
        loop.turn()
        return (Routes.read(home.store) or Routes(0)).share > 0

    assert soon(tried)

    commit(server, home, candidate)  # a person makes it stable at once ...
    assert soon(lambda: routed(candidate))
    commit(server, home, world.digest)  # ... and reverts that
    assert soon(lambda: routed(world.digest))
    moves = [(e.action, e.release, e.actor) for e in Ledger(home).entries() if e.action in ("promote", "rollback")]
    assert moves == [
        ("promote", world.digest, "git"),
        ("promote", candidate, "git"),
        ("rollback", world.digest, "git"),
    ]
    assert {verb for verb, plural in server.asked if plural == "inferenceservices"} <= {"list", "watch"}
    assert {verb for verb, plural in server.asked if plural == "configmaps"} == {"get"}
