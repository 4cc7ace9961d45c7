"""Findings for people: what is wrong first, what to do below each, a count and a next step at the end.

>>> show(findings)
no       KServe · version       0.15.2, older than 0.16
         upgrade KServe to 0.21: https://...
"""

import shutil
import textwrap
from collections import Counter

from rich.markup import escape

from pipelines.console import next_step, out
from pipelines.doctor.findings import NO, OK, UNKNOWN, WARNING, Finding

COLOURS = {OK: "green", WARNING: "yellow", NO: "bold red", UNKNOWN: "magenta"}
LONGEST_NAME = 44


def show(findings: list[Finding]) -> None:
    """Two columns, wrapped to the terminal; piped, lines stay whole, so that grep finds them."""
    width = shutil.get_terminal_size((0, 0)).columns if out.is_terminal else 0
    names = [f"{each.area} · {each.looked_at}".removesuffix(" · ") for each in findings]
    column = min(LONGEST_NAME, max(map(len, names), default=0))
    for finding, name in zip(findings, names, strict=True):
        _line(finding, name, column, width)
    counts = Counter("not asked for" if _idle(each) else each.verdict for each in findings)
    out.print()
    out.print(
        ", ".join(f"{counts[each]} {each}" for each in (OK, WARNING, NO, UNKNOWN, "not asked for") if counts[each])
    )
    next_step(_next(findings))


def _idle(finding: Finding) -> bool:
    return finding.verdict == NO and not finding.asked


def _line(finding: Finding, name: str, column: int, width: int) -> None:
    colour = "dim" if _idle(finding) else COLOURS[finding.verdict]
    word = "-" if _idle(finding) else finding.verdict
    head = f"[{colour}]{word:<8}[/] {escape(name):<{column}}  "
    indent = " " * (9 + column + 2)
    room = width - len(indent)
    found = textwrap.wrap(finding.found, room) if room > 30 else [finding.found]
    first = found[0] if len(name) <= column else ""
    out.print((head + escape(first)).rstrip())
    for line in found[1:] if first else found:
        out.print(indent + escape(line))
    if finding.do and not _idle(finding):
        out.print(f"{indent}[dim]{escape(finding.do)}[/]")


def _next(findings: list[Finding]) -> str:
    refused = next((each for each in findings if each.refused), None)
    if refused:
        return refused.do or f"put {refused.area} right, then: everloop doctor"
    if any(each.verdict == WARNING for each in findings):
        return "nothing that is asked is impossible; read the warnings, then install"
    return "helm install everloop helm/everloop -f values.yaml"
