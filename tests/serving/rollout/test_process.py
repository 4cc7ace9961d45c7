"""The engine as a process, with real predictors: a rollout starts, a rollback by hand takes seconds, kills cost nothing."""

import io
import json
import os
import signal
import subprocess
import sys
import time
import urllib.request
from contextlib import redirect_stdout, suppress

import pytest

from components.recsys.errors import EverloopError, Refused
from components.recsys.home import Home
from components.recsys.ledger import Ledger
from components.recsys.policy import set_gradual
from components.recsys.release import SHORT
from components.recsys.routes import Routes
from components.recsys.statuses import Statuses
from pipelines.commands import releases
from pipelines.commands import rollout as commands
from serving.rollout.predictors import answers
from serving.rollout.processes import birth_of
from serving.rollout.state import Rollouts
from serving.rollout.targets import targets_path

SETTINGS = [
    "rollout.port=0",
    "rollout.interval_seconds=5",
    "rollout.bake_seconds=0",
    "rollout.min_lists=1",
    "serving.grace_seconds=1",
]


def until(what, seconds=60):
    deadline = time.monotonic() + seconds
    while not (value := what()):
        assert time.monotonic() < deadline, "it never came"
        time.sleep(0.02)
    return value


class Loop:
    """A home that releases gradually, and its engine."""

    def __init__(self, world):
        self.world, self.home = world, Home(world.home)
        set_gradual(self.home.store, True)
        self.engines = []

    def command(self, *arguments):
        return [sys.executable, "-m", "pipelines.cli", *arguments, "--home", str(self.world.home), "--json"]

    def engine(self, *more):
        sets = [part for setting in SETTINGS for part in ("--set", setting)]
        with (self.world.home / "engine.log").open("ab") as errors:
            command = self.command("rollout", "run", *sets, *more)
            process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=errors)
        self.engines.append(process)
        process.metrics = json.loads(process.stdout.readline())["metrics"]
        return process

    def everloop(self, *arguments):
        """A command in a process of its own: its exit code and its answer."""
        done = subprocess.run(self.command(*arguments), capture_output=True, text=True, timeout=60)
        return done.returncode, json.loads(done.stdout)

    def ask(self, command, *arguments, **options):
        """The same without the second that a process takes to start. Raises what the command line would tell."""
        said = io.StringIO()
        with redirect_stdout(said):
            command(*arguments, **{"home": str(self.world.home), "json": True, **options})
        return json.loads(said.getvalue())

    def rollout(self):
        return Rollouts(self.home.store).newest()

    def routes(self):
        return Routes.read(self.home.store)

    def pids(self):
        folder = self.world.home / "online" / "predictors"
        return {path.stem: json.loads(path.read_text())["pid"] for path in folder.glob("*.json")}

    def answering(self, digest):
        """Whether the routes lead to this champion, and its predictor answers."""
        target = self.routes().champion if self.routes() else None
        return bool(target and target.release == digest and answers(target.urls[0], "everloop", digest))

    def scraped(self):
        """Variant to addresses, as the file for Prometheus has them."""
        groups = json.loads(targets_path(self.world.home).read_text())
        return {group["labels"]["variant"]: group["targets"] for group in groups}

    def end(self):
        for process in self.engines:
            if process.poll() is None:
                process.kill()
            process.communicate()
        for pid in self.pids().values():
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)


@pytest.fixture
def loop(world):
    made = Loop(world)
    yield made
    made.end()


