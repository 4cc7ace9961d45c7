"""The loop on one machine: gateway, rollout engine, monitor, controller, and who watches the metrics.

>>> with Loop(Home(".everloop"), Settings(), told=print) as loop:
...     loop.places.url("gateway")
'http://127.0.0.1:8000'

Prometheus and Alertmanager where they are installed; else the built-in evaluator of the same rules, in this process.
Stopping is in the order that loses nothing: who serves people goes last but for the predictors behind it.
One loop a home: a second one would take the first one's parts for leftovers and end them.
"""

import contextlib
import secrets
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from pathlib import Path
from types import TracebackType
from typing import Any

import yaml

from components.recsys.errors import InputError, StoreError
from components.recsys.home import Home
from components.recsys.ledger import Ledger
from components.recsys.policy import set_gradual
from components.recsys.routes import Routes
from components.recsys.settings import Settings
from pipelines.loop.leftovers import Leftovers
from pipelines.loop.parts import Places, installed, loop_parts, watchers
from pipelines.loop.process import Part
from pipelines.loop.watching import Evaluating, configure

Told = Callable[[str], None]
READY_SECONDS = 60.0  # four interpreters on two cores, and a release to load
TEND_SECONDS = 0.25
ALONE_SECONDS = 5.0  # one that was told to stop a moment ago is about to end
BUILTIN = (
    "the built-in evaluator watches the same rules; for the real Prometheus and Alertmanager: "
    "apt-get install prometheus prometheus-alertmanager"
)


class Loop:
    """scale: how much shorter the alerts' waiting times are, for a drill whose days pass in seconds. pager: URL for pages."""

    def __init__(
        self,
        home: Home,
        settings: Settings,
        told: Told = lambda text: None,
        places: Places | None = None,
        environment: dict[str, str] | None = None,
        scale: float = 1.0,
        pager: str = "",
        builtin: bool = False,
    ) -> None:
        if home.local is None:
            raise InputError(
                f"{home.url}: the loop on one machine needs a folder as its home; on a cluster use the chart"
            )
        self.home, self.told = home, told
        self.places = places or Places.of(settings)
        self.settings = self.places.settings(settings)
        self.folder: Path = home.local / "loop"
        self.logs = self.folder / "logs"
        self.environment = environment or {}
        self.scale, self.pager = scale, pager
        self.programs = None if builtin else installed()
        self.parts: dict[str, Part] = {}
        self.leftovers = Leftovers(self.folder / "parts.json")
        self.evaluating: Evaluating | None = None
        self.alone = ExitStack()  # holds the home's lock, which the kernel frees when we are killed
        self.stopping = threading.Event()
        self.tending = threading.Thread(target=self._tend, name="tending", daemon=True)

    def __enter__(self) -> "Loop":
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def start(self) -> None:
        """Everything up and ready. Raises InputError without a champion, StoreError when a part does not start or
        another loop is on this home."""
        if not Ledger(self.home).champion():
            raise InputError(f"{self.home.url} has no champion yet; `everloop run` makes the first one")
        self.alone.enter_context(self.home.lock("loop", ALONE_SECONDS, self.told))
        try:
            set_gradual(self.home.store, True)
            settings_file, token_file = self._write_files()
            self.leftovers.end(self.told)
            parts = loop_parts(self.home.url, settings_file, self.places, self.logs, self.environment)
            targets = {part.name: self.places.url(part.name) for part in parts}
            for part in parts:
                self._start(part)
                if part.name == "rollout":
                    self._wait_for_predictor()
            configure(self.folder, self.places, targets, self.pager, token_file, self.scale, self.settings)
            if self.programs:
                for part in watchers(self.folder, self.places, self.programs, self.logs):
                    self._start(part)
            else:
                self.told(BUILTIN)
                self.evaluating = Evaluating(
                    self.folder.parent, targets, self.places, self.pager, token_file, self.scale, self.settings
                )
                self.evaluating.start()
        except BaseException:
            self.stop()
            raise
        self.tending.start()

    def stop(self) -> None:
        """All parts, then the predictors. Whatever was accepted is on disk. Asked again meanwhile, it goes on ending."""
        with deaf():
            self.stopping.set()
            if self.tending.is_alive():
                self.tending.join()
            if self.evaluating:
                self.evaluating.stop()
            for name in ("prometheus", "alertmanager", "controller", "monitor", "gateway", "rollout"):
                if name in self.parts:
                    self.parts[name].stop()
            if self.parts:  # else what an earlier loop left is still to be ended
                self.leftovers.file.unlink(missing_ok=True)
            self.alone.close()

    def restart(self, name: str, how: Callable[[Part], Any] = Part.kill, seconds: float = READY_SECONDS) -> None:
        """End a part as `how` says and wait until it is back."""
        part = self.parts[name]
        part.wanted = False  # tended by us for the moment
        how(part)
        part.start()
        self.leftovers.note(self.parts.values())
        part.wait_ready(seconds)

    def _start(self, part: Part) -> None:
        began = time.monotonic()
        part.start()
        self.parts[part.name] = part
        self.leftovers.note(self.parts.values())
        part.wait_ready(READY_SECONDS)
        self.told(f"{part.name} is up ({time.monotonic() - began:.1f} s)")

    def _wait_for_predictor(self) -> None:
        """Until the champion's predictor answers, so that nobody's first list comes from popularity. Not for ever: a
        champion that cannot be loaded must not keep the gateway from answering with what it has."""
        deadline = time.monotonic() + READY_SECONDS
        while time.monotonic() < deadline and self.parts["rollout"].alive:
            routes = Routes.read(self.home.store)
            if routes is not None and routes.champion is not None and routes.champion.urls:
                return
            time.sleep(0.05)
        self.told("the champion's predictor does not answer yet; `everloop rollout status` says why")

    def _tend(self) -> None:
        while not self.stopping.wait(TEND_SECONDS):
            for part in list(self.parts.values()):
                try:
                    if not part.tend():
                        continue
                except OSError as error:
                    self.told(f"{part.name} cannot be started: {error}")
                    continue
                self.told(f"{part.name} had ended and was started again; its log is {part.log}")
                with suppress(StoreError):  # on a full disk the loop goes on
                    self.leftovers.note(self.parts.values())

    def _write_files(self) -> tuple[Path, Path]:
        """The settings that every part reads, and the token that Alertmanager shows to the controller."""
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            token_file = self.folder / "token"
            if not token_file.exists():
                token_file.touch(mode=0o600)
                token_file.write_text(secrets.token_urlsafe(32))
            if not self.settings.retrain.token_file:
                retrain = self.settings.retrain.model_copy(update={"token_file": str(token_file)})
                self.settings = self.settings.model_copy(update={"retrain": retrain})
            settings_file = self.folder / "settings.yaml"
            settings_file.write_text(yaml.safe_dump(self.settings.model_dump(mode="json"), sort_keys=False))
        except OSError as error:
            raise StoreError(f"{self.folder} cannot be written ({error.strerror})") from None
        return settings_file, Path(self.settings.retrain.token_file)


@contextlib.contextmanager
def deaf() -> Iterator[None]:
    """A second Ctrl-C must not break off the end, or parts would stay behind. Only the main thread may say so."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.signal(number, signal.SIG_IGN) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
