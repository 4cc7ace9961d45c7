"""A broken release: one predictor crashes, another hangs, a third lags. People must not notice."""

import contextlib
import json
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from functools import partial

from components.recsys.release import SHORT
from pipelines.drill import releases
from pipelines.drill.scene import Scene
from pipelines.drill.scenes.inverted import aborted
from pipelines.drill.stage import Stage, short

MOST_DAYS = 20
HOWS: dict[str, Callable[[int], None]] = {
    "crashes": lambda pid: os.kill(pid, signal.SIGKILL),
    "hangs": lambda pid: os.kill(pid, signal.SIGSTOP),
    "lags": lambda pid: slow_down(pid),
}
BEAT = (0.25, 0.05)  # seconds stopped and running of one that lags: it answers everybody, late


def broken(stage: Stage) -> Scene:
    scene = Scene("broken", "a broken release: it crashes, another hangs, a third lags")
    champion = stage.champion()
    failures = len(stage.visitors.failures)
    for number, (how, harm) in enumerate(HOWS.items()):
        digest, began = releases.different(stage.home, 400.0 + number), stage.day
        stage.everloop(
            "rollout", "start", digest, "--force", "--reason", f"a release whose predictor {how}, by the drill"
        )
        stage.mark(f"a release whose predictor {how}")
        over = partial(aborted, stage, digest)
        with disturbed(stage, digest, harm) as times:
            passed = stage.pass_days(MOST_DAYS, until=over)
            scene.must(stage.wait(over, 10), f"the release that {how} was not aborted")
        stage.mark("aborted")
        abort = next((e for e in stage.ledger() if e.action == "abort" and e.release == digest), None)
        scene.figures |= {
            f"{how}_days_to_abort": stage.day - began,
            f"{how}_lists_meanwhile": sum(day.lists for day in passed),
            f"{how}_times": times[0],
            f"{how}_guard": abort.evidence.get("guard", "") if abort else "",
        }
        scene.must(times[0] > 0, f"the predictor that {how} was never touched")
        if abort:
            scene.evidence.append(f"ledger: abort {short(digest)}: {abort.reason}")
    scene.figures["failed_requests"] = len(stage.visitors.failures) - failures
    scene.must(scene.figures["failed_requests"] == 0, f"clients saw failures: {stage.visitors.failures[failures:][:3]}")
    scene.must(stage.champion() == champion, "another release leads")
    return scene


@contextlib.contextmanager
def disturbed(stage: Stage, digest: str, harm: Callable[[int], None]) -> Iterator[list[int]]:
    """The release's predictor is harmed as soon as it has a share, and each one that comes after it; how often."""
    times, over = [0], threading.Event()
    file = stage.folder / "home" / "online" / "predictors" / f"{digest[:SHORT]}.json"
    touched: set[int] = set()

    def disturb() -> None:
        while not over.wait(0.05):
            # One that lags is harmed again and again; the others once each.
            with contextlib.suppress(OSError, ValueError, KeyError, AssertionError):
                routes = stage.routes()
                if routes.share > 0 and routes.candidate is not None and routes.candidate.release == digest:
                    pid = int(json.loads(file.read_text())["pid"])
                    if pid not in touched:
                        over.wait(0.5)  # it answers some people first
                        touched.add(pid)
                        times[0] += 1
                    elif harm is not HOWS["lags"]:
                        continue
                    harm(pid)

    thread = threading.Thread(target=disturb, name="disturbing", daemon=True)
    thread.start()
    try:
        yield times
    finally:
        over.set()
        thread.join()
        for pid in touched:  # one that hangs could not hear the engine's goodbye
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)


def slow_down(pid: int) -> None:
    """Once around: stopped for a while, then running for a moment."""
    stopped, running = BEAT
    os.kill(pid, signal.SIGSTOP)
    time.sleep(stopped)
    os.kill(pid, signal.SIGCONT)
    time.sleep(running)
