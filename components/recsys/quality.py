"""The data gate: is this batch fit to train on?

>>> quality = examine(home, done.data, done.batch, QualitySettings())
>>> quality.ok, quality.sentence
(False, "Stopped by the check 'missing' on user_id: 812 of 10,000 rows (8.12%) lack ..., for example ...")
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from components.recsys import events
from components.recsys.checking.checks import CHECKS
from components.recsys.checking.findings import Finding, Subject
from components.recsys.checking.summary import summarise
from components.recsys.home import Home
from components.recsys.intake import batches
from components.recsys.settings import Check, QualitySettings, Severity

MOST_EXAMPLES = 3


@dataclass(frozen=True)
class CheckResult:
    """One check. share: what was measured, in the threshold's unit. examples: at most three, as people read them."""

    name: str
    severity: Severity
    ok: bool
    column: str
    rows: int
    share: float
    threshold: float
    examples: tuple[str, ...] = ()
    sentence: str = ""


@dataclass(frozen=True)
class Quality:
    """All checks that looked. ok: no check of severity stop failed. summary: what the report shows of the data."""

    checks: tuple[CheckResult, ...]
    ok: bool
    sentence: str
    summary: dict[str, Any] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        return {
            **asdict(self),
            "checks": [{**asdict(check), "examples": list(check.examples)} for check in self.checks],
        }

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "Quality":
        checks = tuple(CheckResult(**{**each, "examples": tuple(each["examples"])}) for each in values["checks"])
        return cls(checks, bool(values["ok"]), str(values["sentence"]), dict(values["summary"]))


def examine(home: Home, data: Mapping[str, Any], batch: str, settings: QualitySettings) -> Quality:
    """Every check on a batch and the tables it went into. Writes nothing."""
    table = events.read_events(home, data)
    items, users = events.read_items(home, data), events.read_users(home, data)
    facts = batches.read_facts(home, batch) or _no_facts(batch)
    subject = Subject(facts, batches.former_facts(home, facts), table, items, users)
    checks = tuple(
        _judge(name, getattr(settings, name), subject) for name in CHECKS if getattr(settings, name).severity != "off"
    )
    failed = [check for check in checks if not check.ok]
    stopped = [check for check in failed if check.severity == "stop"]
    if stopped:
        sentence = f"Stopped by {stopped[0].sentence}"
        if len(stopped) > 1:
            sentence += f" Also failed: {', '.join(check.name for check in stopped[1:])}."
    else:
        warned = f"; warned: {', '.join(check.name for check in failed)}" if failed else ""
        sentence = f"{table.height:,} events passed {len(checks)} checks{warned}"
    return Quality(checks, not stopped, sentence, summarise(table, items, facts))


def _judge(name: str, check: Check, subject: Subject) -> CheckResult:
    found = CHECKS[name](subject, check.threshold) or Finding(True, "", 0, 0.0, "")
    if found.ok:
        return CheckResult(name, check.severity, True, found.column, found.rows, found.measured, check.threshold)
    examples = tuple(found.examples[:MOST_EXAMPLES])
    shown = f", for example {'; '.join(examples)}" if examples else ""
    where = f" on {found.column}" if found.column else ""
    sentence = f"the check '{name}'{where}: {found.text}{shown}."
    return CheckResult(
        name, check.severity, False, found.column, found.rows, found.measured, check.threshold, examples, sentence
    )


def _no_facts(batch: str) -> batches.Facts:
    """Of a batch of which nothing is recorded: what is in the table is examined, what was left out is not known."""
    return {
        "batch": batch,
        "created": "",
        "rows": 0,
        "usable": 0,
        "columns": [],
        "counts": {},
        "reasons": [],
        "days": 0.0,
        "per_day": 0.0,
    }


def quality_markdown(quality: Quality) -> str:
    """For people, in Kubeflow's UI or anywhere that shows Markdown."""
    summary = quality.summary
    lines = [
        "# Data quality",
        "",
        f"**{'Passed' if quality.ok else 'Stopped'}.** {_escaped(quality.sentence)}",
        "",
        f"{summary['rows']:,} events, {summary['users']:,} users, {summary['items']:,} items, "
        f"{summary['first'] or '?'} to {summary['last'] or '?'}, density {summary['density']:.3%}.",
        "",
        "| check | result | measured | limit | rows | column |",
        "| - | - | -: | -: | -: | - |",
    ]
    for check in sorted(quality.checks, key=lambda each: each.ok):
        result = "ok" if check.ok else ("**stopped**" if check.severity == "stop" else "warned")
        cells = (check.name, result, f"{check.share:,.4g}", f"{check.threshold:,.4g}", f"{check.rows:,}", check.column)
        lines.append(f"| {' | '.join(_escaped(cell) for cell in cells)} |")
    for check in (each for each in quality.checks if not each.ok and each.examples):
        lines += ["", f"Examples for `{check.name}`:", "", *(f"- `{_escaped(example)}`" for example in check.examples)]
    cleaning = {what.replace("_", " "): count for what, count in summary["cleaning"].items()}
    for title, counts in (("Quarantine", summary["quarantine"]), ("Cleaning", cleaning)):
        if any(counts.values()):
            lines += ["", f"## {title}", "", "| what | rows |", "| - | -: |"]
            lines += [f"| {_escaped(what)} | {count:,} |" for what, count in counts.items() if count]
    return "\n".join(lines) + "\n"


def _escaped(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ").replace("<", "&lt;")
