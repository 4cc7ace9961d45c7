"""Waiting for what a cluster does in its own time."""

import time
from collections.abc import Callable
from typing import Any


def wait(until: Callable[[], Any], seconds: float, what: str, told: Callable[[], str] = str) -> Any:
    """The first answer of `until` that is true. told: what else to say when none came."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        found = until()
        if found:
            return found
        time.sleep(0.5)
    raise AssertionError(f"{what} did not come within {seconds:.0f} s; {told()}")
