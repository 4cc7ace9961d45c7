"""The newest rollout as the engine keeps it, in the console's words.

>>> latest_rollout(home, facts={})["steps"]
[{'share': 0.05, 'state': 'done'}, {'share': 0.25, 'state': 'now'}, {'share': 1.0, 'state': 'todo'}]
"""

import json
from collections.abc import Mapping
from typing import Any

from components.recsys.errors import StoreError
from components.recsys.home import Home
from serving.console.watching import Facts, Json, dicts

GUARD = ("guard", "state", "sentence", "figures", "interval", "trail")
TRAIL = 120  # points of a sparkline


def latest_rollout(home: Home, facts: Facts) -> Json | None:
    """The rollout that the engine names as its own, else the last by name. Raises StoreError where it is unreadable."""
    keys = [key for key in home.store.list("rollouts") if key.endswith(".json")]
    named = f"rollouts/{facts.get('rollout')}.json"
    if not keys:
        return None
    key = named if named in keys else keys[-1]
    try:
        kept = json.loads(home.store.read(key))
        if not isinstance(kept, Mapping):
            raise ValueError("it is no object")
    except ValueError as error:
        raise StoreError(f"{home.url}/{key} is not what was written ({error})") from None
    return told_rollout(kept)


def told_rollout(kept: Facts) -> Json:
    names = ("id", "outcome", "candidate", "champion", "since", "why", "share", "paused")
    return {
        **{name: kept.get(name) for name in names},
        "steps": steps_of(kept),
        "guards": [guard_of(each) for each in dicts(kept.get("guards"))],
    }


def steps_of(kept: Facts) -> list[Json]:
    """Each share with done, now or todo."""
    at, running = int(kept.get("step") or 0), kept.get("outcome") == "running"
    return [
        {"share": share, "state": "done" if index < at else "now" if running and index == at else "todo"}
        for index, share in enumerate(kept.get("steps") or [])
    ]


def guard_of(each: Facts) -> Json:
    guard: dict[str, Any] = {name: each.get(name) for name in GUARD}
    if isinstance(guard["trail"], list):
        guard["trail"] = guard["trail"][-TRAIL:]
    return guard
