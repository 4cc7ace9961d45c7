"""Who served when, and why: an append-only, hash-chained list of decisions.

>>> ledger = Ledger(home)
>>> ledger.append("promote", release=digest, reason="beats the champion: nDCG +0.012 [0.004, 0.020]")
>>> ledger.champion(at=datetime(2026, 11, 23, 12, tzinfo=UTC))
'9f2c...'

One small JSON object an entry, `ledger/0000000001.json` and so on, created with put-if-absent: two writers never take
the same number. Each entry holds the hash of the one before, so an entry that was changed, or removed from
among others, is found whenever the ledger is read. (Removing the newest leaves a shorter ledger that is whole: keep the
home's backups, or the bucket's object lock, where that matters.)
"""

import hashlib
import json
import os
import re
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from typing import Any, Literal

from components.recsys.clock import now
from components.recsys.errors import Refused, StoreError
from components.recsys.home import Home
from components.recsys.release import canonical

# approve: passed the gate, waits for its rollout. share: a rollout's candidate has this share of users from now on
# (evidence: rollout, salt, share). abort: the rollout ended without promotion.
Action = Literal["promote", "reject", "rollback", "approve", "share", "abort"]
MOVES: tuple[Action, ...] = ("promote", "rollback")  # the actions that change the champion
ENTRY = re.compile(r"ledger/\d{10}\.json")  # beside which a file manager may leave its own files
START = "0" * 64
TRIES = 100  # appends that lose a race in a row before we call it a fault


@dataclass(frozen=True)
class Entry:
    """One decision. champion: who serves after it (empty before the first promotion)."""

    sequence: int
    time: str
    action: Action
    release: str
    champion: str
    previous_champion: str
    reason: str
    actor: str = ""
    run: str = ""
    evidence: dict[str, Any] = field(default_factory=dict)
    previous_hash: str = START
    hash: str = ""


class Ledger:
    """The decisions of one home."""

    def __init__(self, home: Home, clock: Callable[[], datetime] = now) -> None:
        self.store = home.store
        self.clock = clock

    def entries(self) -> list[Entry]:
        """All entries, oldest first, the chain checked. Raises Refused where it is broken."""
        entries: list[Entry] = []
        before = START
        for expected, key in enumerate(filter(ENTRY.fullmatch, self.store.list("ledger")), start=1):
            raw = self.store.read(key)
            try:
                entry = Entry(**json.loads(raw))
                sound = raw == canonical(asdict(entry))
            except (ValueError, TypeError, RecursionError):
                sound = False
            if not sound:
                raise Refused(f"{key} is not what was written: the ledger has been changed by hand")
            if entry.sequence != expected or entry.previous_hash != before or entry.hash != _hash(entry):
                raise Refused(
                    f"ledger entry {expected} does not fit the one before it: the ledger has been changed by hand"
                )
            entries.append(entry)
            before = entry.hash
        return entries

    def append(
        self,
        action: Action,
        release: str,
        reason: str,
        run: str = "",
        evidence: dict[str, Any] | None = None,
        expect_champion: str | None = None,
        actor: str = "",
    ) -> Entry:
        """Add a decision. actor: who decided, where that is not who runs this process.

        With `expect_champion`, only if that is still the champion (compare and swap; else Refused)."""
        for _ in range(TRIES):
            entries = self.entries()
            champion = entries[-1].champion if entries else ""
            if expect_champion is not None and champion != expect_champion:
                raise Refused(
                    "the champion changed in the meantime; nothing was done, look at `everloop releases` and decide again"
                )
            # Never earlier than the entry before, so that a clock set back cannot reorder history.
            time = max(
                self.clock().astimezone(UTC).isoformat(timespec="microseconds"), entries[-1].time if entries else ""
            )
            entry = Entry(
                sequence=len(entries) + 1,
                time=time,
                action=action,
                release=release,
                champion=release if action in MOVES else champion,
                previous_champion=champion,
                reason=reason,
                actor=actor or actor_here(),
                run=run,
                evidence=evidence or {},
                previous_hash=entries[-1].hash if entries else START,
            )
            entry = Entry(**{**asdict(entry), "hash": _hash(entry)})
            if self.store.create(f"ledger/{entry.sequence:010d}.json", canonical(asdict(entry))):
                return entry
        raise StoreError(f"the ledger was written {TRIES} times by others while we tried; run again")

    def champion(self, at: datetime | None = None) -> str:
        """Who serves now, or served at a time; empty when nobody did."""
        entry = self.last_move(at)
        return entry.champion if entry else ""

    def on_its_way(self) -> Entry | None:
        """The approval of a release whose rollout has not ended, and that no later champion has overtaken."""
        entries = self.entries()
        approvals = [entry for entry in entries if entry.action == "approve"]
        if not approvals:
            return None
        over = any(
            entry.action in MOVES or (entry.action == "abort" and entry.release == approvals[-1].release)
            for entry in entries[approvals[-1].sequence :]
        )
        return None if over else approvals[-1]

    def last_move(self, at: datetime | None = None) -> Entry | None:
        """The decision that put the champion of that time in place."""
        limit = at.astimezone(UTC).isoformat(timespec="microseconds") if at else None
        moves = [e for e in self.entries() if e.action in MOVES and (limit is None or e.time <= limit)]
        return moves[-1] if moves else None


def actor_here() -> str:
    """Who acts in this process, as ledgers and wishes name them: EVERLOOP_ACTOR, else the user."""
    return os.environ.get("EVERLOOP_ACTOR") or os.environ.get("USER") or f"uid {os.getuid()}"


def _hash(entry: Entry) -> str:
    return hashlib.sha256(canonical({k: v for k, v in asdict(entry).items() if k != "hash"})).hexdigest()
