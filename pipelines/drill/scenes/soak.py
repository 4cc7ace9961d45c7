"""A soak: every process is killed at random times, again and again, and nothing that was promised may break.

Not one of the drill's scenes by default: `everloop drill soak --soak-seconds 300`.
"""

import contextlib
import json
import os
import random
import threading
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

from components.recsys.predictions import EVENTS, segments
from components.recsys.release import load, releases_of
from pipelines.drill.scene import Scene
from pipelines.drill.scenes.storm import payload, post
from pipelines.drill.stage import Stage

PAUSES = (2.0, 6.0)  # seconds between kills, drawn evenly
GRACE = 1.0  # a request may have been under way when the gateway was killed


@dataclass(frozen=True)
class Window:
    """From a kill of the one gateway to its being back: the stated gap of a single replica."""

    began: float
    ended: float


def soak(stage: Stage) -> Scene:
    scene = Scene("soak", f"kill -9 of every process at random times for {stage.soak_seconds:.0f} s")
    rng, kills, windows = random.Random(stage.seed), Counter[str](), list[Window]()
    deadline, before = time.monotonic() + stage.soak_seconds, pipelines_run(stage)
    asks, victims = 0, list[str]()
    with traffic(stage):
        while time.monotonic() < deadline:
            if not victims:  # every process in turn, in another order each time
                victims = [*stage.loop.parts, "predictor"]
                rng.shuffle(victims)
            victim = victims.pop()
            began = time.monotonic()
            restarts = stage.loop.parts["gateway"].restarts
            kill(stage, victim)
            kills[victim] += 1
            if victim == "gateway":
                back(stage, restarts)
                windows.append(Window(began, time.monotonic() + GRACE))
            if rng.random() < 0.3:
                asks += ask_for_run(stage, rng)
            time.sleep(rng.uniform(*PAUSES))
    stage.wait(lambda: not stage.status("controller").get("runs"), 240)
    stage.wait(lambda: not missing(stage), 60)
    outside = [f for f in stage.visitors.failures if not any(w.began - GRACE <= f.at <= w.ended for w in windows)]
    inside = len(stage.visitors.failures) - len(outside)
    stage.visitors.failures = outside  # what the stated gap explains is counted here and not as the loop's failure
    twice = sum(count - 1 for count in logged(stage).values())
    lost = missing(stage)
    keys = Counter(path.name for path in (stage.folder / "home" / "controller" / "runs").glob("*") if path.is_dir())
    scene.figures = {
        "seconds": round(stage.soak_seconds),
        "kills": sum(kills.values()),
        **{f"kills_{name}": count for name, count in sorted(kills.items())},
        "requests": stage.visitors.requests,
        "failed_outside_the_gap": len(outside),
        "failed_while_the_gateway_was_down": inside,
        "longest_gap_seconds": round(max((w.ended - w.began - GRACE for w in windows), default=0.0), 1),
        "events_accepted": len(set(stage.visitors.accepted)),
        "events_lost": len(lost),
        "events_logged_twice": twice,
        "alerts_for_runs": asks,
        "runs": len(keys),
        "pipelines_run": pipelines_run(stage) - before,
    }
    scene.must(not outside, f"{len(outside)} requests failed while the gateway was up, such as {outside[:2]}")
    scene.must(not lost, f"{len(lost)} accepted events are not in the log, such as {sorted(lost)[:2]}")
    scene.must(twice == 0, f"{twice} events are in the log twice")
    ran = scene.figures["pipelines_run"]
    scene.must(ran <= len(keys), f"{ran} pipelines ran for {len(keys)} keys: {dict(keys)}")
    load(releases_of(stage.home), stage.champion())  # raises when the champion is not whole
    scene.must(bool(stage.ledger()), "the ledger is empty")  # reading it checks the chain
    scene.evidence = [f"{name}: killed {count} times" for name, count in sorted(kills.items())]
    return scene


def kill(stage: Stage, victim: str) -> None:
    """kill -9; the loop's own supervision starts it again."""
    if victim != "predictor":
        stage.loop.parts[victim].kill()
        return
    for file in (stage.folder / "home" / "online" / "predictors").glob("*.json"):
        try:
            os.kill(int(json.loads(file.read_text())["pid"]), 9)
        except (OSError, ValueError, KeyError):
            continue


@contextlib.contextmanager
def traffic(stage: Stage) -> Iterator[None]:
    """People visit all the time, whatever is killed; days pass."""
    over = threading.Event()

    def visit() -> None:
        while not over.is_set():
            for _ in range(4):
                stage.session += 1
                stage.visitors.day(stage.day, stage.session, share=0.2, organic=False)
            stage.pass_day()

    thread = threading.Thread(target=visit, name="traffic")
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def back(stage: Stage, before: int) -> None:
    """Until the supervisor has started the gateway again and it answers."""
    deadline = time.monotonic() + 60
    part = stage.loop.parts["gateway"]
    while time.monotonic() < deadline and part.restarts == before:
        time.sleep(0.05)
    part.wait_ready(60)


def ask_for_run(stage: Stage, rng: random.Random) -> int:
    """One alert for a run, of one of the reasons; 1 when it was accepted."""
    token = (stage.loop.folder / "token").read_text().strip()
    body = payload(rng.randrange(10**6))
    reason = rng.choice(["drift", "quality"])
    body["alerts"][0]["labels"] = {**body["alerts"][0]["labels"], "reason": reason}
    return int(post(f"{stage.loop.places.url('controller')}/v1/alerts", body, token) == 200)


def logged(stage: Stage) -> Counter[str]:
    """How often each event id is in the home's log."""
    lines = (json.loads(line) for _, part in segments(stage.home.store, EVENTS, set()) for line in part)
    return Counter(line["event_id"] for line in lines)


def missing(stage: Stage) -> set[str]:
    """Accepted events that the log does not have."""
    return set(stage.visitors.accepted) - set(logged(stage))


def pipelines_run(stage: Stage) -> int:
    """Pipelines that went all the way to a result, whoever started them."""
    return sum(key.endswith("/result.json") for key in stage.home.store.list("runs"))
