"""One S3 that enforces the generated policies, and one life lived on it by every part with its own key."""

import fcntl
import json
import os
from collections.abc import Callable, Iterator
from dataclasses import asdict

import pytest

from components.recsys.clock import VARIABLE
from pipelines.access.policies import policy
from pipelines.access.uses import PARTS
from tests.access.life import live
from tests.access.s3 import BUCKET, Asked, Place, policed


@pytest.fixture(scope="session")
def policed_s3(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    """The policies that are handed out for S3 servers other than AWS, enforced by one."""
    policies = {part: policy(part, BUCKET, aws=False) for part in PARTS}
    with policed(policies, tmp_path_factory.mktemp("s3")) as place:
        yield place


@pytest.fixture(scope="session")
def lived(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> list[Asked]:
    """Every request of the life. It is lived once, by whichever worker comes first."""
    folder = tmp_path_factory.getbasetemp()
    shared = folder.parent if os.environ.get("PYTEST_XDIST_WORKER") else folder
    record = shared / "life.json"
    with (shared / "life.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not record.exists():
            place: Place = request.getfixturevalue("policed_s3")
            before = len(place.asked)
            own = tmp_path_factory.mktemp("life")
            with pytest.MonkeyPatch.context() as patch:
                patch.setenv(VARIABLE, str(own / "clock"))
                patch.setenv("XDG_CACHE_HOME", str(own / "cache"))
                patch.setattr("pipelines.submit.SETTLE_SECONDS", 0.0)
                live(place, own)
            record.write_text(json.dumps([asdict(one) for one in place.asked[before:]]))
    return [Asked(**one) for one in json.loads(record.read_text())]


@pytest.fixture(scope="session")
def newest(tool: Callable[[str], str]) -> str:
    """The helm that the chart is rendered by here; tests/helm compares it with the older one."""
    tool("helm4")
    return "helm4"
