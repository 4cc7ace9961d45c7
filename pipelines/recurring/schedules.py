"""A declared run as a recurring run of Kubeflow, and Kubeflow's as far as it is ours.

>>> wanted = Wanted.of("prod", declared, home, package, version_ids, "everloop-steps")
>>> wanted.title
'nightly-3f9a1c2e'

Kubeflow cannot change a schedule, so its name and description carry a digest of all that it is made of: another digest is
another schedule. The description's last line tells whose it is: `everloop set=prod name=nightly spec=3f9a1c2e77d0`.
"""

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from components.recsys.release import SHORT, canonical
from components.recsys.settings import settings_of
from pipelines.recurring.declared import Declared

Json = dict[str, Any]
MARK = re.compile(r"^everloop set=(\S+) name=(\S+) spec=([0-9a-f]{12})$", re.MULTILINE)


@dataclass(frozen=True)
class Wanted:
    """What should be there. content: all that decides what the schedule does, but whether it is switched on."""

    set: str
    name: str
    enabled: bool
    text: str
    experiment: str
    content: Json

    @property
    def spec(self) -> str:
        return hashlib.sha256(canonical(self.content)).hexdigest()[:SHORT]

    @property
    def title(self) -> str:
        return f"{self.name}-{self.spec[:8]}"

    def body(self, experiment_id: str, pipeline_id: str, version_id: str, takes_over: datetime | None) -> Json:
        """What creates it. takes_over: no run before this time, and every run after it."""
        kind, trigger = next(iter(self.content["trigger"].items()))
        starts = max(filter(None, (trigger.get("start_time"), _iso(takes_over))), default=None)
        return {
            "display_name": self.title,
            "description": "\n".join(
                filter(None, (self.text, f"everloop set={self.set} name={self.name} spec={self.spec}"))
            ),
            "experiment_id": experiment_id,
            "pipeline_version_reference": {"pipeline_id": pipeline_id, "pipeline_version_id": version_id},
            "runtime_config": {"parameters": self.content["parameters"]},
            "service_account": self.content["service_account"],
            "max_concurrency": str(self.content["max_concurrency"]),
            "no_catchup": not self.content["catchup"],
            "mode": "ENABLE" if self.enabled else "DISABLE",
            "trigger": {kind: {**trigger, **({"start_time": starts} if starts else {})}},
        }


def wanted_of(set_name: str, declared: Declared, home: str, package: bytes, service_account: str = "") -> Wanted:
    """home, service_account: where the declaration names none. package: the compiled pipeline."""
    from pipelines.training import arguments

    settings = settings_of(declared.settings)
    sources = {kind: list(paths) for kind, paths in declared.sources.items()}
    content = {
        "trigger": _trigger(declared),
        "parameters": arguments(declared.home or home, sources, settings),
        "pipeline": hashlib.sha256(package).hexdigest(),
        "experiment": settings.tracking.experiment,
        "service_account": declared.service_account or service_account,
        "max_concurrency": declared.max_concurrency,
        "catchup": declared.catchup,
    }
    return Wanted(
        set_name, declared.name, declared.enabled, declared.description, settings.tracking.experiment, content
    )


def _trigger(declared: Declared) -> Json:
    times = {"start_time": _iso(declared.starts), "end_time": _iso(declared.ends)}
    known = {name: time for name, time in times.items() if time}
    if declared.cron:
        return {"cron_schedule": {"cron": declared.cron, **known}}
    return {"periodic_schedule": {"interval_second": str(declared.interval_seconds), **known}}


def _iso(time: datetime | None) -> str | None:
    """As Kubeflow's API reads and writes it, which sorts by time."""
    if time is None:
        return None
    time = time.replace(tzinfo=UTC) if time.tzinfo is None else time.astimezone(UTC)
    return f"{time:%Y-%m-%dT%H:%M:%SZ}"


@dataclass(frozen=True)
class Standing:
    """A schedule of ours that is there. changed: when it was last switched, by Kubeflow's clock."""

    id: str
    set: str
    name: str
    spec: str
    title: str
    enabled: bool
    created: str
    changed: datetime | None
    trigger: Json

    @classmethod
    def of(cls, schedule: Mapping[str, Any]) -> "Standing | None":
        """None for one that we have not made."""
        marks = MARK.findall(str(schedule.get("description", "")))
        if not marks:
            return None
        set_name, name, spec = marks[-1]
        changed = str(schedule.get("updated_at") or "")
        return cls(
            str(schedule["recurring_run_id"]),
            set_name,
            name,
            spec,
            str(schedule.get("display_name", "")),
            str(schedule.get("status") or schedule.get("mode")) in ("ENABLED", "ENABLE"),
            str(schedule.get("created_at", "")),
            datetime.fromisoformat(changed) if changed else None,
            dict(schedule.get("trigger", {})),
        )

    @property
    def age(self) -> tuple[str, str]:
        """Sorts the oldest first, the same for everybody who looks."""
        return self.created, self.id

    def when(self) -> str:
        """`0 0 3 * * *`, or `every 3600 s`."""
        cron = self.trigger.get("cron_schedule")
        if cron:
            return str(cron.get("cron", ""))
        return f"every {self.trigger.get('periodic_schedule', {}).get('interval_second', '?')} s"
