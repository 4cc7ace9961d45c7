"""A bad release is forced past the gate: it answers fast and whole, and shows people what they like least."""

from pipelines.drill import releases
from pipelines.drill.scene import Scene
from pipelines.drill.stage import Stage, short

MOST_DAYS = 20


def inverted(stage: Stage) -> Scene:
    scene = Scene("inverted", "a bad release is forced past the gate")
    champion, digest, began = stage.champion(), releases.inverted(stage.home), stage.day
    stage.everloop("rollout", "start", digest, "--force", "--reason", "forced past the gate by the drill")
    stage.mark("a release with inverted scores is forced past the gate")
    passed = stage.pass_days(MOST_DAYS, until=lambda: aborted(stage, digest))
    scene.must(stage.wait(lambda: aborted(stage, digest), 5), f"it was not aborted within {MOST_DAYS} days")
    stage.mark("aborted")
    ledger = [entry for entry in stage.ledger() if entry.release == digest]
    shares = [entry.evidence["share"] for entry in ledger if entry.action == "share"]
    abort = next((entry for entry in ledger if entry.action == "abort"), None)
    reached = [visit for day in passed for visit in day.visits if visit.release == digest]
    scene.figures = {
        "days_to_abort": stage.day - began,
        "largest_share": max(shares, default=0.0),
        "lists_of_the_bad_release": len(reached),
        "lists_of_everybody": sum(day.lists for day in passed),
        "guard": abort.evidence.get("guard", "") if abort else "",
    }
    scene.must(max(shares, default=0.0) < 0.25, f"it reached {max(shares, default=0.0):.0%} of people")
    scene.must(bool(reached), "nobody got it, so nothing was shown")
    scene.must(
        abort is not None and "click" in abort.reason, f"the ledger does not name the clicks: {abort and abort.reason}"
    )
    scene.must(stage.champion() == champion, "another release leads")
    routes = stage.routes()
    scene.must(
        routes.share == 0 and routes.champion is not None and routes.champion.release == champion,
        f"routes are {routes}",
    )
    scene.evidence = [f"ledger: {entry.action} {short(entry.release)}: {entry.reason}" for entry in ledger]
    return scene


def aborted(stage: Stage, digest: str) -> bool:
    return any(entry.action == "abort" and entry.release == digest for entry in stage.ledger())
