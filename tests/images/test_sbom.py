"""Debian's packages join Python's in an image's list: those that are installed, as package URLs."""

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.images.claims import valid

SCRIPT = Path(__file__).parents[2] / "components" / "sbom.py"
STATUS = """Package: libc6
Status: install ok installed
Architecture: amd64
Maintainer: Debian
Version: 2.36-9+deb12u14
Description: C library

Package: removed
Status: deinstall ok config-files
Architecture: all
Maintainer: Debian
Version: 1:1
Description: only its settings are left

Package: media-types
Status: install ok installed
Architecture: all
Maintainer: Debian
Version: 1:10.0.0
Description: types
"""
PYTHON = {
    "type": "library",
    "name": "six",
    "version": "1.17.0",
    "purl": "pkg:pypi/six@1.17.0",
    "bom-ref": "six==1.17.0",
}
DOCUMENT = {"bomFormat": "CycloneDX", "specVersion": "1.6", "version": 1, "components": [PYTHON]}


def joined(database: Path) -> dict[str, Any]:
    done = subprocess.run(
        [sys.executable, str(SCRIPT), str(database)],
        input=json.dumps(DOCUMENT),
        capture_output=True,
        text=True,
        check=True,
        timeout=30,
    )
    return dict(json.loads(done.stdout))


def test_what_is_installed_joins_the_list(tmp_path: Path) -> None:
    if not shutil.which("dpkg-query"):
        pytest.skip("this is no Debian: there is no dpkg-query to ask")
    (tmp_path / "status").write_text(STATUS)
    document = joined(tmp_path)
    assert [part["purl"] for part in document["components"]] == [
        "pkg:deb/debian/libc6@2.36-9%2Bdeb12u14?arch=amd64",
        "pkg:deb/debian/media-types@1%3A10.0.0?arch=all",
        "pkg:pypi/six@1.17.0",
    ]
    assert valid(document) == ""


def test_a_base_that_is_no_debian_lists_python_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert joined(tmp_path)["components"] == [PYTHON]


def test_an_invalid_list_is_told() -> None:
    assert "bomFormat" in valid({**DOCUMENT, "bomFormat": "SPDX"})
