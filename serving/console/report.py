"""The newest Evidently report that the monitor left in the home, fit to be shown by the gateway.

>>> latest_report(home)[:15]
b'<!DOCTYPE html>'

It is a page of another maker, full of what came with the data, so its browser keeps it in a sandbox: a place of its own that
can neither ask the gateway nor load anything (HTML Standard, sandboxed origin).
"""

import re
from collections.abc import Mapping
from typing import Any

from components.recsys.errors import NotFound
from components.recsys.home import Home
from components.recsys.statuses import Statuses

REPORT_CSP = (
    "sandbox allow-scripts; default-src 'none'; script-src 'unsafe-inline' 'unsafe-eval'; style-src 'unsafe-inline'; "
    "img-src data: blob:; font-src data:; frame-ancestors 'none'"
)
ADDRESS = "v1/report"  # at the gateway
KEY = re.compile(r"monitor/reports/[\w:-]+\.html$", re.ASCII)


def address_of(facts: Mapping[str, Any]) -> str:
    """Where the page finds the report that the monitor names; empty when there is none."""
    return ADDRESS if key_of(facts) else ""


def key_of(facts: Mapping[str, Any]) -> str:
    found = KEY.search(str(facts.get("report") or ""))
    return found.group() if found else ""


def latest_report(home: Home) -> bytes:
    """Raises NotFound when there is none."""
    key = key_of(Statuses(home.store).read("monitor").facts)
    if not key:
        raise NotFound("there is no report yet: the monitor renders one when drift is first seen")
    return home.store.read(key)
