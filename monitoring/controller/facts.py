"""What the controller says of itself, to the console, to `everloop status` and to `everloop controller status`.

>>> facts(triggers, switches, RetrainSettings())["budget"]
{'used': 1, 'of': 4}
"""

from dataclasses import asdict
from datetime import UTC, datetime

from components.recsys.settings import RetrainSettings
from monitoring.controller.records import ACTIVE, Json, Trigger
from monitoring.controller.switches import Switches
from monitoring.controller.triggers import Triggers

SHOWN = 20


def facts(triggers: Triggers, switches: Switches, settings: RetrainSettings) -> Json:
    """Plain values only; times as ISO, UTC, of the loop's clock."""
    held, rows = switches.read(), triggers.latest(SHOWN)
    active, in_day, _ = triggers.figures()
    running = [row for row in triggers.open() if row.state in ACTIVE]
    return {
        "paused": held.paused,
        "breaker": {"open": held.failures >= settings.breaker_failures, "failures": held.failures},
        "data_quality": held.data_quality,
        "blocks": [{**block, "opened": iso(block["opened"])} for block in held.blocks],
        "budget": {"used": in_day, "of": settings.daily_budget},
        "active": active,
        "runs": [plain_trigger(row) for row in running],
        "decisions": [told_decision(row) for row in rows],
        "runner": settings.runner,
        "dry_run": settings.dry_run,
    }


def plain_trigger(row: Trigger, evidence: bool = False) -> Json:
    """One trigger as people and JSON read it."""
    value = asdict(row) | {"state": str(row.state)}
    for name in ("received", "updated", "admitted", "ended", "resolved"):
        value[name] = iso(value[name]) if value[name] is not None else None
    if not evidence:
        alerts = value.pop("evidence").get("alerts", [])
        value["alerts"] = sorted({alert["labels"].get("alertname", "") for alert in alerts})
    return value


def told_decision(row: Trigger) -> Json:
    """The same for the console, which shows one reason: a sentence. guard: the reason in a word."""
    value = plain_trigger(row)
    said = ": ".join(filter(None, (row.reason.replace("_", " "), row.detail)))
    wish = ": ".join(filter(None, (f"by hand ({row.asked_by})", str(row.evidence.get("note") or ""))))
    alert = ", ".join(filter(None, value["alerts"])) or wish
    run = row.key if row.admitted is not None else ""
    return value | {"time": value["updated"], "alert": alert, "reason": said, "guard": row.reason, "run": run}


def iso(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds")
