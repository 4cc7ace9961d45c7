"""The file of recurring runs, as it lies in git.

>>> for declared in load("recurring-runs.yaml"):
...     print(declared.name, declared.cron)
nightly 0 3 * * *

    set: prod
    recurring:
      - name: nightly
        cron: "0 3 * * *"
        settings: {train: {seed: 7}}
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any

import yaml
from pydantic import Field, field_validator, model_validator
from pydantic_core import PydanticCustomError

from components.recsys.errors import InputError
from components.recsys.feedback.segments import FEEDBACK
from components.recsys.settings import Section, parse, settings_of
from pipelines.recurring.cron import in_six

Name = Annotated[str, Field(pattern=r"^[a-z0-9]([a-z0-9-]{0,40}[a-z0-9])?$")]
KINDS = ("events", "items", "users")


class Declared(Section):
    """One recurring run. Either `cron` or `interval_seconds` says when."""

    name: Name = Field(description="Of the schedule; small letters, digits and hyphens.")
    description: str = Field(default="", description="For people, in Kubeflow's UI.")
    cron: str = Field(
        default="",
        description="Five fields as in crontab, six with seconds first, or @daily; in the time zone of Kubeflow's scheduler, mostly UTC.",
    )
    interval_seconds: int | None = Field(
        default=None, ge=60, description="Instead of cron: seconds between two starts."
    )
    starts: datetime | None = Field(default=None, description="No run before this time (ISO 8601; UTC without a zone).")
    ends: datetime | None = Field(default=None, description="No run after this time.")
    enabled: bool = Field(default=True, description="False keeps the schedule and starts nothing.")
    catchup: bool = Field(
        default=False,
        description="After a pause, start one run for each time that was missed. False: one for the latest of them.",
    )
    max_concurrency: int = Field(default=1, ge=1, le=10, description="Runs of this schedule at the same time.")
    sources: dict[str, tuple[str, ...]] = Field(
        default={"events": (FEEDBACK,)},
        description="What a run reads: s3:// URLs of events, items and users; 'feedback' stands for the home's new feedback.",
    )
    home: str = Field(default="", description="s3://bucket/prefix; empty: --home or EVERLOOP_HOME.")
    settings: dict[str, Any] = Field(default={}, description="Sections of settings that differ from the defaults.")
    service_account: str = Field(
        default="", description="Of the runs' pods; empty: --service-account, or Kubeflow's own choice."
    )

    @field_validator("cron")
    @classmethod
    def _readable(cls, cron: str) -> str:
        try:
            return in_six(cron) if cron else ""
        except InputError as error:
            raise PydanticCustomError("cron", "{text}", {"text": str(error)}) from None

    @field_validator("sources")
    @classmethod
    def _seen_by_pods(cls, sources: dict[str, tuple[str, ...]]) -> dict[str, tuple[str, ...]]:
        for kind, paths in sources.items():
            if kind not in KINDS or not paths:
                raise PydanticCustomError("kind", "name files of events, items or users")
            for path in paths:
                if not path.startswith("s3://") and (kind, path) != ("events", FEEDBACK):
                    raise PydanticCustomError("path", "pods see s3:// URLs (and 'feedback' among the events)")
        return sources

    @model_validator(mode="after")
    def _one_trigger(self) -> "Declared":
        if bool(self.cron) == (self.interval_seconds is not None):
            raise PydanticCustomError("trigger", "give either cron or interval_seconds")
        if self.starts and self.ends and self.ends <= self.starts:
            raise PydanticCustomError("ends", "ends lies before starts")
        return self


class Outer(Section):
    """The file as a whole."""

    set: Name = Field(
        default="everloop", description="Whose schedules these are; those of other sets are never touched."
    )
    recurring: tuple[dict[str, Any], ...] = Field(default=(), description="The recurring runs.")


@dataclass(frozen=True)
class File:
    """What `load` gives. set: whose schedules these are."""

    set: str
    recurring: tuple[Declared, ...]


def load(path: str | Path) -> File:
    """The file's content. Raises InputError with a sentence for a file, a name or a value that will not do."""
    try:
        content = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise InputError(f"{path} cannot be read: {str(error).splitlines()[0]}") from None
    if not isinstance(content, Mapping):
        raise InputError(f"{path} must hold `recurring:` with a list; docs/kubernetes/pipelines.md shows one")
    outer = parse(Outer, content)
    runs = tuple(parse(Declared, each, f"recurring.{at}") for at, each in enumerate(outer.recurring))
    file = File(outer.set, runs)
    names = [each.name for each in file.recurring]
    for name in names:
        if names.count(name) > 1:
            raise InputError(f"{path}: the name '{name}' is there twice")
    for each in file.recurring:
        _check_settings(each)
    return file


def _check_settings(declared: Declared) -> None:
    from components.recsys.training import check_candidates
    from pipelines.training import arguments

    settings = settings_of(declared.settings)
    check_candidates(settings.train)
    taken = arguments("", {}, settings)
    for section in declared.settings:
        if section not in taken:
            known = ", ".join(name for name in taken if name not in ("home", "sources"))
            raise InputError(
                f"recurring run '{declared.name}': settings.{section} has no effect on a run; sections of a run are {known}"
            )
