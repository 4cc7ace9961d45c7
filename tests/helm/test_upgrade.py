"""An upgrade changes nothing that Kubernetes does not let it change: neither another version nor another value does."""

import json
import re
import shutil
from pathlib import Path
from typing import Any

import pytest

from tests.helm.charts import CHART, HOME, helm, named, parsed, render
from tests.helm.immutables import INSTALLATIONS, RELEASED, immutables
from tests.helm.test_random_values import values_of


@pytest.mark.parametrize("file", sorted(RELEASED.glob("*.json")), ids=lambda path: path.stem)
@pytest.mark.parametrize("installation", INSTALLATIONS)
def test_an_upgrade_from_an_earlier_version_is_possible(newest: str, file: Path, installation: str) -> None:
    before, now = json.loads(file.read_text())[installation], immutables(render(newest, INSTALLATIONS[installation]))
    changed = {name: (fields, now[name]) for name, fields in before.items() if name in now and now[name] != fields}
    assert not changed
    gone = [name for name in before if name.startswith("PersistentVolumeClaim") and name not in now]
    assert not gone, "the state in them would be lost"


def test_there_is_an_earlier_version_to_upgrade_from() -> None:
    assert list(RELEASED.glob("*.json"))


@pytest.mark.parametrize("number", range(10))
def test_no_value_changes_a_selector(newest: str, schema: dict[str, Any], number: int) -> None:
    values = {**values_of(number, schema), "fullnameOverride": "", "extraManifests": []}
    default, now = immutables(render(newest, {"home": HOME})), immutables(render(newest, values))
    for name in default.keys() & now.keys():
        if name.startswith(("Deployment", "Service")):
            assert default[name] == now[name], name


def test_the_next_version_changes_no_selector_and_no_claim(newest: str, tmp_path: Path) -> None:
    """Labels that carry the version are not among those that select."""
    shutil.copytree(CHART, tmp_path / "everloop")
    file = tmp_path / "everloop" / "Chart.yaml"
    file.write_text(re.sub(r"(?m)^(version|appVersion): .*", r"\1: 9.9.9", file.read_text()))
    values = INSTALLATIONS["default"]
    later = list(parsed(helm(newest, "template", "everloop", str(file.parent), "--set", f"home={values['home']}")))
    labels = named(later, "Deployment", "everloop-gateway")["metadata"]["labels"]
    assert labels["app.kubernetes.io/version"] == "9.9.9"
    assert immutables(later) == immutables(render(newest, values))
