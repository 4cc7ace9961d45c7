"""People turn to economy flights: the loop must see it, train once, release gradually, and get their clicks back."""

import time

from components.recsys.release import read_manifest, releases_of
from pipelines.drill.informed import Informed, Measured
from pipelines.drill.runs import decisions, ended, newest, runs_since
from pipelines.drill.scene import Scene
from pipelines.drill.stage import Stage, short

WINDOW_DAYS = 8
SHIFT = "economy"
MOST_DAYS_TO_ALARM = 10
MOST_DAYS_TO_RUN = 10
MOST_DAYS_TO_PROMOTION = 30
MEASURED_DAYS = 4
RUN_SECONDS = 240
GOAL = 0.95


def shift(stage: Stage) -> Scene:
    scene = Scene("shift", "people turn to economy flights")
    if not stage.days:
        stage.pass_days(WINDOW_DAYS)  # played alone: drift is measured against weeks that the loop has seen
    first, champion, began, real = newest(stage), stage.champion(), stage.day, time.monotonic()
    stage.world.shift(SHIFT, day=began)
    stage.mark("people turn to economy flights")
    before = stage.pass_days(MOST_DAYS_TO_ALARM, until=lambda: newest(stage) > first)
    # The last complete day may still be on its way through log, monitor, Prometheus and Alertmanager.
    if not scene.must(stage.wait(lambda: newest(stage) > first, 30), "no alert asked for a run"):
        scene.evidence.append(f"drift as the monitor sees it: {stage.status('monitor').get('drift')}")
        return scene
    alarm, asked = stage.day, decisions(stage)[0]
    stage.mark("drift seen, the alert fired")
    before += stage.pass_days(MOST_DAYS_TO_RUN, until=lambda: bool(runs_since(stage, first)))
    if not scene.must(stage.wait(lambda: bool(runs_since(stage, first)), 30), "the alert led to no run"):
        scene.evidence.append(f"what the controller decided: {decisions(stage)}")
        return scene
    stage.mark("the new ways have lasted: a run began")
    if not scene.must(stage.wait(lambda: ended(stage, first), RUN_SECONDS), "the run did not end"):
        return scene
    run = runs_since(stage, first)[0]
    scene.must(run["outcome"] == "approved", f"the run ended as {run['state']} {run['outcome']} {run['detail']}")
    stage.mark(f"the run ended: {run['outcome']}")
    if not scene.ok:
        return scene
    stage.pass_days(MOST_DAYS_TO_PROMOTION, until=lambda: stage.champion() != champion)
    if not scene.must(stage.champion() != champion, f"nothing was promoted within {MOST_DAYS_TO_PROMOTION} days"):
        scene.evidence.append(f"the rollout: {stage.status('rollout')}")
        return scene
    promoted, seconds = stage.day, time.monotonic() - real
    stage.mark("promoted")
    model = read_manifest(releases_of(stage.home), stage.champion())["model"]
    ours, informed = measured(stage, model)
    shares = [
        entry.evidence["share"]
        for entry in stage.ledger()
        if entry.action == "share" and entry.release == stage.champion()
    ]
    ratio, stage.informed_rate = ours.click_rate / informed.click_rate, informed.click_rate
    runs = runs_since(stage, first)
    lists = sum(day.lists for day in before)
    scene.figures = {
        "click_rate_after_shift": round(sum(day.click_rate * day.lists for day in before) / max(1, lists), 3),
        "click_rate_recovered": round(ours.click_rate, 3),
        "click_rate_informed": round(informed.click_rate, 3),
        "of_informed": round(ratio, 3),
        "clicks_per_list_of_informed": round(ours.clicks_per_list / informed.clicks_per_list, 3),
        "days_to_alert": alarm - began,
        "days_to_recovery": promoted - began,
        "seconds_to_recovery": round(seconds, 1),
        "runs": len(runs),
        "shares": shares,
        "model": model,
    }
    scene.must(len(runs) == 1, f"{len(runs)} runs instead of one")
    scene.must(list(stage.settings.rollout.steps) == shares, f"the shares were {shares}")
    scene.must(ratio >= GOAL, f"the click rate is {ratio:.1%} of an informed model's, less than {GOAL:.0%}")
    scene.evidence = [
        f"alert: {', '.join(asked.get('alerts', []))}; trigger {asked['key']}",
        *(
            f"ledger: {e.action} {short(e.release)} {e.reason[:160]}"
            for e in stage.ledger()
            if e.release == stage.champion()
        ),
    ]
    return scene


def measured(stage: Stage, model: str) -> tuple[Measured, Measured]:
    """Some more days: what people clicked, and what they would have clicked of an informed model's lists."""
    informed, ours, theirs = Informed.train(stage, SHIFT, model), Measured(), Measured()
    for _ in range(MEASURED_DAYS):
        informed.measure(stage, stage.day, theirs)
        day = stage.pass_day()
        ours.lists += day.lists
        ours.clicked += sum(bool(visit.clicks) for visit in day.visits)
        ours.clicks += sum(len(visit.clicks) for visit in day.visits)
    return ours, theirs
