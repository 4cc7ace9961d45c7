"""What is declared and what is there become one: schedules are made, switched and removed, a few calls each.

>>> reconcile(kubeflow, wanted, "prod", package, prune=True)
[Change(name='nightly', what='replaced', schedule='nightly-3f9a1c2e', why='')]
>>> reconcile(kubeflow, wanted, "prod", package, prune=True)
[Change(name='nightly', what='unchanged', schedule='nightly-3f9a1c2e', why='')]

A schedule cannot be changed, only made, switched and deleted, and making one twice makes two. So the order is: switch off what is
no longer wanted, look, make what is missing, look again, delete the rest. At no moment do two schedules of one name start
runs; whatever is interrupted, the next call goes on from what it finds. The new one takes over from the moment the old one was
switched off, so that no time between is left out. Runs in flight are left alone: Kubeflow deletes a schedule's runs with it
(before 2.16 always), so where it would, the old schedule stays, switched off, until they have ended.
"""

import re
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from components.recsys.errors import StoreError
from pipelines.kubeflow import ENDED, Kubeflow
from pipelines.recurring.schedules import Standing, Wanted
from pipelines.submit import version_of
from pipelines.training import NAME

SETTLE_SECONDS = (
    2.0  # after which two who reconcile at once see each other's schedules, and Kubeflow knows of a run it began
)
HANDOVER = timedelta(hours=1)  # a schedule that was off for longer was switched off by somebody: nothing is made up for
LEAVES_RUNS = (2, 16)  # Kubeflow that can delete a schedule and leave its runs alone
CHANGED = ("made", "replaced", "switched on", "switched off", "removed")


@dataclass(frozen=True)
class Change:
    """what: made, replaced, switched on, switched off, unchanged, removed or waiting. why: for people, where there is more to say."""

    name: str
    what: str
    schedule: str
    why: str = ""


def standing_in(kubeflow: Kubeflow, set_name: str = "") -> list[Standing]:
    """Our schedules, of one set or of all, oldest first."""
    found = filter(None, map(Standing.of, kubeflow.schedules()))
    return sorted((each for each in found if set_name in ("", each.set)), key=lambda each: each.age)


def plan(wanted: Iterable[Wanted], standing: Sequence[Standing], prune: bool) -> list[Change]:
    """What reconciling would change."""
    changes, names = [], set[str]()
    for each in wanted:
        names.add(each.name)
        own = [one for one in standing if one.name == each.name]
        same = [one for one in own if one.spec == each.spec]
        if not same:
            changes.append(Change(each.name, "replaced" if own else "made", each.title))
        elif same[0].enabled != each.enabled:
            changes.append(Change(each.name, "switched on" if each.enabled else "switched off", each.title))
        else:
            changes.append(Change(each.name, "unchanged", each.title))
        changes += [Change(each.name, "removed", one.title) for one in own if one not in same[:1] and same]
    left = [one for one in standing if one.name not in names]
    return changes + [
        Change(one.name, "removed" if prune else "unchanged", one.title, _declared_no_more(prune)) for one in left
    ]


def _declared_no_more(prune: bool) -> str:
    return "no longer declared" if prune else "no longer declared; --prune removes it"


def reconcile(
    kubeflow: Kubeflow,
    wanted: Sequence[Wanted],
    set_name: str,
    package: bytes,
    prune: bool = False,
    told: Callable[[str], None] = lambda text: None,
) -> list[Change]:
    """Make Kubeflow hold exactly `wanted` of this set. prune: also remove what is no longer declared.

    Raises StoreError when Kubeflow fails; calling again goes on from there.
    """
    standing = standing_in(kubeflow, set_name)
    target = _Target(kubeflow, package, told)
    changes = [change for each in wanted for change in _reconcile_one(target, each, set_name, standing)]
    names = {each.name for each in wanted}
    for left in (one for one in standing if one.name not in names):
        if not prune:
            changes.append(Change(left.name, "unchanged", left.title, _declared_no_more(prune)))
            continue
        _switch(kubeflow, left, on=False)
        changes.append(_removed(kubeflow, left, "no longer declared"))
    return changes


