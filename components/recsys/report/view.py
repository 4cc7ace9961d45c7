"""From the dicts of a run to what the page shows: sentences, tables, plots. Whatever is missing is left out.

>>> view(ReportData(quality=quality))["headline"]["kind"]
'stopped'
"""

from collections.abc import Mapping
from datetime import date
from typing import Any

from components.recsys.report import plots
from components.recsys.report.data import Json, ReportData
from components.recsys.report.figures import Counts, by_count, by_start, counts_of, number, seconds_of, share
from components.recsys.report.judged import (
    compare_candidates,
    compare_groups,
    measure_exposure,
    order_candidates,
    tell_verdict,
)
from components.recsys.report.markdown import to_html
from components.recsys.report.style import style

TOP = 10  # most frequent items shown
MOST_EXAMPLES = 3


def view(report: ReportData) -> Json:
    """All that the template needs; a section without content is None or empty."""
    order = order_candidates(report)
    return {
        "style": style(),
        "headline": _headline(report),
        "data": _data(report),
        "quality": _quality(report.quality),
        "candidates": compare_candidates(report, order),
        "gate": tell_verdict(report),
        "slices": compare_groups(report, order),
        "exposure": measure_exposure(report),
        "samples": [_sample(each) for each in report.samples],
        "card": to_html(report.card) if report.card else None,
        "release": _release(report.manifest),
        "lineage": [_lineage(step, record) for step, record in report.lineage.items() if record],
        "timings": [_timing(name, value) for name, value in report.timings.items() if seconds_of(value) is not None],
    }


def _headline(report: ReportData) -> Json:
    quality, verdict, manifest = report.quality, report.verdict or {}, report.manifest or {}
    chosen, outcome, why = verdict.get("chosen", ""), verdict.get("outcome", ""), (verdict.get("reasons") or [""])[0]
    if quality and not quality.get("ok", True):
        kind, title, why = (
            "stopped",
            "The data gate stopped this run: nothing was trained",
            str(quality.get("sentence", "")),
        )
    elif outcome == "promoted":
        kind, title = "promoted", f"{chosen} was promoted: it serves from now on"
    elif outcome == "approved":
        kind, title = "promoted", f"{chosen} passed the gate: a rollout gives it to a few people first"
    elif outcome == "rejected":
        rest = "the champion stays" if verdict.get("champion") else "nothing serves yet"
        kind, title = "rejected", f"{chosen} was not promoted: {rest}"
    elif outcome == "unchanged":
        kind, title = "unchanged", "Nothing new to release: the champion stays"
    elif report.part:
        kind, title, why = "unfinished", report.part, ""
    else:
        kind, title, why = "unfinished", "This run has no verdict", "It ended before the gate; what is known is below."
    return {
        "kind": kind,
        "title": title,
        "why": why,
        "digest": manifest.get("digest", ""),
        "model": manifest.get("model", ""),
        "created": manifest.get("created", ""),
        "data": _summary_sentence(report),
        "label": report.label,
        "serve": report.serve if kind in ("promoted", "unchanged") else "",
    }


def _summary_sentence(report: ReportData) -> str:
    summary = report.quality.get("summary") or {}
    if summary.get("rows") is None:
        return ""
    rows, users, items = (number(summary.get(name)) for name in ("rows", "users", "items"))
    text = f"{rows} events of {users} users on {items} items"
    first, last = _span(summary)
    return f"{text}, {first} to {last}" if first and last else text


def _span(summary: Json) -> tuple[str, str]:
    first, last = (summary.get("span") or (summary.get("first"), summary.get("last")))[:2]
    return str(first or "")[:10], str(last or "")[:10]


def _data(report: ReportData) -> Json | None:
    summary = report.quality.get("summary") or {}
    if not summary:
        return None
    first, last = _span(summary)
    facts = [
        ({"rows": "Events"}.get(name, name.capitalize()), number(summary[name]))
        for name in ("rows", "users", "items")
        if summary.get(name) is not None
    ]
    if first:
        facts.append(("Time span", f"{first} to {last}"))
    if summary.get("density") is not None:
        facts.append(("Density", share(summary["density"])))
    days, lengths = sorted(counts_of(summary.get("per_day"))), by_start(counts_of(summary.get("history_lengths")))
    return {
        "facts": facts,
        "events": by_count(counts_of(summary.get("events"))),
        "top": counts_of(summary.get("top_items"))[:TOP],
        "spell": "Events per day" if _daily(days) else "Events over time",
        "per_day": plots.over_time(days) if len(days) > 1 else None,
        "lengths": plots.histogram(lengths, "Users by number of events", "users") if len(lengths) > 1 else None,
    }


