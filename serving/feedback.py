"""Events that clients send: read from JSON, then written many at a time.

>>> read_feedback({"user_id": "42", "item_id": "242", "event": "click"}, ServingSettings(), now=time.time())
[Feedback(user_id='42', item_id='242', timestamp=1700000000000000, event='click', ...)]
"""

import asyncio
import hashlib
import math
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import Any

import orjson

from components.recsys.errors import InputError
from components.recsys.settings import ServingSettings
from serving.asks import described, read_id, unknown
from serving.history import Feedback, History

FIELDS = frozenset({"user_id", "item_id", "timestamp", "event", "value", "request_id", "event_id"})
OLDEST = datetime(1990, 1, 1, tzinfo=UTC).timestamp()  # as the data gate: zero and wrong units land in 1970
AHEAD = 86_400.0  # seconds that a clock may be fast
# From the first number on, seconds would lie beyond the year 5000: it must be milliseconds, and so on.
UNITS = ((1e11, 1.0), (1e14, 1e3), (1e17, 1e6), (math.inf, 1e9))


def read_feedback(body: Any, settings: ServingSettings, now: float) -> list[Feedback]:
    """One event, or `{"events": [...]}`. now: Unix seconds, for events without a time. Raises InputError."""
    if not isinstance(body, dict):
        raise InputError('the body must be a JSON object such as {"user_id": "42", "item_id": "242", "event": "click"}')
    if "events" not in body:
        return [read_event(body, now, "event")]
    events = body["events"]
    if not isinstance(events, list) or not events:
        raise InputError(f'"events" must be a list with at least one object, not {described(events)}')
    if len(events) > settings.max_instances:
        raise InputError(f'"events" has {len(events)} entries; at most {settings.max_instances} are taken at once')
    return [read_event(event, now, f"events[{index}]") for index, event in enumerate(events)]


def read_event(given: Any, now: float, where: str) -> Feedback:
    if not isinstance(given, dict):
        raise InputError(f"{where} must be an object, not {described(given)}")
    if not FIELDS.issuperset(given):
        raise unknown(next(name for name in given if name not in FIELDS), FIELDS, where)
    for name in ("user_id", "item_id"):
        if given.get(name) is None:
            raise InputError(f"{where} lacks {name}")
    user, item = read_id(given["user_id"], f"{where}.user_id"), read_id(given["item_id"], f"{where}.item_id")
    kind = read_id(given["event"], f"{where}.event") if given.get("event") is not None else "interaction"
    request = read_id(given["request_id"], f"{where}.request_id") if given.get("request_id") is not None else ""
    timestamp, value = (
        read_time(given.get("timestamp"), now, f"{where}.timestamp"),
        read_value(given.get("value"), f"{where}.value"),
    )
    if given.get("event_id") is not None:
        own = read_id(given["event_id"], f"{where}.event_id")
    else:
        own = hashlib.sha256(orjson.dumps([user, item, timestamp, kind, value, request])).hexdigest()
    return Feedback(user, item, timestamp, kind, value, request, own)


def read_time(value: Any, now: float, where: str) -> int:
    """Microseconds since 1970 of ISO 8601 text (UTC without a zone), or of seconds, milli-, micro- or nanoseconds."""
    if value is None:
        return int(now * 1e6)
    if isinstance(value, str):
        try:
            time = datetime.fromisoformat(value)
            seconds = (time if time.tzinfo else time.replace(tzinfo=UTC)).timestamp()
        except (ValueError, OverflowError):
            raise InputError(f"{where} must be ISO 8601 or a number of seconds, not {described(value)}") from None
    elif isinstance(value, int | float) and not isinstance(value, bool):
        seconds = value / next(unit for limit, unit in UNITS if abs(value) < limit or limit == math.inf)
    else:
        raise InputError(f"{where} must be ISO 8601 or a number of seconds, not {described(value)}")
    if not OLDEST <= seconds <= now + AHEAD:
        raise InputError(f"{where} is {described(value)}: it must lie between 1990 and now")
    return round(seconds * 1e6)


def read_value(value: Any, where: str) -> float | None:
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise InputError(f"{where} must be a number, not {described(value)}")
    return float(value)


class Writer:
    """Appends to a history beside the event loop; what arrives while a commit runs goes into the next one, together."""

    def __init__(self, history: History) -> None:
        self.history = history
        self.waiting: list[tuple[Sequence[Feedback], asyncio.Future[list[bool]]]] = []
        self.task: asyncio.Task[None] | None = None
        self.pool = ThreadPoolExecutor(max_workers=1, thread_name_prefix="history")

    async def append(self, events: Sequence[Feedback]) -> list[bool]:
        """Which of the events were new, once they are safely kept. Raises StoreError."""
        done: asyncio.Future[list[bool]] = asyncio.get_running_loop().create_future()
        self.waiting.append((events, done))
        if self.task is None or self.task.done():
            self.task = asyncio.create_task(self._write())
        return await done

    async def _write(self) -> None:
        loop = asyncio.get_running_loop()
        while self.waiting:
            batch, self.waiting = self.waiting, []
            try:
                fresh = iter(
                    await loop.run_in_executor(
                        self.pool, self.history.append, [event for events, _ in batch for event in events]
                    )
                )
            except Exception as error:  # noqa: BLE001 - every waiter must hear of it, whatever it is
                for _, done in batch:
                    if not done.done():
                        done.set_exception(error)
            else:
                for events, done in batch:
                    results = [next(fresh) for _ in events]
                    if not done.done():
                        done.set_result(results)

    def close(self) -> None:
        self.pool.shutdown(wait=True)