def test_commands_reach_the_engine_a_rollback_by_hand_takes_seconds_and_kills_cost_no_predictor(loop, world):
    first, second = world.digest, world.release(l2=50.0)
    third = world.release(l2=500.0)
    Ledger(loop.home).append("promote", second, "the second")
    with pytest.raises(Refused, match="no rollout is under way"):
        loop.ask(commands.abort, reason="complaints")
    told = loop.ask(commands.status)
    assert (told["rollout"], told["engine"]["running"]) == (None, False)
    Ledger(loop.home).append("reject", third, "nDCG -0.1.")
    engine = loop.engine()
    until(lambda: loop.answering(second))

    with pytest.raises(Refused, match="--force"):
        loop.ask(commands.start, third, force=False)
    told = loop.ask(commands.start, third, force=True, reason="a test of what is bad")
    assert (told["forced"], told["engine_running"]) == (True, True)
    until(lambda: loop.routes().share == 0.05)
    assert loop.routes().candidate.release == third
    scraped = until(lambda: loop.scraped() if "candidate" in loop.scraped() else None)
    for variant, target in (("champion", loop.routes().champion), ("candidate", loop.routes().candidate)):
        assert [f"http://{address}" for address in scraped[variant]] == list(target.urls)
        with urllib.request.urlopen(f"{target.urls[0]}/metrics") as answer:
            assert "everloop_release_refused_total 0.0" in answer.read().decode()
    approval = next(entry for entry in Ledger(loop.home).entries() if entry.action == "approve")
    assert "forced past the gate" in approval.reason
    assert "nDCG -0.1." in approval.reason
    with urllib.request.urlopen(engine.metrics) as answer:
        text = answer.read().decode()
    assert "everloop_rollout_active 1.0" in text
    assert "everloop_rollout_share 0.05" in text

    with pytest.raises(Refused, match="under way"):  # one at a time
        loop.ask(commands.start, third, reason="again", force=True)
    loop.ask(commands.pause, reason="a sale")
    until(lambda: loop.rollout().paused)
    loop.ask(commands.resume, reason="it is over")
    until(lambda: not loop.rollout().paused)
    told = loop.ask(commands.status)
    assert (told["engine"]["running"], told["rollout"]["share"]) == (True, 0.05)
    assert {guard["guard"] for guard in told["guards"]} == {
        "errors", "latency", "fallback", "clicks", "coverage", "split", "scores",
    }  # fmt: skip

    pids = loop.pids()
    engine.kill()
    engine.wait()
    assert all(birth_of(pid) for pid in pids.values())
    engine = loop.engine()
    assert loop.pids() == pids  # adopted, not started again

    begun = time.monotonic()
    code, told = loop.everloop("rollback", "--reason", "clicks fell")
    assert (code, told["champion"]) == (0, first)
    until(lambda: loop.routes().share == 0 and loop.routes().candidate is None, 10)
    until(lambda: loop.answering(first), 20)  # its predictor had to be started: it never ran here
    cold = time.monotonic() - begun
    last = until(lambda: next((e for e in Ledger(loop.home).entries() if e.action == "abort"), None))
    assert loop.rollout().state == "aborted"
    assert (last.release, last.evidence["guard"]) == (third, "champion")

    begun = time.monotonic()
    Ledger(loop.home).append("promote", second, "it was not the release")
    until(lambda: loop.answering(second), 10)
    warm = time.monotonic() - begun
    assert warm < 5  # the former champion was kept warm
    print(f"rollback by command, to a release whose predictor had to start: {cold:.1f} s; to a warm one: {warm:.2f} s")

    loop.ask(commands.start, third, force=True, reason="once more")
    until(lambda: loop.routes().share == 0.05)
    loop.ask(commands.abort, reason="complaints")
    until(lambda: loop.routes().share == 0)
    last = until(lambda: next((e for e in Ledger(loop.home).entries()[-1:] if e.action == "abort"), None))
    assert "taken back by hand: complaints" in last.reason
    until(lambda: Statuses(loop.home.store).read("rollout").facts["state"] == "aborted")
    listed = {one["digest"]: one["status"] for one in loop.ask(releases.releases)["releases"]}
    assert listed == {first: "former", second: "champion", third: "aborted"}

    engine.send_signal(signal.SIGTERM)
    assert engine.wait(20) == 0
    assert birth_of(loop.pids()[second[:SHORT]])
    engine = loop.engine("--stop-predictors")
    kept = loop.pids()
    engine.send_signal(signal.SIGTERM)
    assert engine.wait(20) == 0
    assert not any(birth_of(pid) for pid in kept.values())
    assert loop.pids() == {}
    assert loop.scraped() == {}


def test_a_candidate_that_was_damaged_while_it_baked_is_not_promoted(loop, world, quick, elsewhere, traffic, clock):
    from serving.rollout.engine import Engine

    other = world.release(l2=50.0)
    engine = Engine(loop.home, quick(bake_seconds=1, min_lists=5, steps=(0.5,), detectable_loss=1), elsewhere)
    Ledger(loop.home).append("approve", other, "beats the champion")
    engine.turn()
    traffic(loop.home).lists(100)
    clock.forward(100)
    weights = world.home / "releases" / other / "weights.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1] + b"\x00\x01")
    assert engine.turn()["state"] == "aborted"
    last = Ledger(loop.home).entries()[-1]
    assert (last.action, last.champion, last.evidence["guard"]) == ("abort", world.digest, "release")


def test_an_approved_release_that_is_damaged_is_given_to_nobody(loop, world, quick, elsewhere):
    from serving.rollout.engine import Engine

    other = world.release(l2=50.0)
    weights = world.home / "releases" / other / "weights.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1] + b"\x00\x01")
    Ledger(loop.home).append("approve", other, "beats the champion")
    assert Engine(loop.home, quick(), elsewhere).turn()["state"] == "aborted"
    entries = Ledger(loop.home).entries()
    assert [entry.action for entry in entries[-2:]] == ["approve", "abort"]  # no share
    assert (entries[-1].evidence["guard"], loop.routes().candidate) == ("release", None)
    assert "weights.safetensors is not what was released" in entries[-1].reason


def test_only_one_engine_writes(loop):
    from components.recsys.settings import RolloutSettings, Settings
    from serving.rollout import server

    with loop.home.lock("rollout"), pytest.MonkeyPatch.context() as patched:
        patched.setattr(server, "LOCK_SECONDS", 0.1)
        with pytest.raises(EverloopError, match="holds"):
            server.main(str(loop.world.home), Settings(rollout=RolloutSettings(port=0)))
