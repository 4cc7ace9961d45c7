"""The prediction log's records, and reading them back.

>>> for record in read_predictions(home.store, seen := set()):
...     record.request_id, record.variant, [shown.item for shown in record.items]

Segments are gzipped JSON lines under `log/predictions/<day>/<writer>-<number>.jsonl.gz`, written once and never changed.
Upload is at least once, so readers drop a request id that they have had.
"""

import gzip
import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

import orjson

from components.recsys.store import Store

PREDICTIONS = "log/predictions"
EVENTS = "log/events"  # segments of feedback events, in the columns of the event table; same naming


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


def segments(store: Store, prefix: str, seen: set[str]) -> Iterator[tuple[str, list[bytes]]]:
    """Each segment not in `seen`, in the order of their names: its key and its lines. Adds the key to `seen`."""
    for key in store.list(prefix):
        if key not in seen and key.endswith(".jsonl.gz"):
            lines = gzip.decompress(store.read(key)).splitlines()
            seen.add(key)
            yield key, [line for line in lines if line]


def read_predictions(store: Store, seen: set[str]) -> Iterator[Prediction]:
    """Records of segments not in `seen`, each request id once a call."""
    known: set[tuple[str, str]] = set()
    for _, lines in segments(store, PREDICTIONS, seen):
        for record in map(prediction_of, lines):
            if (record.request_id, record.variant) not in known:
                known.add((record.request_id, record.variant))
                yield record


def segment(lines: Iterable[bytes]) -> bytes:
    """The bytes of a segment: the same lines give the same bytes."""
    return gzip.compress(b"".join(line + b"\n" for line in lines), compresslevel=5, mtime=0)
