"""One S3 that enforces the generated policies, and one life lived on it by every part with its own key."""

from collections.abc import Callable, Iterator

import pytest

from components.recsys.clock import VARIABLE
from pipelines.access.policies import policy
from pipelines.access.uses import PARTS
from tests.access.life import live
from tests.access.s3 import BUCKET, Place, policed


@pytest.fixture(scope="session")
def policed_s3(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    """The policies that are handed out for S3 servers other than AWS, enforced by one."""
    policies = {part: policy(part, BUCKET, aws=False) for part in PARTS}
    with policed(policies, tmp_path_factory.mktemp("s3")) as place:
        yield place


@pytest.fixture(scope="session")
def lived(policed_s3: Place, tmp_path_factory: pytest.TempPathFactory) -> Place:
    folder = tmp_path_factory.mktemp("life")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(VARIABLE, str(folder / "clock"))
        patch.setenv("XDG_CACHE_HOME", str(folder / "cache"))
        patch.setattr("pipelines.submit.SETTLE_SECONDS", 0.0)
        try:
            live(policed_s3, folder)
        finally:
            print("refused:", [(one.part, one.action, one.key) for one in policed_s3.asked if one.refused])
    return policed_s3


@pytest.fixture(scope="session")
def newest(tool: Callable[[str], str]) -> str:
    """The helm that the chart is rendered by here; tests/helm compares it with the older one."""
    tool("helm4")
    return "helm4"
