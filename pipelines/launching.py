"""Runs for the retrain controller: as a process of this machine, or on Kubeflow. One key makes one run, whoever asks again.

>>> launcher = LocalLauncher(Home(".everloop"), settings_file="settings.yaml")
>>> launcher.submit("everloop-drift-82761", {"asked_by": "alertmanager"})
'everloop-drift-82761'
>>> launcher.state("everloop-drift-82761")
Progress(state='succeeded', outcome='promoted', release='9f2c...', reason='nDCG@10 of ease ...', stage='', refused=False)
"""

import contextlib
import fcntl
import hashlib
import json
import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from components.recsys.errors import EverloopError, NotFound, Refused
from components.recsys.feedback.segments import FEEDBACK, new_segments
from components.recsys.home import Home
from components.recsys.predictions import DamagedSegment, lines_of
from components.recsys.settings import Settings
from components.recsys.store import FolderStore, told_as_store_error
from monitoring.controller.launcher import Progress
from pipelines.kubeflow import ENDED, ENDED_BADLY, Kubeflow

Json = dict[str, Any]
Count = Callable[[], int | None]
# The shell writes its number, which stays when it becomes the command; `sync` makes it outlast a power cut.
BEGIN = 'echo $$ > "$0.part" && mv "$0.part" "$0" && { sync "$0" 2>/dev/null; exec "$@"; }'
LOCK_NUMBER = 9  # of the lock in a run's process


def uncounted() -> int | None:
    return None


class LocalLauncher:
    """`everloop run --feedback` as a process of its own, which outlives the controller.

    HOME/controller/runs/<key>/: request.json (why), pid (written by the run as it begins), result.json (its answer), log.
    The folder's lock is taken before the process is made and inherited by it, so it is held without a gap until the run has
    ended: whoever finds it free and a pid but no answer knows that the run broke off.
    """

    def __init__(
        self,
        home: Home,
        settings_file: str | None = None,
        sets: Sequence[str] = (),
        new_events: Count = uncounted,
        command: Sequence[str] = (),
    ) -> None:
        """command: instead of everloop's own; it prints one JSON object with `outcome`, or with `error`."""
        self.folder = _folder_of(home) / "controller"
        self.command = tuple(command) or (
            *(sys.executable, "-m", "pipelines.cli", "run", "--home", home.url, "--feedback", "--json"),
            *(("--settings", settings_file) if settings_file else ()),
            *(part for set_ in sets for part in ("--set", set_)),
        )
        self.count = new_events
        self.children: dict[str, int] = {}

    def submit(self, key: str, evidence: Json) -> str:
        folder = self._folder(key)
        with told_as_store_error(str(folder)):
            FolderStore(str(folder)).write("request.json", _dumped({"command": self.command, **evidence}))
            with _lock(folder) as lock:
                if lock is not None and not (folder / "pid").exists():
                    self.children[key] = self._start(folder, key, lock)
        return key

    def _start(self, folder: Path, key: str, lock: int) -> int:
        """The number of the new process. It holds the lock, and nothing else of ours."""
        write = os.O_WRONLY | os.O_CREAT | os.O_TRUNC
        return os.posix_spawn(
            "/bin/sh",
            ["/bin/sh", "-c", BEGIN, str(folder / "pid"), *self.command],
            {**os.environ, "EVERLOOP_ACTOR": f"retrain controller, {key}"},
            file_actions=[
                (os.POSIX_SPAWN_OPEN, 0, "/dev/null", os.O_RDONLY, 0),
                (os.POSIX_SPAWN_OPEN, 1, str(folder / "result.json"), write, 0o644),
                (os.POSIX_SPAWN_OPEN, 2, str(folder / "log"), write, 0o644),
                (os.POSIX_SPAWN_DUP2, lock, LOCK_NUMBER),  # a copy is inherited
            ],
            setsid=True,  # a signal to the controller is none to its runs
        )

    def find(self, key: str) -> str | None:
        folder = self._folder(key)
        with told_as_store_error(str(folder)):
            return key if (folder / "pid").exists() or _held(folder) else None

    def state(self, handle: str) -> Progress:
        folder = self._folder(handle)
        self._bury(handle)
        with told_as_store_error(str(folder)):
            running = _held(folder)  # before the answer is read, which may come in between
            answer = _answer(folder / "result.json")
            if answer is not None:
                return progress_of(answer)
            if running:
                return Progress("running")
            if not (folder / "pid").exists():
                return Progress("failed", reason=f"the run never began; see {folder / 'log'}")
            last = _last_line(folder / "log")
        return Progress("failed", reason=f"the run broke off{f': {last}' if last else ''}; its log is {folder / 'log'}")

    def new_events(self) -> int | None:
        return self.count()

    def _bury(self, key: str) -> None:
        """A child that has ended, or it stays a zombie. Those of a controller before us are init's."""
        child = self.children.get(key)
        if child is not None:
            with contextlib.suppress(ChildProcessError):
                if os.waitpid(child, os.WNOHANG) == (0, 0):
                    return
            del self.children[key]

    def _folder(self, key: str) -> Path:
        if not key.replace("-", "").replace("_", "").isalnum():
            raise NotFound(f"'{key}' is no run's key")
        return self.folder / "runs" / key


