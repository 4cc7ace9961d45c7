"""Batches that are in the tables but have not passed the data gate yet.

>>> begin(home, batch)          # before anything is written
>>> batches_of(home)            # what an interrupted run left behind is judged with the next
['3f2a...']
>>> settle(home, batch)         # it passed
>>> undo(home, batch)           # it did not: items and users go back to what they were

A marker lies in the home from before the first write until the gate has spoken, so a run that is killed in between
leaves nothing that would be trained on unseen.
"""

import json
from typing import Literal

from components.recsys.errors import NotFound
from components.recsys.home import Home
from components.recsys.intake import tables
from components.recsys.release import canonical

KINDS: tuple[Literal["items", "users"], ...] = ("items", "users")


def begin(home: Home, batch: str) -> None:
    """Remember what the tables of items and users were; a second call for the same batch keeps the first memory."""
    home.store.create(_key(batch), canonical({kind: tables.version_of(home, kind) for kind in KINDS}))


def batches_of(home: Home) -> list[str]:
    """The batches that wait for the gate."""
    keys = home.store.list("pending")
    return [key.rpartition("/")[2].removesuffix(".json") for key in keys if key.endswith(".json")]


def settle(home: Home, batch: str) -> None:
    home.store.delete(_key(batch))


def undo(home: Home, batch: str) -> None:
    """Put items and users back to what they were before the batch, as new versions; the old ones stay readable."""
    try:
        before = json.loads(home.store.read(_key(batch)))
    except NotFound:
        return
    for kind in KINDS:
        if tables.open_table(home, kind) is None:
            continue
        former = tables.read_at(home, kind, before[kind]) if before.get(kind) else None
        tables.replace(home, kind, lambda current, former=former: current.head(0) if former is None else former)  # type: ignore[misc]
    home.store.delete(_key(batch))


def _key(batch: str) -> str:
    return f"pending/{batch}.json"
