"""Where a drill is played: a home with two months of history, the loop on it, people who visit, and the clock.

>>> with Stage(Path("/tmp/drill"), told=print) as stage:
...     stage.pass_days(3)

One simulated day takes about as long as its visits take; everything that is compared with times of events reads the clock
file. Servers, sockets, timeouts and training run in real time.
"""

import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any

from components.recsys.clock import VARIABLE, set_clock
from components.recsys.errors import EverloopError
from components.recsys.home import Home
from components.recsys.ledger import Entry, Ledger
from components.recsys.release import SHORT
from components.recsys.routes import Routes
from components.recsys.settings import Settings, parse
from components.recsys.simulator import World
from components.recsys.statuses import Statuses
from pipelines.drill.pager import Pager
from pipelines.drill.visitors import Day, Visitors, midnight
from pipelines.local import run_local
from pipelines.loop.loop import Loop
from pipelines.loop.parts import Places

Json = dict[str, Any]
Told = Callable[[str], None]
BASE_DAYS = 60
DAY = 86_400.0
SCALE = 1 / 1800  # of the alerts' waiting times: half an hour passes in a second
# What a drill changes. Times that count by the loop's clock stay as people would set them; real waiting is short.
SETTINGS: Json = {
    # Judged on what people did last, by everybody's clock: what a loop wants to know after a shift.
    "prepare": {"split": "global_time", "test_share": 0.05, "validation_share": 0.1},
    "train": {"candidates": ["hybrid", "ease", "item_knn", "popularity"]},
    "evaluate": {"bootstrap": 200},
    "gate": {"bootstrap": 1000},
    "log": {"flush_seconds": 0.1, "segment_seconds": 0.5},
    "drift": {"interval_seconds": 0.5},
    "rollout": {"interval_seconds": 0.25, "bake_seconds": DAY, "min_lists": 150},
    "retrain": {"cooldown_seconds": 7 * DAY, "settle_seconds": {"drift": 4 * DAY}},
    "gateway": {"timeout_seconds": 1.0, "poll_seconds": 0.1},
}


class Stage:
    """day: the simulated day that comes next. days: what happened on each so far."""

    def __init__(
        self,
        folder: Path,
        told: Told,
        seed: int = 7,
        users: int = 2000,
        items: int = 300,
        k: int = 5,
        builtin: bool = False,
        soak_seconds: float = 300.0,
    ) -> None:
        self.folder, self.told, self.seed, self.k = folder, told, seed, k
        self.size = {"n_users": users, "n_items": items}
        self.world = World(seed, users, items)
        self.settings = settings_of_drill()
        self.clock = folder / "clock"
        self.home = Home(folder / "home")
        self.pager, self.builtin, self.soak_seconds = Pager(), builtin, soak_seconds
        self.day = BASE_DAYS
        self.days: list[Day] = []
        self.shares: list[float] = []  # of the candidate, a number for each day
        self.marks: list[Json] = []
        self.informed_rate: float | None = None  # what a model that knew of the shift gets
        self.session = 0
        self.began = time.monotonic()

    def __enter__(self) -> "Stage":
        os.environ[VARIABLE] = str(self.clock)
        self._set_clock()
        self.told(f"two months of history of {self.size['n_users']} people and the first release")
        files = self.world.write(self.folder / "data", days=BASE_DAYS)
        run_local(self.home, {kind: [str(path)] for kind, path in files.items()}, self.settings)
        self.pager.__enter__()
        self.loop = Loop(
            self.home,
            self.settings,
            self.told,
            Places.free(),
            {VARIABLE: str(self.clock)},
            SCALE,
            self.pager.url,
            self.builtin,
        )
        try:
            self.loop.start()
        except BaseException:
            self.pager.__exit__(None, None, None)
            raise
        self.visitors = Visitors(self.world, self.loop.places.url("gateway"), self.k)
        for user, item in (
            self.world.history(BASE_DAYS).sort("timestamp", "item_id").select("user_id", "item_id").iter_rows()
        ):
            self.visitors.histories[user].append(item)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.visitors.close()
        self.loop.stop()
        self.pager.__exit__(kind, error, trace)
        os.environ.pop(VARIABLE, None)

    def pass_day(self) -> Day:
        """One day: everybody visits, then the clock moves to the next midnight."""
        share = self.routes().share
        done = self.visitors.day(self.day)
        self.days.append(done)
        self.shares.append(share)
        self.day += 1
        self.session = 0
        self._set_clock()
        return done

    def pass_days(self, most: int, until: Callable[[], bool] = lambda: False) -> list[Day]:
        """Days until something is so, at most that many."""
        passed: list[Day] = []
        while len(passed) < most and not until():
            passed.append(self.pass_day())
        return passed

    def wait(self, until: Callable[[], bool], seconds: float, visits: bool = True) -> bool:
        """Real time passes while the day stands still; some people go on visiting. Whether it came about."""
        deadline = time.monotonic() + seconds
        while not until():
            if time.monotonic() > deadline:
                return False
            if visits:
                self.session += 1
                # At most the next half of the day's people, again: the same day, another visit.
                self.visitors.day(self.day, self.session, share=0.1, organic=False)
            time.sleep(0.3)
        return True

    def mark(self, text: str) -> None:
        self.told(f"day {self.day}: {text}")
        self.marks.append({"day": self.day, "text": text})

    def routes(self) -> Routes:
        found = Routes.read(self.home.store)
        assert found is not None, "the rollout engine has not said who answers"
        return found

    def ledger(self) -> list[Entry]:
        return Ledger(self.home).entries()

    def champion(self) -> str:
        return Ledger(self.home).champion()

    def status(self, part: str) -> Json:
        return Statuses(self.home.store).read(part).facts

    def everloop(self, *arguments: str, seconds: float = 120) -> tuple[int, str]:
        """A command as a person types it: exit code and stdout."""
        done = subprocess.run(
            [sys.executable, "-m", "pipelines.cli", *arguments, "--home", self.home.url],
            capture_output=True,
            text=True,
            timeout=seconds,
            env={**os.environ, VARIABLE: str(self.clock), "EVERLOOP_ACTOR": "drill"},
            check=False,
        )
        if done.returncode not in (0, 1):
            raise EverloopError(f"everloop {' '.join(arguments)} failed: {done.stderr.strip()[-400:]}")
        return done.returncode, done.stdout

    def real_seconds(self) -> float:
        return time.monotonic() - self.began

    def _set_clock(self) -> None:
        set_clock(self.clock, midnight(self.day))


def settings_of_drill() -> Settings:
    base = Settings().model_dump(mode="json")
    return parse(Settings, {name: {**section, **SETTINGS.get(name, {})} for name, section in base.items()})


def short(digest: str) -> str:
    return digest[:SHORT]
