"""Steady weeks: people do as they did, and nothing must happen."""

from pipelines.drill.runs import decisions
from pipelines.drill.scene import Scene
from pipelines.drill.stage import Stage

DAYS = 10  # a window of seven complete days has been compared by then, several times


def steady(stage: Stage) -> Scene:
    scene = Scene("steady", "steady weeks")
    passed = stage.pass_days(DAYS)
    stage.wait(lambda: bool(stage.status("monitor").get("looks")), 20, visits=False)
    facts = stage.status("monitor")
    drifting = [row["feature"] for row in facts.get("drift", []) if row.get("detected")]
    asked = decisions(stage)
    scene.figures = {
        "days": DAYS,
        "lists": sum(day.lists for day in passed),
        "click_rate": round(
            sum(day.click_rate * day.lists for day in passed) / max(1, sum(d.lists for d in passed)), 3
        ),
        "features_watched": len(facts.get("drift", [])),
        "triggers": len(asked),
    }
    scene.must(len(facts.get("drift", [])) > 0, "the monitor compared nothing, so its silence says nothing")
    scene.must(not drifting, f"drift was seen where there is none: {', '.join(drifting)}")
    scene.must(not asked, f"{len(asked)} alerts asked for a run")
    scene.evidence = [
        f"{len(facts.get('drift', []))} features compared with their baseline, none drifts",
        "the controller's list of decisions is empty",
    ]
    return scene
