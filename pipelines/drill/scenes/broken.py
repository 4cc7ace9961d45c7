"""A broken release: its predictor crashes, then another's hangs. People must not notice."""

import contextlib
import json
import os
import signal
import threading
import time
from collections.abc import Iterator
from functools import partial

from components.recsys.release import SHORT
from pipelines.drill import releases
from pipelines.drill.scene import Scene
from pipelines.drill.scenes.inverted import aborted
from pipelines.drill.stage import Stage, short

MOST_DAYS = 20
HOWS = {"crashes": signal.SIGKILL, "hangs": signal.SIGSTOP}


def broken(stage: Stage) -> Scene:
    scene = Scene("broken", "a broken release: it crashes, another hangs")
    champion = stage.champion()
    failures = len(stage.visitors.failures)
    for number, (how, number_of_signal) in enumerate(HOWS.items()):
        digest, began = releases.different(stage.home, 400.0 + number), stage.day
        stage.everloop(
            "rollout", "start", digest, "--force", "--reason", f"a release whose predictor {how}, by the drill"
        )
        stage.mark(f"a release whose predictor {how}")
        over = partial(aborted, stage, digest)
        with disturbed(stage, digest, number_of_signal) as times:
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
def disturbed(stage: Stage, digest: str, number: signal.Signals) -> Iterator[list[int]]:
    """The release's predictor gets a signal as soon as it has a share, and again whenever it is back."""
    times, over = [0], threading.Event()
    file = stage.folder / "home" / "online" / "predictors" / f"{digest[:SHORT]}.json"
    touched: set[int] = set()

    def disturb() -> None:
        while not over.wait(0.05):
            with contextlib.suppress(OSError, ValueError, KeyError, AssertionError):
                routes = stage.routes()
                if routes.share > 0 and routes.candidate is not None and routes.candidate.release == digest:
                    pid = int(json.loads(file.read_text())["pid"])
                    if pid not in touched:
                        time.sleep(0.5)  # it answers some people first
                        os.kill(pid, number)
                        touched.add(pid)
                        times[0] += 1

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