@dataclass
class _Target:
    """Where schedules are made; the pipeline's version is looked up only when one is."""

    kubeflow: Kubeflow
    package: bytes
    told: Callable[[str], None]

    def make(self, wanted: Wanted, takes_over: datetime | None) -> None:
        kubeflow = self.kubeflow
        pipeline = kubeflow.pipeline(NAME)
        version = version_of(kubeflow, pipeline, self.package, self.told)
        experiment = kubeflow.experiment(wanted.experiment)
        kubeflow.create_schedule(wanted.body(experiment, pipeline, version, takes_over))


def _reconcile_one(target: _Target, wanted: Wanted, set_name: str, standing: Sequence[Standing]) -> list[Change]:
    kubeflow = target.kubeflow
    own = [one for one in standing if one.name == wanted.name]
    same = [one for one in own if one.spec == wanted.spec]
    rest = [one for one in own if one not in same[:1]]
    for one in rest:
        _switch(kubeflow, one, on=False)
    what = "unchanged"
    if not same:
        what = "replaced" if own else "made"
        same = _made(target, wanted, set_name, rest)
        rest += same[1:]
        for one in same[1:]:  # somebody made the same at this moment: the oldest stays, for all who see them
            _switch(kubeflow, one, on=False)
    keep = same[0]
    if keep.enabled != wanted.enabled:
        _switch(kubeflow, keep, wanted.enabled)
        what = what if what != "unchanged" else "switched on" if wanted.enabled else "switched off"
    return [Change(wanted.name, what, keep.title), *(_removed(kubeflow, one, "") for one in rest)]


def _made(target: _Target, wanted: Wanted, set_name: str, former: Sequence[Standing]) -> list[Standing]:
    """The schedules with this spec once one has been made, oldest first: one, unless another made one too."""
    lost: StoreError | None = None
    try:
        target.make(wanted, _handover(target.kubeflow, set_name, former))
    except StoreError as error:  # whether it was made is open: look
        lost = error
    time.sleep(SETTLE_SECONDS)
    found = [
        one for one in standing_in(target.kubeflow, set_name) if (one.name, one.spec) == (wanted.name, wanted.spec)
    ]
    if not found:
        raise lost or StoreError(f"Kubeflow took the schedule {wanted.title} and does not list it; apply again")
    return found


def _handover(kubeflow: Kubeflow, set_name: str, former: Sequence[Standing]) -> datetime | None:
    """When the last of the former schedules was switched off, by Kubeflow's clock; None without one, or for long."""
    if not former:
        return None
    ids = {one.id for one in former}
    changed = [one.changed for one in standing_in(kubeflow, set_name) if one.id in ids and one.changed]
    last = max(changed, default=None)
    return last if last is not None and datetime.now(UTC) - last < HANDOVER else None


def _switch(kubeflow: Kubeflow, schedule: Standing, on: bool) -> None:
    if schedule.enabled != on:
        kubeflow.switch_schedule(schedule.id, on)


def _removed(kubeflow: Kubeflow, schedule: Standing, why: str) -> Change:
    """Deleted, unless that would end a run of it."""
    if not leaves_runs(kubeflow.version):
        running = [run for run in kubeflow.runs_of_schedule(schedule.id) if run.get("state") not in ENDED]
        if running:
            run = running[0]["run_id"]
            return Change(
                schedule.name, "waiting", schedule.title, f"switched off; removed when its run {run} has ended"
            )
    kubeflow.delete_schedule(schedule.id)
    return Change(schedule.name, "removed", schedule.title, why)


def leaves_runs(version: str) -> bool:
    """Whether a Kubeflow of this version can delete a schedule without its runs; one that does not say cannot."""
    found = re.match(r"v?(\d+)\.(\d+)", version)
    return bool(found) and (int(found[1]), int(found[2])) >= LEAVES_RUNS  # type: ignore[index]


def plain(change: Change) -> dict[str, Any]:
    return {"name": change.name, "what": change.what, "schedule": change.schedule, "why": change.why}
