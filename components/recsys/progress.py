"""What a step tells while it works: one JSON line each on stdout, prefixed, so that a runner can follow and a person can read.

>>> with reporting("ingest") as told:
...     told("100,000 events read")
everloop {"step": "ingest", "event": "told", "text": "100,000 events read"}
"""

import contextlib
import ctypes
import json
import signal
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

from components.recsys.errors import EverloopError

PREFIX = "everloop "
Told = Callable[[str], None]


def emit(step: str, event: str, **fields: Any) -> None:
    print(PREFIX + json.dumps({"step": step, "event": event, **fields}, ensure_ascii=False), flush=True)


def read(line: str) -> dict[str, Any] | None:
    """The message in a line of output, or None."""
    start = line.find(PREFIX + "{")
    if start < 0:
        return None
    with contextlib.suppress(ValueError):
        message = json.loads(line[start + len(PREFIX) :])
        return message if isinstance(message, dict) else None
    return None


@contextlib.contextmanager
def reporting(step: str) -> Iterator[Told]:
    """Around a step's work: says started, done with its seconds, or failed with one sentence and the exit code."""
    _die_with_parent()
    began = time.monotonic()
    emit(step, "started")
    try:
        yield lambda text: emit(step, "told", text=text)
    except EverloopError as error:
        emit(step, "failed", text=str(error), code=error.exit_code)
        sys.exit(error.exit_code)
    emit(step, "done", seconds=round(time.monotonic() - began, 2))


def _die_with_parent() -> None:
    """A step must not outlive a runner that was killed, or it would write beside the next run."""
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(1, signal.SIGTERM)  # PR_SET_PDEATHSIG, Linux
