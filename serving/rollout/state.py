"""Where a rollout stands, stored before anything is done about it.

>>> rollouts = Rollouts(home.store)
>>> rollouts.write(Rollout.begin(entry, champion, at="2026-11-24T13:30:00+00:00"))
>>> rollouts.newest()
Rollout(id='r-0000000007', state='waiting', ...)

waiting (for its predictor) -> shadow, if asked for -> step, once for each share -> promoting -> promoted; from each of
them -> aborted. One JSON object a rollout, `rollouts/<id>.json`; its id is the ledger's number of its approval, so the
same approval never makes two. Wishes of people (pause, resume, abort) lie under `wishes/rollout/` until the engine has
stored what came of them.
"""

import json
import uuid
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from typing import Any, Literal, Self

from components.recsys.errors import StoreError
from components.recsys.ledger import Entry, actor_here
from components.recsys.release import canonical
from components.recsys.store import Store

State = Literal["waiting", "shadow", "step", "promoting", "promoted", "aborted"]
Wish = Literal["pause", "resume", "abort"]
ENDED: tuple[State, ...] = ("promoted", "aborted")
MOST_MOVES = 100  # of a rollout's story that are kept; a rollout of three steps has about six

ROLLOUTS, WISHES = "rollouts", "wishes/rollout"


@dataclass(frozen=True)
class Move:
    """One change of state. time: ISO, of the everloop clock. guards: what they said when it was decided."""

    time: str
    state: State
    why: str
    share: float = 0.0
    epoch: int = 0
    guards: list[dict[str, Any]] = field(default_factory=list)


@dataclass(frozen=True)
class Rollout:
    """approved: number of the ledger entry. step: index of the share; -1 before the first. epoch: of the routes from
    which this state's records count. since: when the state began. reason: why it was approved, and in the end why it ended."""

    id: str
    candidate: str
    champion: str
    salt: str
    approved: int
    reason: str
    began: str
    since: str
    state: State = "waiting"
    step: int = -1
    share: float = 0.0
    epoch: int = 0
    paused: bool = False
    broken: str = ""  # the guard that ended it
    crashes_before: int = 0  # of the candidate's process, in earlier rollouts
    moves: tuple[Move, ...] = ()

    @classmethod
    def begin(cls, approval: Entry, champion: str, at: str) -> Self:
        id = id_of(approval)
        first = Move(at, "waiting", approval.reason)
        # The salt holds the approval's hash: nobody knows before it who will be in which group.
        salt = f"{id}-{approval.hash[:16]}"
        return cls(
            id, approval.release, champion, salt, approval.sequence, approval.reason, began=at, since=at, moves=(first,)
        )

    @property
    def active(self) -> bool:
        return self.state not in ENDED

    def moved(self, state: State, at: str, why: str, guards: list[dict[str, Any]] | None = None, **more: Any) -> Self:
        """The next state, with the story told on."""
        then = replace(self, state=state, since=at, **more)
        move = Move(at, state, why, then.share, then.epoch, guards or [])
        return replace(then, moves=(*self.moves, move)[-MOST_MOVES:])

    def epochs(self) -> list[tuple[int, float]]:
        """(first epoch, share) of each step so far, the first step first."""
        return [(move.epoch, move.share) for move in self.moves if move.state == "step"]

    def shadow_epoch(self) -> int:
        return next((move.epoch for move in self.moves if move.state == "shadow"), 0)


def id_of(approval: Entry) -> str:
    return f"r-{approval.sequence:010d}"


@dataclass(frozen=True)
class Wished:
    """What a person asked for. rollout: which they meant, so that a late wish does not strike the next one."""

    wish: Wish
    rollout: str
    reason: str
    actor: str
    key: str = ""


class Rollouts:
    """The rollouts of a home, and what people wish of them."""

    def __init__(self, store: Store) -> None:
        self.store = store

    def newest(self) -> Rollout | None:
        """None when there was none. Raises StoreError when it is unreadable."""
        keys = [key for key in self.store.list(ROLLOUTS) if key.endswith(".json")]
        return self.read(keys[-1]) if keys else None

    def read(self, key: str) -> Rollout:
        try:
            raw = json.loads(self.store.read(key))
            return Rollout(**{**raw, "moves": tuple(Move(**move) for move in raw["moves"])})
        except (ValueError, TypeError, KeyError) as error:
            raise StoreError(f"{self.store.url}/{key} is not what was written ({error})") from None

    def write(self, rollout: Rollout) -> None:
        self.store.write(f"{ROLLOUTS}/{rollout.id}.json", canonical(asdict(rollout)))

    def wish(self, wish: Wish, rollout: str, reason: str) -> None:
        """Ask the engine, wherever it runs; it answers within a turn."""
        value = {"wish": wish, "rollout": rollout, "reason": reason, "actor": actor_here()}
        name = f"{datetime.now(UTC).strftime('%Y%m%dT%H%M%S.%f')}-{uuid.uuid4().hex[:8]}"
        self.store.write(f"{WISHES}/{name}.json", canonical(value))

    def wishes(self) -> list[Wished]:
        """All that are open, oldest first. One that cannot be read is dropped."""
        found = []
        for key in self.store.list(WISHES):
            try:
                found.append(Wished(**json.loads(self.store.read(key)), key=key))
            except (ValueError, TypeError):
                self.store.delete(key)
        return found

    def done(self, wished: Wished) -> None:
        self.store.delete(wished.key)
