"""What holds for each image, wherever it runs: asked of docker or runc by these tests, of pods by tests/cluster.

>>> check("serving", json.loads(output_of_facts))
"""

import json
import re
from collections.abc import Mapping
from typing import Any

from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator

from components.recsys.version import VERSION
from tests.images.closure import closure
from tests.images.conftest import GROUPS


def check(image: str, facts: Mapping[str, Any]) -> None:
    assert facts["uid"] == 65532
    assert facts["writable"] == ["/tmp"]
    assert facts["everloop"] == {"code": 0, "text": f"everloop {VERSION}"}
    assert facts["help"]["code"] == 0
    assert facts["compiled"], "no bytecode: every start would compile anew, since the file system is read-only"
    check_nothing_installs(facts)
    check_packages(image, facts)
    check_sbom(facts)


def check_nothing_installs(facts: Mapping[str, Any]) -> None:
    """The environment has no pip; the base image's own, where it has one, finds no place to write and no index."""
    assert "No module named pip" in facts["pip"]["text"]
    assert facts["install"]["code"] != 0


def check_packages(image: str, facts: Mapping[str, Any]) -> None:
    """Exactly what the image's groups bring: nothing that another role needs, nothing of builds and tests."""
    wanted = closure(*GROUPS[image], python=facts["python"]) | {"everloop"}
    there = {canonical(name) for name in facts["packages"]}
    assert (sorted(there - wanted), sorted(wanted - there)) == ([], [])


def check_sbom(facts: Mapping[str, Any]) -> None:
    """It lists what is installed, with versions, and no more: Python's packages and the base's."""
    sbom = facts["sbom"]
    assert valid(sbom) == ""
    assert (sbom["metadata"]["component"]["name"], sbom["metadata"]["component"]["version"]) == ("everloop", VERSION)
    listed: dict[str, dict[str, str]] = {"pypi": {}, "deb": {}}
    for part in sbom["components"]:
        listed[re.split(r"[:/]", part["purl"])[1]][part["name"]] = part["version"]
    installed = {canonical(name): version for name, version in facts["packages"].items() if name != "everloop"}
    assert {canonical(name): version for name, version in listed["pypi"].items()} == installed
    assert listed["deb"] == facts["debian"]


def valid(sbom: Mapping[str, Any]) -> str:
    """What CycloneDX's own schema of 1.6 finds wrong; '' when nothing."""
    fault = JsonStrictValidator(SchemaVersion.V1_6).validate_str(json.dumps(sbom))
    return str(fault) if fault else ""


def canonical(name: str) -> str:
    """PEP 503."""
    return re.sub(r"[-_.]+", "-", name).lower()
