"""The drill from beginning to end: scenes played in order on one stage, and what came of them.

>>> result = play(Path(".everloop/drill"), names=[], builtin=False, told=print)
>>> result["failed_requests"], [scene["ok"] for scene in result["scenes"]]
(0, [True, True, ...])
"""

import shutil
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from components.recsys.errors import EverloopError, InputError
from components.recsys.simulator import LABEL
from pipelines.drill.scene import Scene
from pipelines.drill.scenes import EXTRA, SCENES
from pipelines.drill.stage import BASE_DAYS, Stage
from pipelines.loop.leftovers import Leftovers

Json = dict[str, Any]
Told = Callable[[str], None]


def play(
    folder: Path, names: Sequence[str], builtin: bool, told: Told, seed: int = 7, soak_seconds: float = 300.0
) -> Json:
    """The scenes named, or all. folder: emptied first. Raises InputError for an unknown scene."""
    known = {**SCENES, **EXTRA}
    unknown = [name for name in names if name not in known]
    if unknown:
        raise InputError(f"there is no scene '{unknown[0]}'; known are {', '.join(known)}")
    folder = folder.absolute()
    if folder.exists():
        if any(folder.iterdir()) and not (folder / "clock").exists():
            raise InputError(f"{folder} holds something that is no drill; name another --folder")
        Leftovers(folder / "home" / "loop" / "parts.json").end(told)  # of a drill that was killed
        shutil.rmtree(folder)
    folder.mkdir(parents=True)
    began = time.monotonic()
    with Stage(folder, told, seed=seed, builtin=builtin, soak_seconds=soak_seconds) as stage:
        scenes = [played(name, stage, told) for name in names or SCENES]
        return {
            "label": LABEL,
            "failed_requests": len(stage.visitors.failures),
            "failures": [failure.why for failure in stage.visitors.failures[:5]],
            "requests": stage.visitors.requests,
            "ok": all(scene.ok for scene in scenes) and not stage.visitors.failures,
            "seconds": round(time.monotonic() - began, 1),
            "seed": seed,
            "watched_by": "Prometheus and Alertmanager" if stage.loop.programs else "the built-in evaluator",
            "scenes": [scene.to_dict() for scene in scenes],
            "timeline": timeline(stage),
        }


def played(name: str, stage: Stage, told: Told) -> Scene:
    told(f"scene: {name}")
    began = time.monotonic()
    try:
        scene = {**SCENES, **EXTRA}[name](stage)
    except EverloopError as error:
        scene = Scene(name, name, problems=[f"the scene broke off: {error}"])
    scene.seconds = time.monotonic() - began
    told(f"scene {name}: {'ok' if scene.ok else 'NOT OK: ' + '; '.join(scene.problems)} ({scene.seconds:.0f} s)")
    return scene


def timeline(stage: Stage) -> Json:
    """Day by day, for the picture: click rate, the candidate's share, and what happened."""
    return {
        "days": [day.day for day in stage.days],
        "click_rate": [round(day.click_rate, 4) for day in stage.days],
        "lists": [day.lists for day in stage.days],
        "share": stage.shares,
        "marks": stage.marks,
        "first_day": BASE_DAYS,
        "oracle_rate": stage.informed_rate,
    }
