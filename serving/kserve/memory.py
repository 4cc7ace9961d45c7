"""What the engine must remember of releases on KServe when it is started anew: since when one is idle, how often it fell.

>>> memory = Memory(home.store)
>>> memory.idle_since(digest, now)
1764000000.0

One object in the home, `rollout/kserve.json`. Not in the cluster: an annotation of an InferenceService goes on to its pods,
which would start anew. Times: Unix, of the machine. Pods come and go; the ends of those that are gone stay counted.
"""

import json
from typing import Any

from components.recsys.errors import NotFound
from components.recsys.release import canonical
from components.recsys.store import Store

KEY = "rollout/kserve.json"
MOST_PODS = 20  # of a release whose counts are told apart; a release has three


class Memory:
    """Written when something changed, in `keep`."""

    def __init__(self, store: Store) -> None:
        self.store = store
        try:
            raw: dict[str, Any] = json.loads(store.read(KEY))
            self.idle = {str(digest): float(since) for digest, since in raw["idle"].items()}
            self.pods = {str(digest): dict(pods) for digest, pods in raw["pods"].items()}
        except (NotFound, ValueError, KeyError, TypeError, AttributeError):
            # Unreadable is as good as none: pods stay a little longer, counts begin again.
            self.idle, self.pods = {}, {}
        self.written = self._state()

    def idle_since(self, digest: str, at: float) -> float:
        """Since when nobody needs it; from now on, if that is new."""
        return self.idle.setdefault(digest, at)

    def needed(self, digest: str) -> None:
        self.idle.pop(digest, None)

    def fell(self, digest: str, counts: dict[str, int]) -> None:
        """counts: pod's uid -> how often its containers ended, as the cluster has it now."""
        if not counts:
            return
        known = self.pods.setdefault(digest, {})
        for pod, count in counts.items():
            known[pod] = max(count, known.get(pod, 0))
        while len(known) > MOST_PODS:
            first = next(name for name in known if name != "gone")
            known["gone"] = known.get("gone", 0) + known.pop(first)

    def falls(self, digest: str) -> int:
        return sum(self.pods.get(digest, {}).values())

    def forget(self, digest: str) -> None:
        self.idle.pop(digest, None)
        self.pods.pop(digest, None)

    def keep(self) -> None:
        state = self._state()
        if state != self.written:
            self.store.write(KEY, state)
            self.written = state

    def _state(self) -> bytes:
        return canonical({"idle": self.idle, "pods": self.pods})