def _folder_of(home: Home) -> Path:
    """The home, or for one in object storage a folder of the user's own cache."""
    if home.local is not None:
        return home.local.absolute()
    from components.recsys.datasets import cache_folder

    return cache_folder() / hashlib.sha256(home.url.encode()).hexdigest()[:12]


def progress_of(answer: Json) -> Progress:
    """A run's own answer: `everloop run --json`."""
    if "outcome" in answer:
        reasons = [str(reason) for reason in answer.get("reasons", ())][:1]  # the gate's first is what decided
        return Progress("succeeded", str(answer["outcome"]), str(answer.get("release", "")), "".join(reasons))
    refused = answer.get("code") == Refused.exit_code
    return Progress("failed", reason=str(answer["error"]), stage=str(answer.get("stage", "")), refused=refused)


def _answer(path: Path) -> Json | None:
    """None while there is no whole one."""
    try:
        value = json.loads(path.read_bytes())
    except (FileNotFoundError, ValueError):
        return None
    return value if isinstance(value, dict) and ("outcome" in value or "error" in value) else None


@contextlib.contextmanager
def _lock(folder: Path) -> Iterator[int | None]:
    """The folder's lock for as long as the block, or a process that inherits it, lasts; None when another holds it."""
    folder.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(folder / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield None
        else:
            yield descriptor
    finally:
        os.close(descriptor)  # not unlocked: a child that inherited it keeps it


def _held(folder: Path) -> bool:
    if not (folder / "lock").exists():
        return False
    with _lock(folder) as lock:
        return lock is None


def _last_line(path: Path) -> str:
    try:
        lines = path.read_text(errors="replace").strip().splitlines()
    except FileNotFoundError:
        return ""
    return lines[-1][:300] if lines else ""


def _dumped(value: Json) -> bytes:
    return json.dumps(value, ensure_ascii=False, indent=1, default=str).encode()


class KubeflowLauncher:
    """The training pipeline on Kubeflow, under a name made from home and key: searched for before it is created.

    connect: makes the client at each use, so that a Kubeflow that is down is asked again later, and with a token that has not
    expired. sources: what to train on. service_account: of the runs' pods.
    """

    def __init__(
        self,
        connect: Callable[[], Kubeflow],
        home: Home,
        settings: Settings,
        sources: Callable[[], Mapping[str, list[str]]],
        new_events: Count = uncounted,
        service_account: str = "",
    ) -> None:
        self.connect, self.home, self.settings = connect, home, settings
        self.sources, self.count, self.service_account = sources, new_events, service_account

    def submit(self, key: str, evidence: Json) -> str:
        # The data may have grown since a first try, so that only the name tells that it is the same run.
        found = self.find(key)
        if found is not None:
            return found
        from pipelines.submit import submit  # with the compiler, which no local run needs

        name, account = self._name(key), self.service_account
        return submit(self.connect(), self.home, self.sources(), self.settings, name, service_account=account).run_id

    def find(self, key: str) -> str | None:
        kubeflow = self.connect()
        runs = kubeflow.runs_named(self._name(key), kubeflow.experiment(self.settings.tracking.experiment))
        return str(runs[0]["run_id"]) if runs else None

    def state(self, handle: str) -> Progress:
        from pipelines.follow import failed_step, follow, result_of

        kubeflow = self.connect()
        run = kubeflow.run(handle)
        state = str(run.get("state", ""))
        if state not in ENDED:
            return Progress("running")
        if state not in ENDED_BADLY:
            return progress_of(result_of(self.home, handle))
        try:
            follow(kubeflow, handle)  # it has ended: this returns at once, with the failed step's own words
        except EverloopError as error:
            return Progress("failed", reason=str(error), stage=failed_step(run), refused=isinstance(error, Refused))
        return Progress("running")  # it was started again in between

    def new_events(self) -> int | None:
        return self.count()

    def _name(self, key: str) -> str:
        return f"{key}-{hashlib.sha256(self.home.url.encode()).hexdigest()[:8]}"


class NewFeedback:
    """The home's feedback that no run has learnt from yet."""

    def __init__(self, home: Home) -> None:
        self.home = home
        self.counted: dict[str, int] = {}  # a segment never changes

    def count(self) -> int:
        """Events. Raises StoreError."""
        urls = self.segments()
        self.counted = {url: self.counted[url] if url in self.counted else self._events(url) for url in urls}
        return sum(self.counted.values())

    def segments(self) -> list[str]:
        """URLs of the segments."""
        return new_segments(self.home)

    def sources(self) -> dict[str, list[str]]:
        """What a run on a cluster trains on: the segments that are new when it begins."""
        return {"events": [FEEDBACK]}

    def _events(self, url: str) -> int:
        try:
            return len(lines_of(self.home.store, url.removeprefix(f"{self.home.url}/")))
        except DamagedSegment:  # the run's business to tell
            return 0
