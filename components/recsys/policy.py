"""How a release that passed the gate goes out in this home: at once, or gradually by a rollout.

>>> set_gradual(home.store, True)      # `everloop up` does, because a rollout engine runs beside it
>>> gradual(home.store)
True

It is a fact of the home and not a setting of a run: the same data and settings give the same digest either way.
"""

import json

from components.recsys.errors import NotFound
from components.recsys.store import Store

KEY = "policy.json"


def gradual(store: Store) -> bool:
    """Whether champions change by rollouts only. False where nobody said so."""
    try:
        return bool(json.loads(store.read(KEY)).get("gradual"))
    except (NotFound, ValueError, AttributeError):
        return False


def set_gradual(store: Store, wanted: bool) -> None:
    store.write(KEY, json.dumps({"gradual": wanted}).encode())
