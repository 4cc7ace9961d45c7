"""The controller's runs, as a scene counts them.

>>> runs = runs_since(stage, mark)
>>> [run["reason_class"] for run in runs]
['drift']
"""

from typing import Any

from pipelines.drill.stage import Stage

Json = dict[str, Any]
RAN = ("ADMITTED", "SUBMITTING", "RUNNING", "SUCCEEDED", "FAILED", "PROMOTED", "REJECTED")
UNDER_WAY = ("RECEIVED", "ADMITTED", "SUBMITTING", "RUNNING", "SUCCEEDED")


def decisions(stage: Stage) -> list[Json]:
    """What the controller decided, the newest first: triggers with state and reason."""
    return list(stage.status("controller").get("decisions", []))


def newest(stage: Stage) -> int:
    """Number of the latest trigger; 0 before the first."""
    return max((int(one["id"]) for one in decisions(stage)), default=0)


def runs_since(stage: Stage, mark: int) -> list[Json]:
    """Triggers after `mark` that became a run, oldest first."""
    found = [one for one in decisions(stage) if int(one["id"]) > mark and one["state"] in RAN]
    return sorted(found, key=lambda one: int(one["id"]))


def ended(stage: Stage, mark: int) -> bool:
    """Whether there is a run after `mark` and none is under way."""
    found = runs_since(stage, mark)
    return bool(found) and not any(one["state"] in UNDER_WAY for one in found)
