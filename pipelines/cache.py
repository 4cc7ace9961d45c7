"""The local runner's cache: what it answers with is whole, and it does not grow without limit.

>>> prune(work)                                  # the newest five runs stay
>>> with checked(work / "cache" / code, told):
...     training(...)                            # a damaged artifact is no answer: its step runs again

KFP keeps one JSON file for each finished step; it points into the folder of the run that made the artifacts. KFP looks
only whether they are still there. Here each folder is compared with its lineage record before it counts. Summaries for
people are single files without a record: no later step reads them.
"""

import contextlib
import json
import os
import shutil
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

from kfp import dsl
from kfp.local import cache as kfp_cache

from components.recsys import lineage

KEPT = 5  # runs: one on MovieLens 100K is 40 MB, and few people go back further than a handful of settings
RUNS, ENTRIES = "runs", "cache"  # folders below the working folder


class CheckedCache(kfp_cache.LocalCache):  # type: ignore[misc]  # kfp ships no types
    """KFP's cache, which also notices changed bytes and remembers when an entry was last of use."""

    def __init__(self, folder: Path, told: Callable[[str, str], None]) -> None:
        super().__init__(str(folder))
        self.told = told

    def get(self, key: str) -> dict[str, Any] | None:
        outputs: dict[str, Any] | None = super().get(key)
        if outputs is None:
            return None
        entry = Path(self._entry_path(key))
        for artifact in _artifacts(outputs.values()):
            folder = Path(artifact.path)
            damage = lineage.damage(folder) if folder.is_dir() else ""
            if damage:
                entry.unlink(missing_ok=True)
                self.told(
                    folder.parent.name,
                    f"the cached {artifact.name} is damaged ({damage}), so it is not used and the step runs again",
                )
                return None
        with contextlib.suppress(OSError):  # only the order of pruning depends on it
            os.utime(entry)
        return outputs


@contextlib.contextmanager
def checked(folder: Path, told: Callable[[str, str], None]) -> Iterator[None]:
    """KFP answers from this cache meanwhile. told: (step, sentence), called from the thread of the step."""
    cache, original = CheckedCache(folder, told), kfp_cache.get_local_cache
    kfp_cache.get_local_cache = lambda: cache
    try:
        yield
    finally:
        kfp_cache.get_local_cache = original


def prune(work: Path, kept: int = KEPT) -> int:
    """Remove all runs but those that were made or answered from last, and what points to them; returns how many went.

    To be called before a run, alone on the working folder: so a failed or killed run is cleared away as well.
    """
    used = {path.name: path.stat().st_mtime_ns for path in (work / RUNS).glob("*") if path.is_dir()}
    entries = {path: _runs_of(path, work / RUNS) for path in (work / ENTRIES).glob("*/*.json")}
    for path, runs in entries.items():
        for run in runs & used.keys():
            used[run] = max(used[run], path.stat().st_mtime_ns)
    gone = set(sorted(used, key=lambda run: (used[run], run), reverse=True)[kept:])
    # Entries first: killed in between, a run without entries is only bytes, an entry without its run a question to KFP.
    for path, runs in entries.items():
        if not runs or not runs <= used.keys() - gone:
            path.unlink(missing_ok=True)
    for run in gone:
        shutil.rmtree(work / RUNS / run, ignore_errors=True)
    for folder in (work / ENTRIES).glob("*"):
        with contextlib.suppress(OSError):  # not empty
            folder.rmdir()
    return len(gone)


def _artifacts(values: Iterable[Any]) -> Iterator[dsl.Artifact]:
    for value in values:
        if isinstance(value, dsl.Artifact):
            yield value
        elif isinstance(value, list):
            yield from _artifacts(value)


def _runs_of(entry: Path, runs: Path) -> set[str]:
    """Names of the runs whose artifacts an entry points to; none when it cannot be read."""
    try:
        found = json.loads(entry.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return set()
    outputs = [value for value in found.values() if isinstance(value, dict)]
    paths = [Path(part["uri"]) for value in outputs for part in value.get("artifacts", [value]) if "uri" in part]
    return {path.relative_to(runs).parts[0] for path in paths if path.is_relative_to(runs)}
