"""What the controller keeps of a wish to train: who asked, how it was decided, and what came of it.

>>> State.ADMITTED in NEXT[State.RECEIVED]
True

RECEIVED -> ADMITTED | SUPPRESSED(reason) -> SUBMITTING -> RUNNING -> SUCCEEDED | FAILED(reason) -> PROMOTED | REJECTED.
States only move forward, and each is stored before what it announces is done.
"""

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

Json = dict[str, Any]
KEPT_ALERTS = 20  # of each trigger, as evidence; more are counted
# Why somebody wants a run. Alerts name theirs in the label `reason`; anything else is "other", so that keys are few.
CLASSES = ("drift", "quality", "stale", "other")
MANUAL = "manual"
MODEL = "everloop"  # the label `model` of our alerts: a home has one recommender
UNKNOWN_MODEL = "unknown"  # stands for every model that is not ours, so that hostile names make no keys


class State(StrEnum):
    RECEIVED = "RECEIVED"
    ADMITTED = "ADMITTED"
    SUPPRESSED = "SUPPRESSED"
    SUBMITTING = "SUBMITTING"
    RUNNING = "RUNNING"
    SUCCEEDED = "SUCCEEDED"
    FAILED = "FAILED"
    PROMOTED = "PROMOTED"
    REJECTED = "REJECTED"


NEXT: dict[State, tuple[State, ...]] = {
    State.RECEIVED: (State.ADMITTED, State.SUPPRESSED),
    State.ADMITTED: (State.SUBMITTING,),
    State.SUBMITTING: (State.RUNNING, State.FAILED),
    State.RUNNING: (State.SUCCEEDED, State.FAILED),
    State.SUCCEEDED: (State.PROMOTED, State.REJECTED),
    State.SUPPRESSED: (),
    State.FAILED: (),
    State.PROMOTED: (),
    State.REJECTED: (),
}
ACTIVE = (State.ADMITTED, State.SUBMITTING, State.RUNNING)  # has a run, or is about to
GOOD = ("promoted", "approved")  # outcomes of a run after which another release serves, or is on its way to


@dataclass(frozen=True)
class Intent:
    """One wish, before it is stored. alerts: what asked, at most KEPT_ALERTS of `copies`."""

    model: str
    reason_class: str
    asked_by: str
    copies: int = 1
    alerts: tuple[Json, ...] = ()
    note: str = ""
    forced: bool = False


@dataclass(frozen=True)
class Block:
    """An alert that forbids training while it fires. key: of its name and labels."""

    key: str
    name: str
    labels: Json
    firing: bool


@dataclass(frozen=True)
class Trigger:
    """One stored wish. key: of its run, should it get one. Times are seconds since 1970 of the loop's clock.

    reason: why it was suppressed or failed, in a word; detail: in a sentence. outcome, release: the run's. stage: where it failed.
    overridden: the guards that said no when it was forced. evidence: {"alerts": the first ones, "note": a person's words}.
    """

    id: int
    key: str
    model: str
    reason_class: str
    asked_by: str
    state: State
    received: float
    updated: float
    admitted: float | None = None
    ended: float | None = None
    reason: str = ""
    detail: str = ""
    outcome: str = ""
    release: str = ""
    stage: str = ""
    handle: str = ""
    forced: bool = False
    overridden: str = ""
    copies: int = 1
    resolved: float | None = None
    evidence: Json = field(default_factory=dict)
