"""The log's segments by the day of their folder, each read once.

>>> folders = Folders(home.store, home.store)
>>> for day, keys in folders.unread(first=None, last=date(2026, 11, 24)):
...     records, broken = folders.predictions(keys)
"""

from collections.abc import Callable, Iterable
from datetime import date, timedelta

from components.recsys.predictions import EVENTS, PREDICTIONS, Row, day_of, records_of
from components.recsys.store import Store

MANY_DAYS = 62  # from here on one listing of everything is cheaper than one a day


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
        read = records_of(store, key, row_of)
        return read.rows, read.faults

    def mark(self, keys: Iterable[str]) -> None:
        """As done with."""
        self.seen.update(keys)

    def forget(self, before: date) -> None:
        self.seen = {key for key in self.seen if (day_of(key) or before) >= before}
