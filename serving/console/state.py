"""Everything that the console shows, as one JSON object.

>>> state(Home(".everloop"), own={"lists": 1234})
{'time': ..., 'serving': {...}, 'rollout': {...}, 'drift': None, 'parts': [{'part': 'gateway', 'stale': False, ...}], ...}

`None` says that nobody has told us, which is never the same as "all is well"; `parts` says how old each part's word is.
Nothing raises: a store that fails or a ledger that was tampered with becomes a sentence where its content would stand.
"""

import math
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any, TypeVar

from components.recsys.clock import now
from components.recsys.errors import EverloopError
from components.recsys.home import Home
from components.recsys.ledger import Entry
from components.recsys.routes import Routes
from components.recsys.statuses import PARTS, Status, Statuses
from serving.console.memory import entries_of, model_of
from serving.console.rollouts import latest_rollout
from serving.console.watching import told_decisions, told_drift, told_quality

Json = dict[str, Any]
Kind = TypeVar("Kind")
NEWEST = 20  # ledger entries shown
DEEPEST, MOST = 6, 200  # of what other parts say: a page is no place for more


def state(home: Home, own: Mapping[str, Any]) -> Json:
    """own: what the gateway counts itself, name -> number or text; shown as it is."""
    faults: list[str] = []
    none: list[Entry] = []
    entries = tried(faults, lambda: entries_of(home), none)
    ledger_fault = faults[-1] if faults else ""
    words = {part: word_of(home, part, faults) for part in PARTS}
    shown = {
        "time": now().isoformat(timespec="seconds"),
        "machine_time": datetime.now(UTC).isoformat(timespec="seconds"),
        "home": home.url,
        "serving": who_serves(home, entries),
        "rollout": tried(faults, lambda: latest_rollout(home, words["rollout"].facts), None),
        "drift": tried(faults, lambda: told_drift(words["monitor"].facts), None),
        "quality": tried(faults, lambda: told_quality(words["monitor"].facts), None),
        "controller": tried(faults, lambda: told_decisions(words["controller"].facts), None),
        "ledger": {
            "entries": [vars(entry) for entry in reversed(entries[-NEWEST:])],
            "total": len(entries),
            "fault": ledger_fault,
        },
        "parts": [heartbeat(status) for status in words.values()],
        "gateway": dict(own),
        "faults": faults,
    }
    return {name: plain(value) for name, value in shown.items()}


def who_serves(home: Home, entries: list[Entry]) -> Json:
    """The champion and the candidate with their shares, from the routes; before any were written, from the ledger."""
    faults: list[str] = []
    routes = tried(faults, lambda: Routes.read(home.store), None)
    champion = entries[-1].champion if entries else ""
    if routes is None:
        shares = [("champion", champion, 1.0)] if champion else []
    else:
        shares = [
            (name, target.release, part)
            for name, target, part in (
                ("champion", routes.champion, 1.0 - routes.share if routes.candidate else 1.0),
                ("candidate", routes.candidate, routes.share),
            )
            if target
        ]
        if champion and routes.champion and routes.champion.release != champion:
            faults.append(
                f"The ledger's champion is {champion[:12]}, but {routes.champion.release[:12]} is routed: "
                "the rollout engine has yet to follow, or is down."
            )
    return {
        "variants": [
            {
                "variant": name,
                "release": release,
                "share": part,
                **chosen(entries, release, name),
                "model": model_of(home, release),
            }
            for name, release, part in shares
        ],
        "epoch": routes.epoch if routes else None,
        "mirror": bool(routes and routes.mirror),
        "faults": faults,
    }


def chosen(entries: list[Entry], release: str, variant: str) -> Json:
    """Since when and why: the newest decision that put the release where it is."""
    actions = ("promote", "rollback") if variant == "champion" else ("share", "approve")
    for entry in reversed(entries):
        if entry.release == release and entry.action in actions:
            return {"since": entry.time, "why": entry.reason}
    return {"since": "", "why": ""}


def heartbeat(status: Status) -> Json:
    if status.part == "gateway":  # it is answering this very question
        note = "answers" if not (status.stale and status.time) else "answers, but cannot write its word to the home"
        return {"part": "gateway", "time": status.time, "age_seconds": 0.0, "stale": False, "note": note}
    age = status.age_seconds if math.isfinite(status.age_seconds) else None
    return {"part": status.part, "time": status.time, "age_seconds": age, "stale": status.stale, "note": ""}


def word_of(home: Home, part: str, faults: list[str]) -> Status:
    """A part's last word; silence where it cannot be read."""
    silence = Status(part, "", math.inf, True, {})
    word = tried(faults, lambda: Statuses(home.store).read(part), silence)
    return word if isinstance(word.facts, dict) else silence


def tried(faults: list[str], read: Callable[[], Kind], otherwise: Kind) -> Kind:
    """What `read` gives, or `otherwise` and a sentence more in `faults`."""
    try:
        return read()
    except EverloopError as error:
        faults.append(str(error))
    except (TypeError, ValueError, KeyError, AttributeError) as error:
        # Another process wrote it, and perhaps another version of it: one part's word must not hide those of the others.
        faults.append(f"what a part of the loop wrote cannot be understood here ({type(error).__name__}: {error})")
    return otherwise


def plain(value: Any, depth: int = 0) -> Any:
    """JSON that every browser takes: no NaN or infinity, and of what other parts wrote no more than a page can show."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {str(k): plain(v, depth + 1) for k, v in list(value.items())[:MOST]} if depth < DEEPEST else "…"
    if isinstance(value, list | tuple):
        return [plain(each, depth + 1) for each in value[:MOST]] if depth < DEEPEST else "…"
    return value if isinstance(value, str | int | bool) or value is None else str(value)
