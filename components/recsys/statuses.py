"""What each part of the loop says of itself, where every other part and the console can read it.

>>> Statuses(home.store).write("monitor", {"drift": [...]})
>>> Statuses(home.store).read("monitor", stale_seconds=60)
Status(part='monitor', time='2026-11-24T13:30:00+00:00', age_seconds=3.1, stale=False, facts={'drift': [...]})

A part that is down says nothing: its word grows old, and readers are told how old.
"""

import json
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from components.recsys.errors import NotFound
from components.recsys.store import Store

PARTS = ("gateway", "rollout", "monitor", "controller")
STALE_SECONDS = 30.0


@dataclass(frozen=True)
class Status:
    """A part's last word. time: of the machine, since silence is real whatever the drill's clock says. facts: {} for none ever.

    stale: also for a word from the future, since the machine's clock was set back: whether its writer lives nobody knows."""

    part: str
    time: str
    age_seconds: float
    stale: bool
    facts: dict[str, Any]


class Statuses:
    """Keys `status/<part>.json`."""

    def __init__(self, store: Store) -> None:
        self.store = store

    def write(self, part: str, facts: dict[str, Any]) -> None:
        value = {"time": datetime.now(UTC).isoformat(timespec="milliseconds"), "facts": facts}
        self.store.write(f"status/{part}.json", json.dumps(value, ensure_ascii=False, default=str).encode())

    def read(self, part: str, stale_seconds: float = STALE_SECONDS) -> Status:
        try:
            value = json.loads(self.store.read(f"status/{part}.json"))
            age = (datetime.now(UTC) - datetime.fromisoformat(value["time"])).total_seconds()
        except (NotFound, ValueError, KeyError):
            return Status(part, "", float("inf"), True, {})
        return Status(part, value["time"], age, abs(age) > stale_seconds, value["facts"])
