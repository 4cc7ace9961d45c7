"""What the monitor remembers: counts, and how far it has read, in one object that is replaced whole.

>>> memory = Memory.read(store) or Memory(key, plan)
>>> memory.write(store)                # monitor/aggregates/counts.bin

A kill between two writes loses what was read since, and the next look reads the same segments again: nothing is counted
twice, nothing is left out. Bounded: a few days of counts, 8 bytes a segment of recent days, 8 bytes an event among the latest.
"""

import hashlib
import io
import json
import zlib
from collections import OrderedDict
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from components.recsys.drift import Aggregates, Exposure
from components.recsys.errors import NotFound
from components.recsys.store import Store

KEY = "monitor/aggregates/counts.bin"
FORMAT = 2
MOST_IDS = 200_000  # ids remembered, for writers that say the same twice: 1.6 MB
Ids = npt.NDArray[np.uint64]


def id_of(text: str) -> int:
    """64 bits of a hash, the same in every process."""
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "big")


class Recent:
    """The latest MOST_IDS ids."""

    def __init__(self, ids: Ids | None = None, most: int = MOST_IDS) -> None:
        self.most = most
        self.ids: OrderedDict[int, None] = OrderedDict((int(one), None) for one in (ids if ids is not None else ()))

    def first_time(self, text: str) -> bool:
        """Whether it is new; remembers it."""
        one = id_of(text)
        if one in self.ids:
            return False
        self.ids[one] = None
        if len(self.ids) > self.most:
            self.ids.popitem(last=False)
        return True

    def array(self) -> Ids:
        return np.fromiter(self.ids, np.uint64, len(self.ids))


@dataclass
class Memory:
    """key: what the counts were made from; others make another plan. looked: the day of the last look.

    segments: hashes of read keys by the day of their folder. newest: Unix seconds of the newest event and list.
    """

    key: str
    counts: Aggregates
    exposure: Exposure
    looked: int = 0
    segments: dict[int, set[int]] = field(default_factory=dict)
    recent: Recent = field(default_factory=Recent)
    newest: dict[str, float] = field(default_factory=dict)
    broken: int = 0

    def to_bytes(self) -> bytes:
        meta = {
            "format": FORMAT,
            "key": self.key,
            "looked": self.looked,
            "newest": self.newest,
            "broken": self.broken,
            "width": self.counts.width,
            "items": self.exposure.items,
        }
        arrays: dict[str, Any] = {
            "meta": np.frombuffer(json.dumps(meta).encode(), np.uint8),
            "recent": self.recent.array(),
            "segments": np.array(
                [(day, one) for day, hashes in sorted(self.segments.items()) for one in sorted(hashes)], np.uint64
            ).reshape(-1, 2),
        }
        for name, days in (("counts", self.counts.days), ("exposure", self.exposure.days)):
            order = sorted(days)
            arrays[f"{name}.days"] = np.array(order, np.int64)
            if order:
                arrays[name] = np.stack([days[day] for day in order])
        past = sorted(self.counts.past)
        arrays["past.days"] = np.array(past, np.int64)
        if past:
            arrays["past"] = np.stack([self.counts.past[day] for day in past])
        file = io.BytesIO()
        np.savez(file, allow_pickle=False, **arrays)
        return zlib.compress(file.getvalue(), 1)  # mostly zeros: a twentieth of the size in a tenth of a second

    @classmethod
    def from_bytes(cls, data: bytes) -> "Memory":
        """Raises ValueError for anything that `to_bytes` did not make."""
        try:
            with np.load(io.BytesIO(zlib.decompress(data)), allow_pickle=False) as arrays:
                meta = json.loads(arrays["meta"].tobytes())
                if meta["format"] != FORMAT:
                    raise ValueError(f"format {meta['format']}")
                days = {
                    name: dict(zip(map(int, arrays[f"{name}.days"]), arrays.get(name, ()), strict=True))
                    for name in ("counts", "exposure", "past")
                }
                segments: dict[int, set[int]] = {}
                for day, one in arrays["segments"].tolist():
                    segments.setdefault(int(day), set()).add(int(one))
                return cls(
                    meta["key"],
                    Aggregates(meta["width"], days["counts"], days["past"]),
                    Exposure(meta["items"], days["exposure"]),
                    meta["looked"],
                    segments,
                    Recent(arrays["recent"]),
                    meta["newest"],
                    meta["broken"],
                )
        except (zlib.error, KeyError, TypeError, OSError, EOFError, AttributeError) as error:
            raise ValueError(str(error)) from None

    @classmethod
    def read(cls, store: Store) -> "Memory | None":
        """None when there is none, or none that can be read: then it is made anew from the logs."""
        try:
            return cls.from_bytes(store.read(KEY))
        except (NotFound, ValueError):
            return None

    def write(self, store: Store) -> None:
        store.write(KEY, self.to_bytes())
