"""The images that were built here, run as locked in as in a cluster."""

import json
import re

import pytest

from components.recsys.version import VERSION
from tests.images import claims, runtimes
from tests.images.conftest import GROUPS
from tests.images.facts import SCRIPT


@pytest.fixture(scope="module")
def run() -> runtimes.Run:
    found = runtimes.found()
    if isinstance(found, str):
        pytest.skip(found)
    return found


@pytest.fixture(params=sorted(GROUPS))
def image(request: pytest.FixtureRequest, run: runtimes.Run) -> str:
    name = f"everloop/{request.param}:{VERSION}"
    if not runtimes.config(name):
        pytest.skip(f"{name} was not built here; `make images` builds it")
    return name


def test_an_image_holds_what_it_says_and_writes_nowhere(image: str, run: runtimes.Run) -> None:
    done = run(image, "python3", "-c", SCRIPT)
    assert done.returncode == 0, done.stderr
    claims.check(image.split("/")[1].split(":")[0], json.loads(done.stdout))


def test_an_image_says_where_it_comes_from(image: str) -> None:
    config = runtimes.config(image)
    said = {key.removeprefix("org.opencontainers.image."): value for key, value in config["Labels"].items()}
    assert (said["title"], said["version"], said["licenses"]) == (image.split(":")[0], VERSION, "Apache-2.0")
    assert re.fullmatch(r"([0-9a-f]{40}(-dirty)?)?", said["revision"])
    assert re.fullmatch(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ)?", said["created"])
    assert "@" not in said["source"], "the source's URL must not carry a name or a password"
    assert (config["User"], config["Entrypoint"]) == ("65532:65532", ["everloop"])
