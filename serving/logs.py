"""One line of JSON an event, on stderr; nothing a request, since four lines a request cost half the rate.

>>> log("release refused", release="9f2c...", why="weights.safetensors is not what was released")
{"time":"2026-11-23T09:00:00.123Z","message":"release refused","release":"9f2c...","why":"..."}
"""

import sys
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

import orjson


def log(message: str, **fields: Any) -> None:
    time = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    with suppress(OSError):  # a full disk may lose a line, but ends nobody
        sys.stderr.write(orjson.dumps({"time": time, "message": message, **fields}, default=str).decode() + "\n")
        sys.stderr.flush()
