"""What the champion knows: since when it serves, until when its training data go, and what its items look like.

>>> reference = read_reference(home, today=20_600)
>>> reference.release, reference.trained_until, reference.promoted
('9f2c...', 20_590, 20_591)

Days since 1970. Drift is measured against this, so that a release trained on the new ways ends the alarm.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

import numpy as np
import polars as pl

from components.recsys.drift.vectors import item_vectors
from components.recsys.errors import EverloopError
from components.recsys.home import Home
from components.recsys.intake import tables
from components.recsys.ledger import Ledger
from components.recsys.release import load, read_manifest, releases_of
from components.recsys.settings import DriftSettings

DAY_SECONDS = 86_400
Doubles = np.ndarray[Any, np.dtype[np.float64]]


@dataclass(frozen=True)
class Reference:
    """trained_until: the day after the last event that the champion was trained on; without a champion, of the table's last event.

    promoted: the day on which it began to lead. events, items: versions of the home's tables, -1 without one.
    """

    release: str
    trained_until: int
    promoted: int
    events: int
    items: int

    def key(self, settings: DriftSettings) -> str:
        """The same when counts made for one can be gone on with for the other."""
        binning = (settings.max_bins, settings.seed, settings.window_days, settings.baseline_windows)
        return f"{self.release}/{self.trained_until}/{self.promoted}/{self.events}/{self.items}/{binning}"


def read_reference(home: Home, before: Reference | None = None) -> Reference | None:
    """None while there is nothing to compare with: neither events nor a champion. Raises EverloopError.

    before: the last answer; what cannot have changed is taken from it.
    """
    table, items = tables.open_table(home, "events"), tables.open_table(home, "items")
    if table is None:
        return None
    versions = int(table.version()), int(items.version()) if items is not None else -1
    move = Ledger(home).last_move()
    release = move.champion if move else ""
    promoted = day_of(datetime.fromisoformat(move.time)) if move else -1
    if before and (before.release, before.events, before.items) == (release, *versions):
        return Reference(release, before.trained_until, promoted if move else before.promoted, *versions)
    until = _last_day(home, table, release) + 1
    return Reference(release, until, promoted if move else until, *versions)


def _last_day(home: Home, table: Any, release: str) -> int:
    """Of the data that the release was trained on."""
    if release:
        data = read_manifest(releases_of(home), release).get("data_version") or {}
        if data.get("events") is not None:
            table = tables.open_table(home, "events", int(data["events"]))
    with tables.told(home):
        newest = tables.scan(home, table).select(pl.col("timestamp").max()).collect()[0, 0]
    return day_of(newest) if newest is not None else -1


def vectors_of(home: Home, release: str, items: list[str]) -> tuple[Doubles | None, str]:
    """(items, dimensions) by the champion's own model, NaN rows for items that it does not know; and why there are none."""
    if not release:
        return None, "no champion yet"
    try:
        loaded = load(releases_of(home), release)
        own = item_vectors(loaded)
    except EverloopError as error:
        return None, str(error)
    place = {item: index for index, item in enumerate(loaded.model.items)}
    rows = np.array([place.get(item, -1) for item in items])
    vectors = np.full((len(items), own.shape[1]), np.nan)
    vectors[rows >= 0] = own[rows[rows >= 0]]
    return vectors, ""


def day_of(moment: datetime) -> int:
    return int(moment.timestamp() // DAY_SECONDS)
