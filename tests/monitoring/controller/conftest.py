"""A controller on a real database with a clock that tests set, and runs that are real processes."""

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from components.recsys.clock import VARIABLE, now, set_clock
from components.recsys.errors import StoreError
from components.recsys.settings import RetrainSettings
from monitoring.controller.database import open_database
from monitoring.controller.engine import Controller
from monitoring.controller.launcher import Progress
from monitoring.controller.records import Intent
from monitoring.controller.switches import Switches
from monitoring.controller.triggers import Triggers

START = datetime(2026, 3, 2, 12, tzinfo=UTC)
DRIFT = Intent("everloop", "drift", "alertmanager", 1, ({"labels": {"alertname": "DriftDetected"}, "annotations": {}},))


class Table:
    """A launcher whose runs are lines of a table: what was started, and how far each is."""

    def __init__(self) -> None:
        self.starts: list[str] = []
        self.runs: dict[str, Progress] = {}
        self.events: int | None = 1_000
        self.down = 0  # calls that fail, as when Kubeflow cannot be reached
        self.lose_answers = 0  # submissions that start a run and then fail

    def submit(self, key: str, evidence: dict[str, Any]) -> str:
        self._be_up()
        if key not in self.runs:
            self.starts.append(key)
            self.runs[key] = Progress("running")
        if self.lose_answers:
            self.lose_answers -= 1
            raise StoreError("the answer was lost")
        return key

    def find(self, key: str) -> str | None:
        self._be_up()
        return key if key in self.runs else None

    def state(self, handle: str) -> Progress:
        self._be_up()
        return self.runs[handle]

    def new_events(self) -> int | None:
        self._be_up()
        return self.events

    def end(self, key: str, outcome: str = "promoted") -> None:
        self.runs[key] = Progress("succeeded", outcome, "9f2c", "beats the champion")

    def fail(self, key: str, reason: str = "out of memory", stage: str = "train", refused: bool = False) -> None:
        self.runs[key] = Progress("failed", reason=reason, stage=stage, refused=refused)

    def _be_up(self) -> None:
        if self.down:
            self.down -= 1
            raise StoreError("Kubeflow cannot be reached")


@dataclass
class Desk:
    """One controller and everything around it. `with_(...)` is the same after a restart with other settings."""

    path: Path
    clock: Path
    settings: RetrainSettings = field(default_factory=RetrainSettings)
    launcher: Any = field(default_factory=Table)
    checkpoint: Callable[[str], None] = lambda point: None
    told: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.database = open_database(f"sqlite://{self.path}")
        self.triggers = Triggers(self.database, self.settings.cooldown_seconds, lambda point: self.checkpoint(point))
        self.switches = Switches(self.database)
        self.controller = Controller(self.triggers, self.switches, self.launcher, self.settings, told=self.told.append)

    def restarted(self, **changes: Any) -> "Desk":
        self.database.close()
        settings = self.settings.model_copy(update=changes)
        return Desk(self.path, self.clock, settings, self.launcher, self.checkpoint)

    def ask(self, intent: Intent = DRIFT) -> Any:
        """Store a wish, take a turn; the trigger as it stands then, or as it was folded into."""
        self.triggers.receive([intent])
        self.controller.turn()
        return self.triggers.latest(1)[0]

    def now(self) -> datetime:
        return now()

    def wait(self, **duration: float) -> None:
        set_clock(self.clock, self.now() + timedelta(**duration))

    @property
    def journal(self) -> list[str]:
        with self.database.transaction() as sql:
            return [str(what) for (what,) in sql("SELECT what FROM everloop_journal ORDER BY id")]


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Desk:
    clock = tmp_path / "clock"
    set_clock(clock, START)
    monkeypatch.setenv(VARIABLE, str(clock))
    return Desk(tmp_path / "controller.sqlite", clock)


@pytest.fixture
def table() -> type[Table]:
    return Table


@pytest.fixture
def drift() -> Intent:
    """What an alert of drift asks."""
    return DRIFT


@pytest.fixture
def alert() -> Callable[..., dict[str, Any]]:
    """One alert as Alertmanager sends it; a label of "" is left out."""

    def make(status: str = "firing", **labels: str) -> dict[str, Any]:
        wanted = {"alertname": "DriftDetected", "action": "retrain", "reason": "drift", "model": "everloop", **labels}
        return {
            "status": status,
            "labels": {name: text for name, text in wanted.items() if text},
            "annotations": {"summary": "genres has drifted"},
            "startsAt": "2026-03-02T11:55:00Z",
            "endsAt": "0001-01-01T00:00:00Z",
            "generatorURL": "http://prometheus/graph",
            "fingerprint": "0123456789abcdef",
        }

    return make


@pytest.fixture
def notice() -> Callable[..., bytes]:
    """A body of Alertmanager's webhook."""

    def make(*alerts: dict[str, Any]) -> bytes:
        return json.dumps({"version": "4", "status": "firing", "receiver": "retrain", "alerts": alerts}).encode()

    return make
