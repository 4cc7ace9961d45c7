"""What the monitor and the retrain controller say of themselves, in the console's words.

>>> told_drift({"drift": [{"kind": "items", "feature": "genres", "distance": 0.31, "limit": 0.12, "detected": True}]})
{'features': [{'kind': 'items', 'feature': 'genres', 'distance': 0.31, ...}], 'report': '', 'sentence': '', ...}

Each reads the facts of a status and gives None when the part has never said anything. Facts come from another process, and
perhaps from another version of it: what is missing is left out, what has an odd shape is passed over.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from serving.console.report import address_of

Json = dict[str, Any]
Facts = Mapping[str, Any]
FEATURE = ("kind", "feature", "distance", "limit", "p_value", "detected", "judged", "moved", "events")
DECISION = ("time", "state", "alert", "reason", "run")
NEWEST = 12  # decisions shown


def told_drift(facts: Facts) -> Json | None:
    """Features, the drifting ones first, then by how near each is to its limit."""
    if "drift" not in facts:
        return None
    features = [{name: each.get(name) for name in FEATURE} for each in dicts(facts["drift"])]
    features.sort(key=lambda each: (not each["detected"], -nearness(each)))
    return {
        "features": features,
        "report": address_of(facts),
        "sentence": str(facts.get("drift_sentence") or ""),
        "note": str(facts.get("report_note") or ""),
        "faults": [str(fault) for fault in facts.get("faults") or []],
    }


def told_quality(facts: Facts) -> Json | None:
    quality = facts.get("quality")
    if not isinstance(quality, Mapping):
        return None
    names = ("baseline", "immature", "coverage", "gini", "explored", "sentence", "alarm")
    variants = [
        {name: each.get(name) for name in ("variant", "release", "click_rate", "lists")}
        for each in dicts(quality.get("variants"))
    ]
    return {"variants": variants, **{name: quality.get(name) for name in names}}


def told_decisions(facts: Facts) -> Json | None:
    """The newest first, and what keeps the controller from training at all."""
    if "decisions" not in facts:
        return None
    decisions = [{name: each.get(name) for name in DECISION} for each in dicts(facts["decisions"])]
    decisions.sort(key=lambda each: str(each["time"] or ""), reverse=True)
    budget = facts.get("budget")
    return {
        "decisions": decisions[:NEWEST],
        "held": list(held_by(facts)),
        "budget": budget if isinstance(budget, Mapping) else None,
    }


def held_by(facts: Facts) -> Iterator[str]:
    if facts.get("paused"):
        yield f"Paused: {facts['paused']}."
    breaker = facts.get("breaker")
    if isinstance(breaker, Mapping) and breaker.get("open"):
        yield f"The circuit breaker is open after {breaker.get('failures')} failed runs in a row; `everloop controller resume` closes it."
    if facts.get("data_quality"):
        yield f"The data gate refused the newest data: {facts['data_quality']}"
    for block in dicts(facts.get("blocks")):
        yield f"The alert {block.get('alert')} is open, and no run begins while it is."
    if facts.get("dry_run"):
        yield "Dry run: decisions are made and stored, but nothing is started."


def nearness(feature: Facts) -> float:
    distance, limit = feature["distance"], feature["limit"]
    if not isinstance(distance, int | float) or not isinstance(limit, int | float) or limit <= 0:
        return 0.0
    return float(distance / limit)


def dicts(value: Any) -> Iterator[Facts]:
    """The objects of a list; nothing of what is no list."""
    return (each for each in value if isinstance(each, Mapping)) if isinstance(value, list) else iter(())