def _daily(days: Counts) -> bool:
    """Whether the spells are single days; of long histories they are longer."""
    try:
        return (date.fromisoformat(days[1][0]) - date.fromisoformat(days[0][0])).days == 1
    except (ValueError, IndexError):
        return False


def _quality(quality: Json) -> Json | None:
    if not quality:
        return None
    summary = quality.get("summary") or {}
    checks = [_check(check) for check in quality.get("checks") or []]
    rank = {"stopped": 0, "warned": 1, "ok": 2, "off": 3}
    return {
        "ok": quality.get("ok", True),
        "sentence": quality.get("sentence", ""),
        "found": any(check["sentence"] for check in checks),
        "checks": sorted(checks, key=lambda check: rank[check["state"]]),
        "cleaning": [
            (name.replace("_", " "), rows) for name, rows in by_count(counts_of(summary.get("cleaning"))) if rows
        ],
        "quarantine": [(name, rows) for name, rows in by_count(counts_of(summary.get("quarantine"))) if rows],
    }


def _check(check: Json) -> Json:
    severity, sentence = check.get("severity", "stop"), str(check.get("sentence") or "")
    examples = [str(example) for example in check.get("examples") or []]
    if severity == "off":
        state = "off"
    elif check.get("ok", True):
        state = "ok"
    else:
        state = "warned" if severity == "warn" else "stopped"
    return {
        "name": str(check.get("name", "")).replace("_", " "),
        "state": state,
        "severity": severity,
        "column": check.get("column") or "",
        "rows": number(check.get("rows")),
        "measured": number(check.get("share")),
        "threshold": number(check.get("threshold")),
        # The data gate's own sentences end with the examples.
        "examples": [text for text in examples if text not in sentence][:MOST_EXAMPLES],
        "sentence": sentence,
    }


def _sample(sample: Json) -> Json:
    return {
        "user": sample.get("user", ""),
        "history": [str(title) for title in sample.get("history") or []],
        "items": [
            {
                "title": each.get("title") or each.get("item_id", ""),
                "reason": each.get("reason", ""),
                "score": number(each.get("score")),
            }
            for each in sample.get("items") or []
        ],
    }


def _release(manifest: Json | None) -> Json | None:
    if not manifest:
        return None
    names = ("digest", "model", "created", "run", "parent", "code_version", "source_digest", "judged")
    data = manifest.get("data") or {}
    versions = manifest.get("data_version") or {}
    return {
        "facts": [(name.replace("_", " "), str(manifest[name])) for name in names if manifest.get(name)],
        "seed": number(((manifest.get("settings") or {}).get("train") or {}).get("seed")),
        "data": [
            (kind, number(versions.get(kind)), number(part.get("rows")), str(part.get("sha256", "")))
            for kind, part in data.items()
            if part
        ],
        "config": sorted((manifest.get("config") or {}).items()),
        "learnt": sorted((manifest.get("learnt") or {}).items()),
        "settings": manifest.get("settings") or {},
    }


def _lineage(step: str, record: Json) -> Json:
    code = record.get("code") or {}
    return {
        "step": step,
        "made_by": record.get("step", step),
        "created": record.get("created", ""),
        "code": f"{code.get('version', '')} {str(code.get('source_digest', ''))[:12]}".strip(),
        "inputs": sorted((name, str(digest)) for name, digest in (record.get("inputs") or {}).items()),
        "files": sorted((record.get("files") or {}).items()),
        "digest": str(record.get("digest", "")),
    }


def _timing(name: str, value: Any) -> Json:
    cached = isinstance(value, Mapping) and bool(value.get("cached"))
    return {"name": name, "seconds": f"{seconds_of(value):.1f}", "cached": cached}
