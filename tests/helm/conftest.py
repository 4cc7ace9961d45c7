"""Helm programs and validators for all tests of the chart."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.helm.charts import CHART
from tests.helm.validity import Validity


@pytest.fixture(scope="session", params=["helm3", "helm4"])
def program(request: pytest.FixtureRequest, tool: Callable[[str], str]) -> str:
    tool(request.param)  # says what to do where it is missing
    return str(request.param)


@pytest.fixture(scope="session")
def newest(tool: Callable[[str], str]) -> str:
    tool("helm4")
    return "helm4"


@pytest.fixture(scope="session")
def validity(crds: Path) -> Validity:
    return Validity(crds)


@pytest.fixture(scope="session")
def schema() -> dict[str, Any]:
    found: dict[str, Any] = json.loads((CHART / "values.schema.json").read_text())
    return found
