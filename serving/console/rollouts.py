"""The newest rollout, in the console's words: from what the engine stored, and from its last word what guards say now.

>>> latest_rollout(home, facts={})["steps"]
[{'share': 0.05, 'state': 'done'}, {'share': 0.25, 'state': 'now'}, {'share': 1.0, 'state': 'todo'}]
"""

from collections.abc import Sequence

from components.recsys.home import Home
from serving.console.watching import Facts, Json, dicts
from serving.rollout.state import Rollout, Rollouts

GUARD = ("guard", "state", "sentence", "figures", "interval", "trail")
TRAIL = 120  # points of a sparkline


def latest_rollout(home: Home, facts: Facts) -> Json | None:
    """None when there was none. Raises StoreError where it is unreadable."""
    rollout = Rollouts(home.store).newest()
    return told_rollout(rollout, facts) if rollout else None


def told_rollout(rollout: Rollout, facts: Facts) -> Json:
    """Guards: of the engine's last word while the rollout runs, else as they stood when it was decided."""
    last = rollout.moves[-1] if rollout.moves else None
    now = list(dicts(facts.get("guards"))) if rollout.active and facts.get("rollout") == rollout.id else []
    return {
        "id": rollout.id,
        "state": "paused" if rollout.paused and rollout.active else rollout.state,
        "candidate": rollout.candidate,
        "champion": rollout.champion,
        "since": rollout.since,
        "why": last.why if last else rollout.reason,
        "broken": rollout.broken,
        "steps": steps_of(rollout, [float(share) for share in facts.get("steps") or []]),
        "guards": [guard_of(each) for each in now or (last.guards if last else [])],
        # Of the candidate at this step, and how many it takes to the next.
        "lists": facts.get("lists") if now else None,
        "min_lists": facts.get("min_lists") if now else None,
        "moves": [
            {"time": move.time, "state": move.state, "share": move.share, "why": move.why} for move in rollout.moves
        ],
    }


def steps_of(rollout: Rollout, asked: Sequence[float]) -> list[Json]:
    """Each share with done, now, todo, or, where the rollout was aborted, stopped. asked: of the engine's settings."""
    taken = [move.share for move in rollout.moves if move.state == "step"]
    ahead = [share for share in asked if not taken or share > taken[-1]] if rollout.active else []
    last = {"aborted": "stopped", "promoted": "done", "promoting": "done"}.get(rollout.state, "now")
    done = [{"share": share, "state": "done" if index < len(taken) - 1 else last} for index, share in enumerate(taken)]
    return done + [{"share": share, "state": "todo"} for share in ahead]


def guard_of(each: Facts) -> Json:
    guard = {name: each.get(name) for name in GUARD}
    if isinstance(guard["trail"], list):
        guard["trail"] = guard["trail"][-TRAIL:]
    return guard
