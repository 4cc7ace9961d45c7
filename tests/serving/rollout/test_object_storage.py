"""A rollout on a home in object storage, from the approval to the champion, with what gateways wrote there as evidence."""

import json
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable
from typing import Any

import pytest

from components.recsys.home import Home
from components.recsys.ledger import Ledger
from components.recsys.routes import Routes
from components.recsys.statuses import Statuses
from serving.rollout import engine as engines
from serving.rollout.engine import Engine

A, B = "a" * 64, "b" * 64


@pytest.fixture(autouse=True)
def _releases_are_sound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engines, "verify", lambda store, digest: ({}, {}))


@pytest.fixture
def away(s3_url: str, clock: Any) -> Home:
    home = Home(s3_url)
    Ledger(home).append("promote", A, "the first")
    Ledger(home).append("approve", B, "beats the champion", expect_champion=A)
    return home


def until_end(engine: Engine, traffic: Any, rounds: int) -> dict[str, Any]:
    facts = engine.turn()
    for _ in range(rounds):
        traffic.lists(200, seconds=120)
        facts = engine.turn()
        if facts["state"] in ("promoted", "aborted"):
            break
    return facts


def test_a_good_candidate_reaches_everybody(
    away: Home, traffic: Callable[..., Any], quick: Callable[..., Any], elsewhere: Any
) -> None:
    engine = Engine(away, quick(detectable_loss=1.0, steps=(0.5, 1.0)), elsewhere)
    assert until_end(engine, traffic(away), rounds=60)["state"] == "promoted"
    assert Ledger(away).champion() == B
    routes = Routes.read(away.store)
    assert routes is not None
    assert routes.champion is not None
    assert routes.champion.release == B


def test_a_bad_one_is_taken_back(
    away: Home, traffic: Callable[..., Any], quick: Callable[..., Any], elsewhere: Any
) -> None:
    engine = Engine(away, quick(), elsewhere)
    facts = until_end(engine, traffic(away, fail={"candidate": 0.5}), rounds=30)
    assert facts["state"] == "aborted"
    assert Ledger(away).champion() == A
    assert Ledger(away).entries()[-1].evidence["guard"] == "errors"


def test_the_process_leads_tells_and_hands_over(s3_url: str, world: Any) -> None:
    """The real command, with a predictor somewhere else; the next engine need not wait for a lease to run out."""
    home = Home(s3_url)
    Ledger(home).append("promote", world.digest, "the first")
    command = [sys.executable, "-m", "pipelines.cli", "rollout", "run", "--home", s3_url, "--json"]
    for setting in ("port=0", "predictors=urls", "predictor_url=http://127.0.0.1:9/{short}", "interval_seconds=0.5"):
        command += ["--set", f"rollout.{setting}"]
    for _ in range(2):
        before = time.monotonic()
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as engine:
            assert engine.stdout is not None
            metrics = json.loads(engine.stdout.readline())["metrics"]
            assert time.monotonic() - before < 25  # seconds of a lease are 30
            with urllib.request.urlopen(metrics, timeout=20) as answer:
                assert b"everloop_rollout" in answer.read()
            status = Statuses(home.store).read("rollout")
            assert status.facts["champion"] == world.digest
            engine.send_signal(signal.SIGTERM)
            assert engine.wait(30) == 0
    assert len(home.store.list("leases/rollout")) == 1
