"""Who served a user at a time: what the ledger assigned, and what the log says was really given.

>>> served = who_served(home, datetime(2026, 11, 23, 12, tzinfo=UTC), user="42")
>>> served.release, served.variant, served.told_by
('9f2c...', 'candidate', 'log')

The ledger knows the champion of every moment and each share of a rollout with its salt, so the group of a user can be
computed for ever. The log knows which release answered, also when another stood in for a variant that failed.
"""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Literal

from components.recsys.buckets import CANDIDATE, CHAMPION, SHADOW, bucket, secret_of, user_key, variant_of
from components.recsys.errors import StoreError
from components.recsys.home import Home
from components.recsys.ledger import MOVES, Entry, Ledger
from components.recsys.predictions import BROKEN, PREDICTIONS, Prediction, prediction_of, segments
from components.recsys.store import Store

# A list that was given earlier than this before the moment says nothing of it; segments lie in folders of days.
BACK = timedelta(days=1)


@dataclass(frozen=True)
class Assigned:
    """What the ledger says of a moment. changed: the entry that made it so. candidate, salt: "" outside rollouts."""

    champion: str
    changed: Entry
    move: Entry
    candidate: str = ""
    share: float = 0.0
    salt: str = ""
    rollout: str = ""

    def variant(self, key: str) -> str:
        return variant_of(bucket(self.salt, key), self.share) if self.candidate and key else CHAMPION

    def release(self, variant: str) -> str:
        return self.candidate if variant == CANDIDATE else self.champion


@dataclass(frozen=True)
class Served:
    """release: who answered, or would have. told_by: `log` where a list was found, else `ledger`. last: that list."""

    release: str
    variant: str
    told_by: Literal["log", "ledger"]
    assigned: Assigned
    last: Prediction | None = None

    def rollout(self) -> dict[str, Any] | None:
        """Of the rollout under way, for whoever shows it; None outside."""
        if not self.assigned.candidate:
            return None
        return {"id": self.assigned.rollout, "candidate": self.assigned.candidate, "share": self.assigned.share}


def assigned_at(entries: list[Entry], moment: datetime) -> Assigned | None:
    """The champion of a moment and the rollout under way; None before the first champion."""
    limit = moment.astimezone(UTC).isoformat(timespec="microseconds")
    state: Assigned | None = None
    for entry in entries:
        if entry.time > limit:
            break
        if entry.action in MOVES:
            state = Assigned(entry.champion, entry, entry)
        elif state and entry.action == "share":
            told = entry.evidence
            state = Assigned(
                state.champion, entry, state.move, entry.release, told["share"], told["salt"], told["rollout"]
            )
        elif state and entry.action == "abort" and state.rollout == entry.evidence.get("rollout"):
            state = Assigned(state.champion, entry, state.move)
    return state


def who_served(home: Home, moment: datetime, user: str = "", sink: Store | None = None) -> Served | None:
    """None before the first champion. sink: where the prediction log lies, if not in the home. Raises StoreError, Refused."""
    assigned = assigned_at(Ledger(home).entries(), moment)
    if assigned is None:
        return None
    if not user:
        return Served(assigned.champion, CHAMPION, "ledger", assigned)
    key = user_key(secret_of(home.store), user)
    variant = assigned.variant(key)
    last = last_list(sink or home.store, key, moment)
    # A list of before the last change is told, but says nothing of who serves after it.
    if last is not None and last.time >= assigned.changed.time:
        return Served(last.release, last.variant, "log", assigned, last)
    return Served(assigned.release(variant), variant, "ledger", assigned, last)


def last_list(log: Store, key: str, moment: datetime) -> Prediction | None:
    """The last list that a user was given at or before a moment, of that day and the day before."""
    limit = moment.astimezone(UTC).isoformat(timespec="microseconds")
    found: Prediction | None = None
    needle = key.encode()
    # The day after too: a record made just before midnight may be in a segment that was closed after it.
    for day in (moment - BACK, moment, moment + BACK):
        for name, lines in segments(log, f"{PREDICTIONS}/{day.astimezone(UTC).date().isoformat()}", set()):
            for line in lines:
                if needle not in line:
                    continue
                try:
                    record = prediction_of(line)
                except BROKEN:  # perhaps the very list that is asked for
                    raise StoreError(f"{log.url}/{name} has a line of this user that cannot be read") from None
                right = record.user == key and record.variant != SHADOW and record.time <= limit
                if right and (found is None or record.time >= found.time):
                    found = record
    return found
