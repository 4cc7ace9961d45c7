"""Whatever is declared after whatever, and whatever breaks at any request: in the end exactly the declared schedules are there."""

import contextlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from components.recsys.errors import EverloopError
from pipelines.kubeflow import Kubeflow
from pipelines.recurring import reconcile as reconciling
from pipelines.recurring.reconcile import reconcile
from pipelines.recurring.schedules import Wanted

CRONS = ("0 3 * * *", "30 4 * * *", "@hourly")
FAULTS = ("", "dies before", "dies after", "lost", "late", "dropped", "409", "429", "500", "504")
FOREIGN = {"recurring_run_id": "foreign", "display_name": "foreign-1", "description": "", "status": "ENABLED"}


class Death(BaseException):
    """Nobody catches it, as nobody catches kill -9."""


@dataclass(frozen=True)
class Edit:
    """declared: name -> (cron, enabled). at: the request that the fault strikes. ends: runs in flight end before it."""

    declared: dict[str, tuple[str, bool]]
    fault: str
    at: int
    ends: bool


edits = st.builds(
    Edit,
    st.dictionaries(st.sampled_from(["a", "b"]), st.tuples(st.sampled_from(CRONS), st.booleans())),
    st.sampled_from(FAULTS),
    st.integers(0, 14),
    st.booleans(),
)


def faulty(kubeflow: Kubeflow, fake: Any, edit: Edit) -> Kubeflow:
    send, count = kubeflow.server.send, iter(range(10**6))

    def sent(method: str, path: str, *rest: Any, **named: Any) -> bytes:
        struck = next(count) == edit.at
        if struck and edit.fault == "dies before":
            raise Death
        if struck and edit.fault and "dies" not in edit.fault:
            fake.faults.append((f"{method} .*", edit.fault))
        answer = send(method, path, *rest, **named)
        if struck and edit.fault == "dies after":
            raise Death
        return answer

    kubeflow.server.send = sent  # type: ignore[method-assign]
    return kubeflow


@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(edits, min_size=1, max_size=5), st.sampled_from(["2.17.0", "2.15.0"]))
def test_any_edits_with_any_faults_end_in_what_is_declared(
    fake: Any,
    endpoint: str,
    package: bytes,
    want: Callable[..., Wanted],
    monkeypatch: pytest.MonkeyPatch,
    history: list[Edit],
    version: str,
) -> None:
    monkeypatch.setattr(reconciling, "SETTLE_SECONDS", 0.0)
    fake.__init__()
    fake.version, fake.schedules = version, [dict(FOREIGN)]

    def wanted(edit: Edit) -> list[Wanted]:
        return [want(name, cron, enabled=on) for name, (cron, on) in edit.declared.items()]

    for edit in history:
        for run in fake.runs:
            run["state"] = "SUCCEEDED" if edit.ends and run["state"] == "RUNNING" else run["state"]
        for each in fake.schedules:  # each that is on has a run in flight
            if each["status"] == "ENABLED":
                run = {"run_id": str(len(fake.runs)), "display_name": "r", "state": "RUNNING"}
                fake.runs.append({**run, "recurring_run_id": each["recurring_run_id"]})
        with contextlib.suppress(Death, EverloopError):
            reconcile(faulty(Kubeflow(endpoint), fake, edit), wanted(edit), "prod", package, prune=True)
        fake.faults.clear()
    late = any(edit.fault == "late" for edit in history)  # then two were made, for as long as it took to look
    assert fake.most_firing <= 1 + late
    last = wanted(history[-1])
    reconcile(Kubeflow(endpoint), last, "prod", package, prune=True)
    for run in fake.runs:
        assert run["state"] != "KILLED"
        run["state"] = "SUCCEEDED"
    reconcile(Kubeflow(endpoint), last, "prod", package, prune=True)
    there = {each["display_name"]: each["status"] for each in fake.schedules}
    assert there == {"foreign-1": "ENABLED", **{one.title: "ENABLED" if one.enabled else "DISABLED" for one in last}}
    assert len(fake.schedules) == len(there)
    assert fake.most_firing <= 1 + late
    fake.calls = []
    reconcile(Kubeflow(endpoint), last, "prod", package, prune=True)
    assert [call for call in fake.calls if not call.startswith("GET")] == []
