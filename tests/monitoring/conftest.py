"""Debian's Prometheus: the tests compare with the real one and do not pass without it."""

import shutil
import subprocess
from collections.abc import Callable

import pytest

BINARIES = {
    "promtool": ("promtool",),
    "prometheus": ("prometheus",),
    "amtool": ("amtool",),
    "alertmanager": ("prometheus-alertmanager", "alertmanager"),
}


@pytest.fixture(scope="session")
def binary() -> Callable[[str], str]:
    """The path of one of BINARIES."""

    def find(name: str) -> str:
        for command in BINARIES[name]:
            if path := shutil.which(command):
                return path
        raise AssertionError(f"{name} is not installed; run `bash .ci/packages`")

    return find


@pytest.fixture(scope="session")
def promtool(binary: Callable[[str], str]) -> Callable[..., str]:
    """Run promtool; its output, an AssertionError when it says no."""

    def run(*arguments: object) -> str:
        done = subprocess.run(
            [binary("promtool"), *map(str, arguments)], capture_output=True, text=True, timeout=120, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout + done.stderr

    return run
