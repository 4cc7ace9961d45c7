"""What tests of predictors on KServe share: a clock, what KServe's controller does, waiting."""

import time
from collections.abc import Callable
from typing import Any

from serving.kserve.inference_service import name_of
from serving.kserve.predictors import KServePredictors

ISVC = "inferenceservices"
Made = Callable[..., KServePredictors]


class Clock:
    def __init__(self) -> None:
        self.time = 1_764_000_000.0

    def __call__(self) -> float:
        return self.time


def tell(server: Any, digest: str, url: str) -> None:
    """As KServe's controller does once the Service is there."""
    server.change(ISVC, name_of(digest), status={"deploymentMode": "Standard", "address": {"url": url}})


def soon(what: Callable[[], bool], seconds: float = 10) -> bool:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if what():
            return True
        time.sleep(0.01)
    return what()
