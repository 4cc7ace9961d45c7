"""What `pip install 'everloop[GROUP]'` brings, told from pyproject.toml and the metadata of what is installed here.

>>> closure("serving") & {"polars", "kfp"}
{'polars'}
"""

import tomllib
from importlib.metadata import PackageNotFoundError, packages_distributions, requires
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

PROJECT = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text())["project"]


def closure(*groups: str, python: str = "") -> set[str]:
    """Canonical names of all packages, our own apart. python: a full version such as 3.11.2, where not this one's."""
    there = {"python_full_version": python} if python else {}
    found: set[tuple[str, str]] = set()
    waiting = [("everloop", ""), *(("everloop", group) for group in groups)]
    while waiting:
        package, extra = waiting.pop()
        if (package, extra) in found:
            continue
        found.add((package, extra))
        for line in _requirements(package, extra):
            needed = Requirement(line)
            if needed.marker is None or needed.marker.evaluate({**there, "extra": extra}):
                name = canonicalize_name(needed.name)
                waiting += [(name, ""), *((name, each) for each in needed.extras)]
    return {package for package, _ in found} - {"everloop"}


def modules_beyond(*groups: str) -> set[str]:
    """Top-level modules of everything installed here that an installation of these groups would not have."""
    kept = closure(*groups) | {"everloop"}
    return {
        module
        for module, owners in packages_distributions().items()
        if not any(canonicalize_name(owner) in kept for owner in owners)
    }


def _requirements(package: str, extra: str) -> list[str]:
    if package == "everloop":
        return list(PROJECT["optional-dependencies"][extra] if extra else PROJECT["dependencies"])
    try:
        return requires(package) or []
    except PackageNotFoundError:  # wanted on another system only
        return []
