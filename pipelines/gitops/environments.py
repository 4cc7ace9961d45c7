"""An environment as git has it: `manifests/overlays/<name>/`.

>>> read(clone, head, "staging")
Environment(name='staging', namespace='everloop-staging', promotion='direct', home='s3://...', ...)

environment.yaml  namespace, cluster, and how a change of model.yaml gets in: the one place that says so
values.yaml       what the chart is installed with; its `home` and `settings` hold for the predictors too
model.yaml        which releases are stable and candidate; written by `everloop gitops` alone
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, cast, get_args

import yaml

from components.recsys.errors import InputError, NotFound
from pipelines.gitops.git import Clone

OVERLAYS = "manifests/overlays"
# direct: a commit on the branch. pull-request: a branch of its own, which people merge. engine: git has no say, the
# rollout engine makes the predictors itself (settings.rollout.kserve=create).
Promotion = Literal["direct", "pull-request", "engine"]


@dataclass(frozen=True)
class Environment:
    """values: the whole of values.yaml."""

    name: str
    namespace: str
    promotion: Promotion
    home: str
    values: Mapping[str, Any] = field(default_factory=dict)

    @property
    def path(self) -> str:
        return model_path(self.name)


def model_path(name: str) -> str:
    return f"{OVERLAYS}/{name}/model.yaml"


def names(clone: Clone, commit: str) -> list[str]:
    """Every environment of a commit."""
    folders = clone.folders(commit, OVERLAYS)
    return [name for name in folders if clone.show(commit, f"{OVERLAYS}/{name}/environment.yaml") is not None]


def read(clone: Clone, commit: str, name: str) -> Environment:
    """Raises NotFound for an environment that is not there, InputError for one that cannot be used."""
    known = names(clone, commit)
    if name not in known:
        there = f"there are {', '.join(known)}" if known else f"there is none in {OVERLAYS}"
        raise NotFound(f"{clone.shown} has no environment '{name}'; {there}")
    facts = mapping(clone, commit, f"{OVERLAYS}/{name}/environment.yaml")
    values = mapping(clone, commit, f"{OVERLAYS}/{name}/values.yaml")
    promotion, namespace, home = facts.get("promotion"), facts.get("namespace"), values.get("home")
    if promotion not in get_args(Promotion):
        raise InputError(
            f"{OVERLAYS}/{name}/environment.yaml: promotion is {promotion!r}; known are {', '.join(get_args(Promotion))}"
        )
    if not (isinstance(namespace, str) and namespace):
        raise InputError(f"{OVERLAYS}/{name}/environment.yaml names no namespace")
    if not (isinstance(home, str) and home):
        raise InputError(f"{OVERLAYS}/{name}/values.yaml names no home, in which {name}'s releases would lie")
    return Environment(name, namespace, cast(Promotion, promotion), home, values)


def mapping(clone: Clone, commit: str, path: str) -> dict[str, Any]:
    text = clone.show(commit, path)
    try:
        found = yaml.safe_load(text) if text else None
    except yaml.YAMLError as error:
        raise InputError(f"{path} is no YAML ({str(error).splitlines()[0]}); mend it in git") from None
    if not isinstance(found, dict):
        raise InputError(f"{path} is {'missing' if text is None else 'no mapping'}; mend it in git")
    return found
