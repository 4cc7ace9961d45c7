"""Rollback by hand: one command, the former release answers within seconds, and it can be told exactly who got what."""

import json
import random
import time

from components.recsys.buckets import secret_of, user_key
from components.recsys.predictions import Prediction, read_predictions
from pipelines.drill.releases import different
from pipelines.drill.scene import Scene
from pipelines.drill.stage import Stage, short

CHECKED = 20  # people whose lists are asked for with the command, out of all that were logged
GOAL_SECONDS = 10.0


def rollback(stage: Stage) -> Scene:
    scene = Scene("rollback", "rollback by hand")
    if len({entry.champion for entry in stage.ledger() if entry.champion}) < 2:  # played alone
        stage.everloop("promote", different(stage.home, 300.0), "--reason", "so that there is a former champion")
        stage.pass_days(2)
    before, failures = stage.champion(), len(stage.visitors.failures)
    began = time.monotonic()
    code, said = stage.everloop("rollback", "--reason", "rolled back by the drill", "--json")
    after = json.loads(said)["champion"]
    stage.mark("rolled back by hand")

    def answers() -> bool:
        return bool(stage.visitors.visit(stage.visitors.active(stage.day)[0], stage.day, 900).release == after)

    back = stage.wait(answers, 30, visits=False)
    seconds = time.monotonic() - began
    day = stage.pass_day()
    releases = {visit.release for visit in day.visits}
    stage.wait(lambda: False, 3)
    wrong, checked = told_wrongly(stage)
    scene.figures = {
        "seconds": round(seconds, 1),
        "from": short(before),
        "to": short(after),
        "failed_requests": len(stage.visitors.failures) - failures,
        "lists_checked": checked,
        "told_wrongly": len(wrong),
    }
    scene.must(code == 0 and after != before, "the command did not name another champion")
    scene.must(back and seconds <= GOAL_SECONDS, f"it took {seconds:.1f} s")
    scene.must(releases == {after}, f"the day's lists came from {sorted(map(short, releases))}")
    scene.must(checked > 0 and not wrong, f"who-served tells it otherwise than the log: {wrong[:2]}")
    scene.must(scene.figures["failed_requests"] == 0, "clients saw failures")
    scene.evidence = [
        said.strip(),
        f"{checked} lists of all releases asked for with who-served, {checked - len(wrong)} as logged",
    ]
    return scene


def told_wrongly(stage: Stage) -> tuple[list[str], int]:
    """Lists from the log, of every release and variant, whose `who-served` says another release."""
    users = {user_key(secret_of(stage.home.store), str(user)): str(user) for user in stage.world.people.ids}
    kinds: dict[tuple[str, str, str], list[Prediction]] = {}
    for record in read_predictions(stage.home.store, set()):
        if record.variant != "shadow" and record.user in users:
            kinds.setdefault((record.release, record.variant, record.failed), []).append(record)
    rng = random.Random(stage.seed)
    chosen: list[Prediction] = []
    while len(chosen) < CHECKED and any(kinds.values()):
        for records in kinds.values():
            if records and len(chosen) < CHECKED:
                chosen.append(records.pop(rng.randrange(len(records))))
    wrong = []
    for record in chosen:
        _, said = stage.everloop("who-served", "--at", record.time, "--user", users[record.user], "--json")
        told = json.loads(said)
        if told["release"] != record.release:
            wrong.append(
                f"{record.time}: {short(told['release'])} instead of {short(record.release)} ({record.variant})"
            )
    return wrong, len(chosen)
