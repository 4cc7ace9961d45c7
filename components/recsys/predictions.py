"""The prediction log's records, and reading them back.

>>> for record in read_predictions(home.store, seen := set()):
...     record.request_id, record.variant, [shown.item for shown in record.items]

Segments are gzipped JSON lines under `log/predictions/<day>/<writer>-<number>.jsonl.gz`, written once and never changed.
Upload is at least once, so readers drop a request id that they have had.

>>> read = records_of(home.store, key, prediction_of)
>>> read.rows, read.broken, read.damaged        # damage is the reader's to judge: one stops, another counts it and goes on
"""

import gzip
import json
import zlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import date
from typing import Generic, NamedTuple, TypeVar

import orjson

from components.recsys.errors import StoreError
from components.recsys.store import Store

PREDICTIONS = "log/predictions"
EVENTS = "log/events"  # segments of feedback events, in the columns of the event table; same naming
ENDING = ".jsonl.gz"
BROKEN = (ValueError, TypeError, KeyError, AttributeError, OverflowError)  # what a line that is no record raises
Row = TypeVar("Row")


class DamagedSegment(StoreError):
    """Its bytes are no whole gzip stream. It stays so, since segments never change."""


class Shown(NamedTuple):
    """One place of a list. propensity: the probability that this item was shown in this place."""

    item: str
    score: float
    propensity: float


@dataclass(frozen=True, slots=True)
class Prediction:
    """One list. time: ISO, UTC, of the everloop clock. user: pseudonymous key, "" for nobody.

    variant: who was meant to answer (champion, candidate, shadow). release: who did. failed: "" or why the variant did not
    answer itself (timeout, unreachable, status, invalid), so that another release or the gateway's own fallback did.
    candidates: what could have been shown, best first. latency_ms: of the variant's answer as the gateway saw it.
    """

    request_id: str
    time: str
    user: str
    release: str
    variant: str
    items: tuple[Shown, ...]
    candidates: tuple[str, ...]
    k: int
    latency_ms: float
    fallback: str = ""
    failed: str = ""
    rollout: str = ""
    epoch: int = 0
    history: int = 0
    explored: bool = False

    def to_json(self) -> bytes:
        """One line. A gateway writes each list, so it matters that this takes a thirtieth of `json` and `asdict`."""
        return orjson.dumps(self, default=list)  # list: of the named tuples


def prediction_of(line: bytes | str) -> Prediction:
    """The reverse of `to_json`. Raises ValueError, TypeError or KeyError for what is no record."""
    raw = json.loads(line)
    raw["items"] = tuple(Shown(*shown) for shown in raw["items"])
    raw["candidates"] = tuple(raw["candidates"])
    return Prediction(**raw)


@dataclass(frozen=True)
class Records(Generic[Row]):
    """What a segment holds. broken: lines that are no records. damaged: it could not be read at all."""

    rows: list[Row]
    broken: int = 0
    damaged: bool = False

    @property
    def faults(self) -> int:
        return self.broken + self.damaged


def lines_of(store: Store, key: str) -> list[bytes]:
    """A segment's lines. Raises DamagedSegment; NotFound and StoreError where the store has or gives none."""
    data = store.read(key)
    try:
        if not data:  # zero bytes are an empty stream to gzip, and a lost segment to us
            raise EOFError
        return [line for line in gzip.decompress(data).splitlines() if line]
    except (OSError, EOFError, zlib.error):
        raise DamagedSegment(f"{store.url}/{key} is cut short or damaged; restore it, or delete it to go on") from None


def records_of(store: Store, key: str, row_of: Callable[[bytes], Row]) -> Records[Row]:
    """What can be read of a segment, and how much of it cannot. Raises StoreError where the store itself fails."""
    try:
        lines = lines_of(store, key)
    except DamagedSegment:
        return Records([], damaged=True)
    rows, broken = [], 0
    for line in lines:
        try:
            rows.append(row_of(line))
        except BROKEN:
            broken += 1
    return Records(rows, broken)


def day_of(key: str) -> date | None:
    """The day of `log/<kind>/<day>/<name>.jsonl.gz`; None for what is no segment."""
    parts = key.split("/")
    if len(parts) != 4 or not key.endswith(ENDING):
        return None
    try:
        return date.fromisoformat(parts[2])
    except ValueError:
        return None


def segments(store: Store, prefix: str, seen: set[str]) -> Iterator[tuple[str, list[bytes]]]:
    """Each segment not in `seen`, in the order of their names: its key and its lines. Adds the key to `seen`.

    Raises DamagedSegment: for readers that must have all or nothing.
    """
    for key in store.list(prefix):
        if key not in seen and key.endswith(ENDING):
            lines = lines_of(store, key)
            seen.add(key)
            yield key, lines


def read_predictions(store: Store, seen: set[str]) -> Iterator[Prediction]:
    """Records of segments not in `seen`, each request id once a call. Raises DamagedSegment."""
    known: set[tuple[str, str]] = set()
    for _, lines in segments(store, PREDICTIONS, seen):
        for record in map(prediction_of, lines):
            if (record.request_id, record.variant) not in known:
                known.add((record.request_id, record.variant))
                yield record


def segment(lines: Iterable[bytes]) -> bytes:
    """The bytes of a segment: the same lines give the same bytes."""
    return gzip.compress(b"".join(line + b"\n" for line in lines), compresslevel=5, mtime=0)
