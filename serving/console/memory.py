"""What the console need not read again every two seconds: the ledger, and what releases are.

>>> entries_of(home)[-1].action
'promote'

The ledger only grows, so it is read and its chain checked again when it has grown, and once a minute anyway.
"""

import time
from functools import lru_cache

from components.recsys.errors import EverloopError
from components.recsys.home import Home
from components.recsys.ledger import Entry, Ledger
from components.recsys.release import read_manifest, releases_of

CHECKED_SECONDS = 60.0


def entries_of(home: Home) -> list[Entry]:
    """All entries, oldest first. Raises Refused where the chain is broken, StoreError when the store fails."""
    return list(_entries(home.url, tuple(home.store.list("ledger")), int(time.monotonic() / CHECKED_SECONDS)))


@lru_cache(maxsize=4)
def _entries(url: str, keys: tuple[str, ...], minute: int) -> tuple[Entry, ...]:
    return tuple(Ledger(Home(url)).entries())


def model_of(home: Home, release: str) -> str:
    """The name of a release's model; empty where the release cannot be read."""
    try:
        return _model(home.url, release)
    except EverloopError:
        return ""


@lru_cache(maxsize=64)
def _model(url: str, release: str) -> str:
    return str(read_manifest(releases_of(Home(url)), release)["model"])
