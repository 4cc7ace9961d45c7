"""The chart rendered by real helm programs.

>>> render("helm4", {"home": "s3://bucket/home"})
[{'apiVersion': 'v1', 'kind': 'ServiceAccount', ...}, ...]
"""

import functools
import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from components.recsys.datasets import cache_folder

Json = dict[str, Any]
CHART = Path(__file__).parents[2] / "helm" / "everloop"
HOME = "s3://bucket/home"
OPERATOR = (
    "monitoring.coreos.com/v1",
    "monitoring.coreos.com/v1/ServiceMonitor",
    "monitoring.coreos.com/v1/PodMonitor",
    "monitoring.coreos.com/v1/PrometheusRule",
    "monitoring.coreos.com/v1alpha1/AlertmanagerConfig",
)


class Loader(yaml.CSafeLoader):
    """Every value of a rendered object as its type says; nothing here is a date."""


class Refused(Exception):
    """What helm says when it does not render."""


def helm(program: str, *arguments: str, stdin: str = "") -> str:
    """Output of a helm. Raises Refused with its words."""
    path = cache_folder() / "tools" / program
    done = subprocess.run([str(path), *arguments], input=stdin, capture_output=True, text=True, timeout=60)
    if done.returncode:
        raise Refused(done.stderr)
    return done.stdout


def template(
    program: str, values: Json, release: str = "everloop", namespace: str = "shop", apis: tuple[str, ...] = ()
) -> str:
    return _template(program, json.dumps(values, ensure_ascii=False), release, namespace, apis)


@functools.lru_cache(maxsize=32)
def _template(program: str, values: str, release: str, namespace: str, apis: tuple[str, ...]) -> str:
    """values: JSON, which every YAML reads alike."""
    given = [part for api in apis for part in ("--api-versions", api)]
    return helm(program, "template", release, str(CHART), "-n", namespace, "--values", "-", *given, stdin=values)


def render(program: str, values: Json, **more: Any) -> list[Json]:
    return list(parsed(template(program, values, **more)))


def parsed(text: str) -> Iterator[Json]:
    return (one for one in yaml.load_all(text, Loader) if one)


def named(objects: list[Json], kind: str, name: str = "") -> Json:
    """The one object of this kind, or of this kind and name."""
    (found,) = (one for one in objects if one["kind"] == kind and (not name or one["metadata"]["name"] == name))
    return found


def pods(objects: list[Json]) -> Iterator[tuple[str, Json]]:
    """Name and pod (metadata and spec) of everything that makes pods."""
    for one in objects:
        if one["kind"] == "Pod":
            yield one["metadata"]["name"], one
        elif "template" in one.get("spec", {}):
            yield one["metadata"]["name"], one["spec"]["template"]
