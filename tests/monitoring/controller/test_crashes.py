"""The controller is killed at every point where something is stored or started, and each time makes one run of it.

A crash is an exception that nothing catches, then a process that is gone at once (os._exit), as kill -9 leaves it.
"""

import os
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from components.recsys.home import Home
from components.recsys.settings import RetrainSettings
from monitoring.controller.database import open_database
from monitoring.controller.engine import Controller
from monitoring.controller.records import Intent, State, Trigger
from monitoring.controller.switches import Switches
from monitoring.controller.triggers import Triggers
from pipelines.launching import LocalLauncher

DRIFT = Intent("everloop", "drift", "alertmanager")
BEGUN = ["receive", "decide", "SUBMITTING", "find", "submit", "RUNNING", "state"]


def around(*names: str) -> list[str]:
    return [f"{when} {name}" for name in names for when in ("before", "after")]


@dataclass(frozen=True)
class Story:
    """What a run answers, how it ends, and every point that a controller passes on the way."""

    answer: str
    end: State
    points: list[str]
    settings: RetrainSettings = field(default_factory=RetrainSettings)


STORIES = {
    "promoted": Story('{"outcome": "promoted"}', State.PROMOTED, around(*BEGUN, "SUCCEEDED", "PROMOTED")),
    "rejected": Story('{"outcome": "rejected"}', State.REJECTED, around(*BEGUN, "SUCCEEDED", "REJECTED")),
    "failed": Story('{"error": "out of memory", "code": 3}', State.FAILED, around(*BEGUN, "FAILED")),
    "refused": Story('{"error": "prices", "code": 1, "stage": "validate"}', State.FAILED, around(*BEGUN, "FAILED")),
    "suppressed": Story("", State.SUPPRESSED, around("receive", "decide"), RetrainSettings(dry_run=True)),
}
POINTS = [(name, point) for name, story in STORIES.items() for point in story.points]


class Crash(BaseException):
    """Nobody catches it."""


@dataclass
class World:
    """A folder with the controller's database and its runs; a run adds a line to `ran`."""

    folder: Path
    story: Story

    def live(self, checkpoint: Callable[[str], None]) -> Trigger:
        """A controller's whole life: an alert that comes until it is taken, then turns until all is decided."""
        database = open_database(f"sqlite://{self.folder}/controller.sqlite")
        try:
            triggers = Triggers(database, self.story.settings.cooldown_seconds, checkpoint)
            command = ["/bin/sh", "-c", f"echo ran >> {self.folder}/ran; echo '{self.story.answer}'"]
            launcher = LocalLauncher(Home(self.folder), command=command)
            controller = Controller(triggers, Switches(database), launcher, self.story.settings)
            if not triggers.latest():  # no 2xx was seen, so Alertmanager sends again
                triggers.receive([DRIFT])
            until = time.monotonic() + 20
            while triggers.open() and time.monotonic() < until:
                controller.turn()
                time.sleep(0.005)
            (row,) = triggers.latest()
            return row
        finally:
            database.close()

    @property
    def runs(self) -> int:
        ran = self.folder / "ran"
        return len(ran.read_text().splitlines()) if ran.exists() else 0

    def check(self, row: Trigger) -> None:
        assert row.state is self.story.end
        assert self.runs == (0 if self.story.end is State.SUPPRESSED else 1)
        assert row.copies == 1


def dying_at(point: str, die: Callable[[], None]) -> Callable[[str], None]:
    def checkpoint(reached: str) -> None:
        if reached == point:
            die()

    return checkpoint


@pytest.mark.parametrize("name", STORIES)
def test_the_points_below_are_all_there_are(tmp_path: Path, name: str) -> None:
    world, seen = World(tmp_path, STORIES[name]), dict[str, None]()
    world.check(world.live(lambda point: seen.setdefault(point)))
    assert list(seen) == STORIES[name].points


@pytest.mark.parametrize("point", STORIES["promoted"].points)
def test_an_error_at_any_point_still_makes_one_run(tmp_path: Path, point: str) -> None:
    def die() -> None:
        raise Crash

    world = World(tmp_path, STORIES["promoted"])
    with pytest.raises(Crash):
        world.live(dying_at(point, die))
    world.check(world.live(lambda reached: None))


@pytest.mark.parametrize(("name", "point"), POINTS)
def test_a_controller_that_is_gone_at_any_point_still_makes_one_run(tmp_path: Path, name: str, point: str) -> None:
    world = World(tmp_path, STORIES[name])
    child = os.fork()
    if child == 0:
        try:
            world.live(dying_at(point, lambda: os._exit(9)))
        finally:
            os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 9
    world.check(world.live(lambda reached: None))


def test_dying_at_every_point_one_after_the_other_makes_one_run(tmp_path: Path) -> None:
    story = STORIES["promoted"]
    world = World(tmp_path, story)
    for point in story.points:
        child = os.fork()
        if child == 0:
            try:
                world.live(dying_at(point, lambda: os._exit(9)))
            finally:
                os._exit(0)
        os.waitpid(child, 0)
    world.check(world.live(lambda reached: None))
