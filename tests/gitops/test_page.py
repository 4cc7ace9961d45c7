"""The page says what is so: its commands exist, and so do the files that it names."""

import re
from pathlib import Path

from tests.docs.test_commands import calls, fault

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "kubernetes" / "gitops.md"


def test_every_command_and_option_exists() -> None:
    found = calls(PAGE.read_text())
    assert {call.split()[1] for call in found if call.startswith("gitops ")} == {
        "promote", "finish", "sync", "rollback", "render", "status", "smoke",
    }  # fmt: skip
    assert {call: what for call in found if (what := fault(call))} == {}


def test_every_file_that_it_names_exists() -> None:
    named = set(re.findall(r"(?:manifests|helm|tests)/[\w./-]+\w", PAGE.read_text()))
    assert len(named) > 10
    assert {name for name in named if not (ROOT / name).exists()} == set()
