"""Log segments of a small home, written as the gateway writes them."""

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Any

import pytest

from components.recsys.buckets import secret_of, user_key
from components.recsys.home import Home
from components.recsys.predictions import EVENTS, PREDICTIONS, Prediction, Shown, segment

START = datetime(2026, 11, 1, tzinfo=UTC)


class Log:
    """Times are hours after the start of day 0, the first of November."""

    def __init__(self, home: Home) -> None:
        self.home, self.secret, self.numbers = home, secret_of(home.store), count(1)

    def at(self, hours: float) -> datetime:
        return START + timedelta(hours=hours)

    def shown(self, request: str, user: str, hours: float, items: str, variant: str = "champion") -> bytes:
        """A list of one-letter items."""
        key = user_key(self.secret, user) if user else ""
        shown = tuple(Shown(item, 1.0 - place / 10, 0.5) for place, item in enumerate(items))
        record = Prediction(
            request, self.at(hours).isoformat(), key, "release-a", variant, shown, tuple(items), len(items), 1.0
        )
        return record.to_json()

    def event(
        self, own: str, user: str, item: str, hours: float, kind: str = "click", request: str | None = None, **more: Any
    ) -> bytes:
        row = {"user_id": user, "item_id": item, "timestamp": self.at(hours).isoformat(), "event": kind}
        return json.dumps({**row, "value": None, "event_id": own, "request_id": request, **more}).encode()

    def lists(self, hours: float, *lines: bytes) -> str:
        return self._put(PREDICTIONS, hours, lines)

    def events(self, hours: float, *lines: bytes) -> str:
        """Exported at this time."""
        return self._put(EVENTS, hours, lines)

    def _put(self, prefix: str, hours: float, lines: tuple[bytes, ...]) -> str:
        key = f"{prefix}/{self.at(hours):%Y-%m-%d}/w-{next(self.numbers):06d}.jsonl.gz"
        assert self.home.store.create(key, segment(lines))
        return key


@pytest.fixture
def log(tmp_path: Any) -> Log:
    return Log(Home(tmp_path / "home"))


@pytest.fixture
def logs() -> Callable[[Home], Log]:
    """Of a home of one's own."""
    return Log
