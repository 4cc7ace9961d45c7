"""Where the predictors of this machine can be scraped, as a file that Prometheus follows.

>>> file = TargetsFile(targets_path(Path(".everloop")))
>>> file.write(facts)             # as `Engine.turn` gives them
>>> file.path.read_text()
'[{"labels": {"job": "predictor", "variant": "champion"}, "targets": ["127.0.0.1:41234"]}]'

Prometheus's file_sd format: a list of groups, each {"targets": [host:port, ...], "labels": {...}}. Only predictors that
answer are in it, so one that is retired vanishes, which is no fault, and is not seen as a target that is down.
"""

import json
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from components.recsys.buckets import CANDIDATE, CHAMPION
from components.recsys.errors import StoreError
from serving.rollout.state import ENDED

JOB = "predictor"
FORMER = "former"
VARIANTS = (CHAMPION, CANDIDATE, FORMER)


def targets_path(root: Path) -> Path:
    """root: the home's folder."""
    return root / "loop" / "targets" / "predictors.json"


class TargetsFile:
    """One writer. A reader finds the last document or this one, never a part of one."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def write(self, facts: dict[str, Any]) -> bool:
        """Whether there was anything new; else the file is left alone. Raises StoreError when it cannot be written."""
        text = json.dumps(groups(facts), sort_keys=True)
        try:
            if self._present() == text:
                return False
            self.path.parent.mkdir(parents=True, exist_ok=True)
            temporary = self.path.with_suffix(".tmp")
            temporary.write_text(text)
            temporary.replace(self.path)
        except OSError as error:
            raise StoreError(
                f"{self.path} cannot be written ({error.strerror}), so Prometheus does not hear of predictors; mend the "
                "disk, it is tried again at every turn"
            ) from None
        return True

    def _present(self) -> str:
        try:
            return self.path.read_text(errors="replace")
        except FileNotFoundError:
            return ""


def groups(facts: dict[str, Any]) -> list[dict[str, Any]]:
    """A group for each variant that answers somewhere."""
    found: dict[str, list[str]] = {}
    for one in facts["predictors"]:
        if one["state"] == "ready" and one["url"]:
            found.setdefault(variant_of(one["release"], facts), []).append(urlsplit(one["url"]).netloc)
    return [
        {"targets": sorted(found[variant]), "labels": {"job": JOB, "variant": variant}}
        for variant in VARIANTS
        if variant in found
    ]


def variant_of(release: str, facts: dict[str, Any]) -> str:
    """What a predictor is for: its release leads, is tried, or did lead. release: the short digest."""
    if facts["champion"].startswith(release):
        return CHAMPION
    tried = facts["rollout"] and facts["state"] not in ENDED
    return CANDIDATE if tried and facts["candidate"].startswith(release) else FORMER
