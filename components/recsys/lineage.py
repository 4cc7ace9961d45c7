"""A lineage record beside every artifact, readable when every database is gone.

>>> record(folder, "prepare", inputs={"events": sha256}, parameters={"prepare": {...}})
>>> json.loads((folder / "lineage.json").read_text())["step"]
'prepare'

The record names what went in (by content hash), the step's parameters, the code that ran, and what came out (sha256 a file).

>>> damage(folder)     # '' while every byte is as it was recorded
'model.safetensors is not as it was recorded'
"""

import hashlib
import json
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from components.recsys.errors import InputError
from components.recsys.version import VERSION, source_digest

FILE = "lineage.json"
TIMES = "times.json"  # how long things took: not part of what an artifact is


def record(folder: Path, step: str, inputs: Mapping[str, str], parameters: Mapping[str, Any]) -> dict[str, Any]:
    """Write lineage.json into an artifact's folder, over all files in it. inputs: name -> content digest."""
    files = {
        path.relative_to(folder).as_posix(): _sha256(path)
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name not in (FILE, TIMES)
    }
    times = folder / TIMES
    entry = {
        "step": step,
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "code": {"version": VERSION, "source_digest": source_digest()},
        "inputs": dict(inputs),
        "parameters": dict(parameters),
        "files": files,
        "aside": {TIMES: _sha256(times)} if times.is_file() else {},
        "digest": _digest_of(files),
    }
    (folder / FILE).write_text(json.dumps(entry, indent=1, sort_keys=True, ensure_ascii=False))
    return entry


def read(folder: Path) -> dict[str, Any]:
    """The record of an artifact's folder. Raises InputError when there is none."""
    try:
        return dict(json.loads((folder / FILE).read_text()))
    except (OSError, ValueError):
        raise InputError(f"{folder} has no readable {FILE}: it is not an artifact of Everloop") from None


def damage(folder: Path) -> str:
    """The first thing in an artifact's folder that is not as it was recorded, in words; '' when all is whole."""
    try:
        entry = read(folder)
        if entry["digest"] != _digest_of(entry["files"]):
            return f"{FILE} contradicts itself"
        for name, recorded in {**entry["files"], **entry["aside"]}.items():
            if not (folder / name).is_file():
                return f"{name} is missing"
            if _sha256(folder / name) != recorded:
                return f"{name} is not as it was recorded"
    except (InputError, KeyError, TypeError, AttributeError):
        return f"{FILE} cannot be read"
    except OSError as error:
        return f"{error.filename or folder} cannot be read: {error.strerror}"
    return ""


def _digest_of(files: Mapping[str, str]) -> str:
    return hashlib.sha256(json.dumps(files, sort_keys=True).encode()).hexdigest()


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
