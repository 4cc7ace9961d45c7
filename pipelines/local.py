"""The pipeline on one machine: the same definition that Kubeflow runs, by KFP's own local runner.

>>> run = run_local(Home(".everloop"), sources, Settings(), told=print)
>>> run.result["outcome"], run.cached
('promoted', ())

Each step is a subprocess of this environment; its messages arrive as lines (see `components.recsys.progress`), everything
else it prints goes to the run's log. Results of earlier runs are taken from KFP's cache, keyed by the inputs of each step;
the cache's folder is named by our source's digest, so other code never answers, and a damaged artifact is no answer
(see `pipelines.cache`, which also keeps the folder of runs small).
"""

import builtins
import contextlib
import io
import json
import logging
import os
import tempfile
import threading
import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from components.recsys import progress, tracking
from components.recsys.datasets import cache_folder
from components.recsys.errors import EverloopError, InputError, Refused, StoreError
from components.recsys.home import Home
from components.recsys.settings import Settings
from components.recsys.version import source_digest

Listener = Callable[[dict[str, Any]], None]
ERRORS: dict[int, type[EverloopError]] = {1: Refused, 2: InputError, 3: StoreError}
STEPS = ("ingest", "validate", "prepare", "train", "evaluate", "gate", "register")


@dataclass
class LocalRun:
    """What came of a run. cached: the names of steps that were answered from the cache. timings: seconds a step."""

    result: dict[str, Any] = field(default_factory=dict)
    cached: tuple[str, ...] = ()
    timings: dict[str, float] = field(default_factory=dict)
    log: str = ""


def run_local(
    home: Home, sources: Mapping[str, list[str]], settings: Settings, listener: Listener = lambda message: None
) -> LocalRun:
    """Run the training pipeline once. Raises the failed step's own error, with its sentence."""
    work = home.local / "pipeline" if home.local is not None else cache_folder() / "pipeline"
    follower = _Follower(listener)
    run = LocalRun()
    with home.lock(told=lambda text: listener({"step": "run", "event": "told", "text": text})):
        try:
            work.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise StoreError(f"{home.url} cannot be written ({error.strerror}); choose another --home") from None
        scratch = tempfile.TemporaryDirectory(prefix="everloop-", ignore_cleanup_errors=True)  # KFP removes it as well
        with _warm(settings, home), scratch as workspace, _quiet(follower):
            from kfp import local

            from pipelines.cache import ENTRIES, RUNS, checked, prune
            from pipelines.training import arguments, training

            prune(work)
            entries = work / ENTRIES / source_digest()[:16]
            local.init(
                runner=local.SubprocessRunner(use_venv=False),
                pipeline_root=str(work / RUNS),
                workspace_root=workspace,
                enable_caching=True,
                cache_root=str(entries),
            )
            _without_retries(training.pipeline_spec)
            try:
                with checked(entries, follower.say):
                    task = training(**arguments(home.url, sources, settings))
            except Exception as error:  # noqa: BLE001 - KFP raises bare RuntimeErrors; a step's own words are better
                if follower.failure is not None:
                    raise _failed(follower.failure) from None
                log = _write_log(work, follower)
                raise EverloopError(f"a step failed without a word of its own ({error}); its log is {log}") from None
        run.result = json.loads(home.store.read(f"runs/{task.output}/result.json"))
    run.cached = tuple(step for step in STEPS if step not in follower.started)
    run.timings = follower.timings
    run.log = _write_log(work, follower)
    return run


def _failed(message: Mapping[str, Any]) -> EverloopError:
    """The failed step's own error."""
    error = ERRORS.get(message.get("code", 3), EverloopError)(message["text"])
    error.stage = message["step"].split()[0]
    return error


def _without_retries(spec: Any) -> None:
    """A retry helps where nodes are lost; here it would only keep somebody waiting who has mistyped a setting."""
    for dag in [spec.root.dag, *(component.dag for component in spec.components.values())]:
        for task in dag.tasks.values():
            task.ClearField("retry_policy")


@contextlib.contextmanager
def _warm(settings: Settings, home: Home) -> Iterator[None]:
    """MLflow's database is made beside the first steps; when a step fails, nothing goes on in the background."""
    process = tracking.warm(settings.tracking, home)
    try:
        yield
    except BaseException:
        if process is not None:
            process.kill()
        raise
    finally:
        if process is not None:
            process.wait()


def _write_log(work: Path, follower: "_Follower") -> str:
    path = work / "last-run.log"
    with contextlib.suppress(OSError):
        path.write_text("".join(follower.lines), encoding="utf-8")
    return str(path)


class _Follower(io.TextIOBase):
    """Stands in for stdout while KFP runs: picks the steps' messages out of all that is printed."""

    def __init__(self, listener: Listener) -> None:
        self.listener = listener
        self.lines: list[str] = []
        self.started: set[str] = set()
        self.timings: dict[str, float] = {}
        self.failure: dict[str, Any] | None = None
        self.lock = threading.Lock()
        self.partial: dict[int, str] = {}

    def writable(self) -> bool:
        return True

    def write(self, text: str) -> int:
        with self.lock:
            thread = threading.get_ident()  # candidates train side by side, a thread each
            *whole, self.partial[thread] = (self.partial.get(thread, "") + text).split("\n")
            for line in whole:
                self._line(line)
        return len(text)

    def say(self, step: str, text: str) -> None:
        """A sentence of the runner itself, among those of the steps."""
        with self.lock:
            self.listener({"step": step, "event": "told", "text": text})

    def _line(self, line: str) -> None:
        self.lines.append(line + "\n")
        message = progress.read(line)
        if message is None:
            return
        if message["event"] == "started":
            self.started.add(message["step"].split()[0])
        elif message["event"] == "done":
            self.timings[message["step"]] = message["seconds"]
        elif message["event"] == "failed":
            self.failure = self.failure or message
        self.listener(message)


@contextlib.contextmanager
def _quiet(follower: _Follower) -> Iterator[None]:
    """KFP logs to stdout and replaces `print` and the root logger's handlers, from several threads at once: all is put back."""
    root, printed = logging.getLogger(), builtins.print
    handlers, level = root.handlers[:], root.level
    os.environ.setdefault("PYTHONUNBUFFERED", "1")
    # KFP's settings for other machines (resources, retries) have no effect here, and it warns of an image without 'python' in its name.
    with warnings.catch_warnings(), contextlib.redirect_stdout(follower):
        warnings.simplefilter("ignore")
        try:
            yield
        finally:
            builtins.print = printed
            root.handlers[:] = handlers
            root.setLevel(level)
