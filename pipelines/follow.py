"""Following a run on Kubeflow: how far its steps are, how it ended, and what it found.

>>> follow(kubeflow, run_id, told=print).steps
ingest done
...
{'ingest': 12.0, 'validate': 9.0, 'prepare': 10.0, 'train': 41.0, 'evaluate': 14.0, 'gate': 10.0, 'register': 12.0}
"""

import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from components.recsys.errors import EverloopError, NotFound, StoreError
from components.recsys.home import Home
from components.recsys.progress import read
from pipelines.kubeflow import ENDED, ENDED_BADLY, Kubeflow
from pipelines.local import ERRORS, STEPS

Json = dict[str, Any]
PATIENCE_SECONDS = 120.0  # how long a run is followed though the endpoint does not answer


@dataclass
class Followed:
    """How a run ended. steps: seconds from a step's first pod to its last. seconds: the whole run's."""

    state: str = ""
    steps: dict[str, float] = field(default_factory=dict)
    seconds: float = 0.0


def follow(
    kubeflow: Kubeflow,
    run_id: str,
    told: Callable[[str, str], None] = lambda step, text: None,
    poll_seconds: float = 3.0,
) -> Followed:
    """Wait until a run ends; `told(step, state)` at every change.

    Raises the failed step's own error with its sentence, StoreError when Kubeflow stops answering (the run goes on).
    """
    shown: dict[str, str] = {}
    followed, silent_since = Followed(), 0.0
    while followed.state not in ENDED:
        try:
            run = kubeflow.run(run_id)
            silent_since = 0.0
        except StoreError:
            silent_since = silent_since or time.monotonic()
            if time.monotonic() - silent_since > PATIENCE_SECONDS:
                raise StoreError(
                    f"Kubeflow no longer answers; run {run_id} goes on, submit again to follow it"
                ) from None
            time.sleep(poll_seconds)
            continue
        tasks = _tasks(run)
        for step, text in _states(tasks).items():
            if shown.get(step) != text:
                shown[step] = text
                told(step, text)
        followed.state = str(run.get("state", ""))
        if followed.state in ENDED:
            end = str(run.get("finished_at", ""))
            followed.steps = {step: _seconds(tasks[step], end) for step in STEPS if step in tasks}
            followed.seconds = _seconds([{"start_time": run["created_at"]}], end)
        else:
            time.sleep(poll_seconds)
    if followed.state in ENDED_BADLY:
        raise _failure(kubeflow, run_id, followed.state, tasks)
    return followed


def result_of(home: Home, run_id: str) -> Json:
    """What `register` wrote about a run. Raises StoreError when it is not there."""
    try:
        return dict(json.loads(home.store.read(f"runs/{run_id}/result.json")))
    except NotFound:
        raise StoreError(f"run {run_id} left no result in {home.url}: was it submitted with another --home?") from None


def failed_step(run: Json) -> str:
    """The first of our steps that failed; empty when none is known to have."""
    failed = [step for step, several in _tasks(run).items() if several[-1].get("state") == "FAILED"]
    return failed[0] if failed else ""


def _tasks(run: Json) -> dict[str, list[Json]]:
    """Our steps' tasks by name, oldest first; Kubeflow lists its own (drivers, executors, loops) beside them."""
    tasks: dict[str, list[Json]] = {}
    for task in sorted(run.get("run_details", {}).get("task_details", []), key=lambda task: task.get("start_time", "")):
        if task.get("display_name") in STEPS:
            tasks.setdefault(task["display_name"], []).append(task)
    return tasks


def _states(tasks: Mapping[str, list[Json]]) -> dict[str, str]:
    """How far each step is, in a word; where it has several tasks, how many are."""
    states = {}
    for step, several in tasks.items():
        words = [
            "done" if task.get("state") == "SUCCEEDED" else task.get("state", "PENDING").lower() for task in several
        ]
        states[step] = (
            words[0] if len(words) == 1 else ", ".join(f"{words.count(word)} {word}" for word in sorted(set(words)))
        )
    return states


def _seconds(tasks: list[Json], end: str) -> float:
    """From the first start to the last end. `end`: the run's, for tasks whose own end Kubeflow has yet to write."""
    starts = [moment for task in tasks if (moment := _moment(task.get("start_time", "")))]
    ends = [moment for task in tasks if (moment := _moment(task.get("end_time", "")) or _moment(end))]
    return round((max(ends) - min(starts)).total_seconds(), 1) if starts and ends else 0.0


def _moment(text: str) -> datetime | None:
    """Kubeflow writes the year 1 for a time that is not known."""
    return datetime.fromisoformat(text) if text and not text.startswith("0001") else None


def _failure(kubeflow: Kubeflow, run_id: str, state: str, tasks: Mapping[str, list[Json]]) -> EverloopError:
    """The failed step's own words as the error it raised, as far as its log can be reached."""
    if state != "FAILED":
        return StoreError(f"run {run_id} was stopped by somebody; submit again to start another")
    where = f"kubectl -n {kubeflow.namespace or 'kubeflow'} logs -c main --tail=50 -l pipeline/runid={run_id}"
    failed = [(step, task) for step, several in tasks.items() for task in several if task.get("state") == "FAILED"]
    for step, task in failed:
        lines = [
            line
            for child in task.get("child_tasks", [])
            for line in kubeflow.log(run_id, child["pod_name"]).splitlines()
        ]
        for message in filter(None, map(read, lines)):
            if message["event"] == "failed":
                return ERRORS.get(message.get("code", 3), EverloopError)(f"{message['step']}: {message['text']}")
        last = next((line for line in reversed(lines) if _is_exception(line)), "")
        if last:
            return EverloopError(f"{step} broke off: {last[:300]} (the whole log: {where})")
    steps = ", ".join(step for step, _ in failed) or "a step"
    return StoreError(f"{steps} failed and its log could not be read here; look with: {where}")


def _is_exception(line: str) -> bool:
    """The last line of a traceback: `ModuleNotFoundError: No module named 'x'`."""
    name, separator, _ = line.partition(": ")
    return (
        bool(separator) and name.replace(".", "").isidentifier() and name.endswith(("Error", "Exception", "Interrupt"))
    )
