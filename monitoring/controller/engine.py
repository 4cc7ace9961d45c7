"""The controller's turn: decide what was received, start what was admitted, look after what runs.

>>> controller = Controller(triggers, switches, launcher, RetrainSettings())
>>> controller.turn()

It holds nothing that is not stored: a controller that is killed anywhere and started again goes on where it was. What was
admitted is submitted; what may have been submitted is looked for first.
"""

import time
from collections.abc import Callable, Collection

from components.recsys.errors import EverloopError, StoreError
from components.recsys.settings import RetrainSettings
from monitoring.controller.guards import objections
from monitoring.controller.launcher import Launcher
from monitoring.controller.measures import Measures
from monitoring.controller.records import GOOD, MODEL, State, Trigger
from monitoring.controller.switches import Switches
from monitoring.controller.triggers import DATA_QUALITY, Triggers

Told = Callable[[str], None]
GATE_STAGE = "validate"  # the pipeline's step whose no is about the data
TRIES = 20  # of a submission, a minute apart at the end: a quarter of an hour
LONGEST_WAIT = 60.0


class Controller:
    """told: one sentence for each thing that happened."""

    def __init__(
        self,
        triggers: Triggers,
        switches: Switches,
        launcher: Launcher,
        settings: RetrainSettings,
        measures: Measures | None = None,
        told: Told = lambda text: None,
        models: Collection[str] = (MODEL,),
        on_its_way: Callable[[], str] = lambda: "",
    ) -> None:
        """on_its_way: says, in a sentence, which release a rollout is giving to people; "" for none."""
        self.on_its_way = on_its_way
        self.triggers, self.switches, self.launcher = triggers, switches, launcher
        self.settings, self.models, self.told = settings, models, told
        self.measures = measures or Measures()
        self.trouble = ""  # what keeps the controller from going on, in a sentence
        self.tries: dict[int, tuple[int, float]] = {}  # failed submissions of a trigger, and when to try again
        self.steps: dict[State, Callable[[Trigger], Trigger]] = {
            State.RECEIVED: self._decide,
            State.ADMITTED: self._begin,
            State.SUBMITTING: self._submit,
            State.RUNNING: self._look,
            State.SUCCEEDED: self._conclude,
        }

    def turn(self) -> bool:
        """Bring everything as far as it goes now. False when another controller on this database is at it.

        Raises StoreError when the database fails; then nothing is lost, and the next turn goes on.
        """
        with self.triggers.database.alone() as mine:
            if not mine:
                self.trouble = "another controller works on this database; this one stands by"
                return False
            self.trouble, self.counted = "", False
            # What runs first, so that a run that has ended frees its place for a decision of the same turn.
            waiting = sorted(self.triggers.open(), key=lambda row: (row.state is State.RECEIVED, row.id))
            for row in waiting:
                self._advance(row)
            self._measure()
        return True

    def _advance(self, row: Trigger) -> None:
        while row.state in self.steps:
            before = row.state
            try:
                row = self.steps[before](row)
            except StoreError as error:  # the launcher's, or ours: either may pass
                self.trouble = str(error)
                return
            if row.state is before:
                return
            self.told(_sentence(row))

    def _decide(self, row: Trigger) -> Trigger:
        if not self.counted:
            self.new_events, self.counted = self.launcher.new_events(), True
        judged = self.triggers.decide(
            row.id,
            self.new_events,
            lambda trigger, situation: objections(trigger, situation, self.settings, self.models),
            self.on_its_way(),
        )
        self.measures.decided(judged)
        return judged

    def _begin(self, row: Trigger) -> Trigger:
        return self.triggers.move(row, State.SUBMITTING)

    def _submit(self, row: Trigger) -> Trigger:
        tries, again = self.tries.get(row.id, (0, 0.0))
        if time.monotonic() < again:
            return row
        mark = self.triggers.checkpoint
        try:
            mark("before find")
            handle = self.launcher.find(row.key)
            mark("after find")
            if handle is None:
                mark("before submit")
                handle = self.launcher.submit(row.key, {**row.evidence, "asked_by": row.asked_by, "key": row.key})
                mark("after submit")
        except StoreError as error:
            self.tries[row.id] = (tries + 1, time.monotonic() + min(2.0**tries, LONGEST_WAIT))
            if tries + 1 < TRIES:
                raise
            return self._failed(row, "submission", str(error))
        except EverloopError as error:
            return self._failed(row, "submission", str(error))
        self.tries.pop(row.id, None)
        return self.triggers.move(row, State.RUNNING, handle=handle)

    def _look(self, row: Trigger) -> Trigger:
        mark = self.triggers.checkpoint
        mark("before state")
        try:
            progress = self.launcher.state(row.handle)
        except StoreError:
            raise
        except EverloopError as error:
            return self._failed(row, "lost", str(error))
        mark("after state")
        if progress.state == "running":
            return row
        if progress.state == "succeeded":
            detail = "; ".join(filter(None, (row.detail, progress.reason)))[:1000]
            return self.triggers.move(
                row, State.SUCCEEDED, outcome=progress.outcome, release=progress.release, detail=detail
            )
        if progress.stage == GATE_STAGE and progress.refused:
            return self._failed(row, DATA_QUALITY, progress.reason, progress.stage)
        return self._failed(row, "run", progress.reason, progress.stage)

    def _failed(self, row: Trigger, reason: str, detail: str, stage: str = "") -> Trigger:
        row = self.triggers.move(row, State.FAILED, reason=reason, detail=detail[:1000], stage=stage)
        self.measures.ended(row)
        return row

    def _conclude(self, row: Trigger) -> Trigger:
        row = self.triggers.move(row, State.PROMOTED if row.outcome in GOOD else State.REJECTED)
        self.measures.ended(row)
        return row

    def _measure(self) -> None:
        active, _, last_success = self.triggers.figures()
        held = self.switches.read()
        self.measures.looked(active, held, held.failures >= self.settings.breaker_failures, last_success)


def _sentence(row: Trigger) -> str:
    word = row.outcome if row.state in (State.PROMOTED, State.REJECTED) else row.reason
    said = ": ".join(filter(None, (word, row.detail)))
    return f"{row.key} {row.state}{f' ({said})' if said else ''}"
