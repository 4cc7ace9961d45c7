"""Whatever comes in whatever order, with clocks that jump and controllers that die: what must hold does."""

import contextlib
import os
import shutil
import tempfile
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from components.recsys.clock import VARIABLE, now, set_clock
from components.recsys.errors import StoreError
from components.recsys.settings import RetrainSettings
from monitoring.controller.database import SQLite
from monitoring.controller.engine import Controller
from monitoring.controller.launcher import Progress
from monitoring.controller.records import ACTIVE, CLASSES, MANUAL, NEXT, Block, Intent, State
from monitoring.controller.switches import Switches
from monitoring.controller.triggers import Triggers

BUDGET, CONCURRENT, HOUR = 3, 2, 3600.0
SETTINGS = RetrainSettings(cooldown_seconds=HOUR, daily_budget=BUDGET, max_concurrent=CONCURRENT, min_new_events=0)
BLOCK = Block("b", "DataQualityFailed", {}, firing=True)


class Crash(BaseException):
    """Nobody catches it."""


class Runs:
    """A launcher that counts how often each key was really started."""

    def __init__(self) -> None:
        self.starts: dict[str, int] = {}
        self.runs: dict[str, Progress] = {}
        self.down = False
        self.lose_answer = False

    def submit(self, key: str, evidence: dict[str, Any]) -> str:
        self._be_up()
        self.starts[key] = self.starts.get(key, 0) + 1  # as Kubeflow's: who creates twice has two
        self.runs[key] = Progress("running")
        if self.lose_answer:
            self.lose_answer = False
            raise StoreError("the answer was lost")
        return key

    def find(self, key: str) -> str | None:
        self._be_up()
        return key if key in self.runs else None

    def state(self, handle: str) -> Progress:
        self._be_up()
        return self.runs[handle]

    def new_events(self) -> int | None:
        return None

    def _be_up(self) -> None:
        if self.down:
            raise StoreError("cannot be reached")


def later(state: State) -> set[State]:
    """The state and all that may follow."""
    return {state}.union(*(later(after) for after in NEXT[state]))


class Life(RuleBasedStateMachine):
    """accepted: copies that the store confirmed. asked: copies that were sent at all."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp(prefix="everloop-states-"))
        self.before = os.environ.get(VARIABLE)
        os.environ[VARIABLE] = str(self.folder / "clock")
        set_clock(self.folder / "clock", datetime(2026, 3, 2, 12, tzinfo=UTC))
        self.launcher = Runs()
        self.countdown = -1
        self.accepted = self.asked = 0
        self.seen: dict[int, State] = {}
        self.start()

    def start(self) -> None:
        database = SQLite(self.folder / "controller.sqlite")
        database.connection.execute("PRAGMA synchronous = OFF")  # no power is cut here, and a disk's patience is short
        self.database = database
        self.triggers = Triggers(self.database, SETTINGS.cooldown_seconds, self.checkpoint)
        self.switches = Switches(self.database)
        self.controller = Controller(self.triggers, self.switches, self.launcher, SETTINGS)

    def checkpoint(self, point: str) -> None:
        self.countdown -= 1
        if self.countdown == 0:
            raise Crash

    @contextlib.contextmanager
    def mortal(self) -> Any:
        """A crash in here is followed by a restart."""
        try:
            yield
        except Crash:
            self.database.close()
            self.start()

    @rule(reason=st.sampled_from([*CLASSES, MANUAL]), copies=st.integers(1, 30), forced=st.booleans())
    def an_alert_comes(self, reason: str, copies: int, forced: bool) -> None:
        self.asked += copies
        with self.mortal():
            self.triggers.receive([Intent("everloop", reason, "test", copies, forced=forced and reason == MANUAL)])
            self.accepted += copies

    @rule()
    def a_turn(self) -> None:
        with self.mortal():
            self.controller.turn()

    @rule(points=st.integers(1, 12))
    def it_will_die(self, points: int) -> None:
        self.countdown = points

    @rule()
    def it_is_restarted(self) -> None:
        self.database.close()
        self.start()

    @rule(hours=st.floats(-30, 30, allow_nan=False))
    def the_clock_moves(self, hours: float) -> None:
        set_clock(self.folder / "clock", now() + timedelta(hours=hours))

    @precondition(lambda self: any(run.state == "running" for run in self.launcher.runs.values()))
    @rule(data=st.data(), end=st.sampled_from(["promoted", "rejected", "failed", "refused"]))
    def a_run_ends(self, data: Any, end: str) -> None:
        running = sorted(key for key, run in self.launcher.runs.items() if run.state == "running")
        failed = Progress("failed", reason=end, stage="validate", refused=end == "refused")
        ended = failed if end in ("failed", "refused") else Progress("succeeded", outcome=end)
        self.launcher.runs[data.draw(st.sampled_from(running))] = ended

    @rule(down=st.booleans(), lose=st.booleans())
    def the_runner_falters(self, down: bool, lose: bool) -> None:
        self.launcher.down, self.launcher.lose_answer = down, lose

    @rule(what=st.sampled_from(["pause", "resume", "block", "unblock"]))
    def somebody_intervenes(self, what: str) -> None:
        if what == "pause":
            self.switches.pause("because", "ada")
        elif what == "resume":
            self.switches.resume("ada", data_quality=True)
        else:
            self.switches.take([Block(BLOCK.key, BLOCK.name, {}, firing=what == "block")])

    @invariant()
    def a_key_has_at_most_one_run(self) -> None:
        assert all(count == 1 for count in self.launcher.starts.values())
        keys = [row.key for row in self.triggers.runs(10_000)]
        assert len(keys) == len(set(keys))
        assert set(self.launcher.starts) <= set(keys)

    @invariant()
    def never_more_than_the_budget_or_at_once(self) -> None:
        rows = [row for row in self.triggers.runs(10_000) if not row.forced]
        times = sorted(row.admitted for row in rows if row.admitted is not None)
        for first, last in zip(times, times[BUDGET:], strict=False):
            assert last - first >= 24 * HOUR
        assert sum(row.state in ACTIVE for row in rows) <= CONCURRENT

    @invariant()
    def no_accepted_wish_is_lost(self) -> None:
        copies = sum(row.copies for row in self.triggers.latest(10_000))
        assert self.accepted <= copies <= self.asked

    @invariant()
    def states_only_move_forward(self) -> None:
        rows = {row.id: row.state for row in self.triggers.latest(10_000)}
        for number, state in self.seen.items():
            # What was received may have been added to an earlier one that was suppressed for the same reason.
            assert number in rows or state is State.RECEIVED
            assert number not in rows or rows[number] in later(state)
        self.seen = rows

    def teardown(self) -> None:
        """In the end the machine is well, and then nothing stays undecided."""
        self.countdown = -1
        self.launcher.down = self.launcher.lose_answer = False
        self.controller.tries.clear()
        self.controller.turn()
        for key, run in self.launcher.runs.items():
            if run.state == "running":
                self.launcher.runs[key] = Progress("succeeded", outcome="promoted")
        self.controller.turn()
        assert not self.triggers.open()
        assert set(self.launcher.starts) == {row.key for row in self.triggers.runs(10_000)}
        self.a_key_has_at_most_one_run()
        self.never_more_than_the_budget_or_at_once()
        self.database.close()
        shutil.rmtree(self.folder)
        os.environ.pop(VARIABLE)
        if self.before is not None:
            os.environ[VARIABLE] = self.before


TestLife = Life.TestCase
TestLife.settings = settings(
    max_examples=25, stateful_step_count=50, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
