"""The log's segments by the day of their folder, each read once.

>>> folders = Folders(home.store, home.store)
>>> for day, keys in folders.unread(first=None, last=date(2026, 11, 24)):
...     records, broken = folders.predictions(keys)
"""

import gzip
import zlib
from collections.abc import Callable, Iterable
from datetime import date, timedelta
from typing import TypeVar

from components.recsys.predictions import EVENTS, PREDICTIONS
from components.recsys.store import Store

MANY_DAYS = 62  # from here on one listing of everything is cheaper than one a day
DAMAGED = (OSError, EOFError, zlib.error)
Row = TypeVar("Row")


class Folders:
    """Segments are never changed, so a key that was read is done with; `forget` what lies too far back to return."""

    def __init__(self, predictions: Store, events: Store) -> None:
        self.stores = {PREDICTIONS: predictions, EVENTS: events}
        self.seen: set[str] = set()

    def unread(self, first: date | None, last: date) -> list[tuple[date, list[str]]]:
        """Keys not read yet by day, the oldest first. first: None for as far back as there is anything."""
        keys: list[str] = []
        for prefix, store in self.stores.items():
            if first is None or (last - first).days > MANY_DAYS:
                keys += store.list(prefix)
            else:
                for ahead in range((last - first).days + 1):
                    keys += store.list(f"{prefix}/{first + timedelta(days=ahead)}")
        days: dict[date, list[str]] = {}
        for key in keys:
            day = day_of(key)
            if key not in self.seen and day is not None and (first is None or first <= day) and day <= last:
                days.setdefault(day, []).append(key)
        return sorted(days.items())

    def rows(self, key: str, row_of: Callable[[bytes], Row]) -> tuple[list[Row], int]:
        """What a segment holds, and how many of its lines are no records (1 for a damaged segment). Raises StoreError."""
        store = self.stores[PREDICTIONS if key.startswith(PREDICTIONS + "/") else EVENTS]
        data = store.read(key)
        try:
            lines = gzip.decompress(data).splitlines()
        except DAMAGED:
            return [], 1
        rows, broken = [], 0
        for line in lines:
            try:
                rows.append(row_of(line))
            except (ValueError, TypeError, KeyError, AttributeError, OverflowError):
                broken += 1
        return rows, broken

    def mark(self, keys: Iterable[str]) -> None:
        """As done with."""
        self.seen.update(keys)

    def forget(self, before: date) -> None:
        self.seen = {key for key in self.seen if (day_of(key) or before) >= before}


def day_of(key: str) -> date | None:
    """The day of `log/<kind>/<day>/<name>.jsonl.gz`; None for what is no segment."""
    parts = key.split("/")
    if len(parts) != 4 or not key.endswith(".jsonl.gz"):
        return None
    try:
        return date.fromisoformat(parts[2])
    except ValueError:
        return None
