"""The new data is broken: a page writes one and the same item into most events. Nothing may be trained on it."""

from datetime import timedelta
from typing import Any

from pipelines.drill.runs import ended, newest, runs_since
from pipelines.drill.scene import Scene
from pipelines.drill.scenes.storm import payload, post
from pipelines.drill.stage import Stage
from pipelines.drill.visitors import midnight

RUN_SECONDS = 240
COPIES = 15  # broken events a person: far more than half of what is new, however much people did while others waited
PAGE = "DataQualityFailed"
LABELS = {
    "alertname": "ModelStale",
    "action": "retrain",
    "reason": "stale",
    "model": "everloop",
    "severity": "ticket",
}


def bad_data(stage: Stage) -> Scene:
    scene = Scene("bad-data", "the new data does not pass the data gate")
    first, champion, failures = newest(stage), stage.champion(), len(stage.visitors.failures)
    releases = len({entry.release for entry in stage.ledger()})
    broken = default_ids(stage)
    stage.visitors.send(broken)
    stage.pass_day()
    stage.mark("most new events name one and the same item")
    stage.wait(lambda: False, 3)  # until the home's log has what was accepted
    token = (stage.loop.folder / "token").read_text().strip()
    alert = payload(1)
    alert["alerts"][0]["labels"] = LABELS
    scene.must(
        post(f"{stage.loop.places.url('controller')}/v1/alerts", alert, token) == 200,
        "the webhook did not take the alert",
    )
    scene.must(stage.wait(lambda: ended(stage, first), RUN_SECONDS), "the run did not end")
    paged = stage.wait(lambda: stage.pager.has(PAGE), 30)
    runs = runs_since(stage, first)
    run: dict[str, Any] = runs[0] if runs else {}
    scene.figures = {
        "broken_events": len(broken),
        "stopped_at": run.get("stage", ""),
        "paged": paged,
        "new_releases": len({entry.release for entry in stage.ledger()}) - releases,
        "failed_requests": len(stage.visitors.failures) - failures,
    }
    scene.must(
        run.get("state") == "FAILED" and run.get("stage") == "validate", f"the run was not stopped at the gate: {run}"
    )
    scene.must(scene.figures["new_releases"] == 0, "a release was made of broken data")
    scene.must(stage.champion() == champion, "another release leads")
    scene.must(paged, "nobody was paged")
    scene.must(scene.figures["failed_requests"] == 0, "serving was affected")
    pages = {page["alert"]: page.get("annotations", {}).get("summary", "") for page in stage.pager.pages}
    scene.evidence = [
        f"controller run {run.get('key', '')}: {run.get('state', '')} at {run.get('stage', '')}: {run.get('detail', '')}",
        *(f"page: {alert}: {summary}" for alert, summary in pages.items()),
    ]
    if scene.ok:
        stage.mark("the run was stopped at the data gate, and somebody was paged")
    return scene


def default_ids(stage: Stage) -> list[dict[str, Any]]:
    """Many events a person, all on one item: what a page that lost its item sends."""
    item, users = str(stage.world.offers.ids[0]), [str(user) for user in stage.world.people.ids]
    return [
        {
            "user_id": user,
            "item_id": item,
            "timestamp": midnight(stage.day) + timedelta(minutes=30 + 7 * copy),
            "event": "view",
            "event_id": f"drill-default-{stage.day}-{user}-{copy}",
        }
        for user in users
        for copy in range(COPIES)
    ]
