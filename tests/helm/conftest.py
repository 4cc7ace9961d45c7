"""Helm programs and validators for all tests of the chart."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from tests.conftest import crds_folder
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
def validity() -> Validity:
    """Where the CRDs are missing, Kubernetes' own kinds are still looked at; test_objects says that the others were not."""
    folder = crds_folder()
    return Validity(folder if folder.is_dir() else None)


@pytest.fixture(scope="session")
def schema() -> dict[str, Any]:
    found: dict[str, Any] = json.loads((CHART / "values.schema.json").read_text())
    return found
