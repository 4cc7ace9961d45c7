"""An alert storm: 1,000 copies of one alert, while the controller and Alertmanager are killed and started again."""

import json
import threading
import time
import urllib.error
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import Any

from components.recsys.neighbours import NO_PROXY
from pipelines.drill.runs import ended, newest, runs_since
from pipelines.drill.scene import Scene
from pipelines.drill.stage import Stage

COPIES = 1000
RESTARTS = 2
RUN_SECONDS = 240
LABELS = {
    "alertname": "QualityDropped",
    "action": "retrain",
    "reason": "quality",
    "model": "everloop",
    "severity": "ticket",
}


def storm(stage: Stage) -> Scene:
    scene = Scene("storm", f"an alert storm: {COPIES:,} copies, restarts in between")
    first = newest(stage)
    token = (stage.loop.folder / "token").read_text().strip()
    webhook = f"{stage.loop.places.url('controller')}/v1/alerts"
    answers: list[int] = []
    stage.mark(f"{COPIES:,} copies of an alert")

    def deliver(number: int) -> None:
        """As Alertmanager does: again until it is accepted; every copy with a time and a fingerprint of its own."""
        for _ in range(200):
            status = post(webhook, payload(number), token)
            answers.append(status)
            if 200 <= status < 300:
                return
            time.sleep(0.1)
        scene.problems.append(f"copy {number} was never accepted")

    killers = threading.Thread(target=restarts, args=(stage,), name="restarts")
    killers.start()
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(deliver, range(COPIES)))
    if (
        "alertmanager" in stage.loop.parts
    ):  # and through the real Alertmanager, which sends what it has again after a restart
        post(f"{stage.loop.places.url('alertmanager')}/api/v2/alerts", [{"labels": LABELS}], "")
    killers.join()
    scene.must(stage.wait(lambda: newest(stage) > first, 30), "no copy became a decision")
    scene.must(stage.wait(lambda: ended(stage, first), RUN_SECONDS), "the run did not end")
    stage.wait(lambda: False, 3)  # whoever would start a second one has had the time
    runs = runs_since(stage, first)
    folders = [
        path.name
        for path in (stage.folder / "home" / "controller" / "runs").glob("*")
        if path.is_dir() and "quality" in path.name
    ]
    scene.figures = {
        "copies": COPIES,
        "accepted": sum(200 <= status < 300 for status in answers),
        "refused_and_sent_again": sum(not 200 <= status < 300 for status in answers),
        "controller_kills": RESTARTS,
        "alertmanager_kills": RESTARTS if "alertmanager" in stage.loop.parts else 0,
        "runs": len(runs),
        "outcome": runs[0]["outcome"] or runs[0]["state"] if runs else "",
    }
    scene.must(len(runs) == 1, f"{len(runs)} runs instead of one")
    scene.must(len(folders) == 1, f"run folders: {folders}")
    scene.evidence = [
        f"controller run {run['key']}: {run['state']} {run['outcome']}, {run['copies']} copies" for run in runs
    ]
    if runs and runs[0]["outcome"] == "approved":
        stage.everloop("rollout", "abort", "--reason", "the drill goes on with the next scene")
        stage.wait(lambda: stage.routes().share == 0 and stage.routes().candidate is None, 20)
    return scene


def restarts(stage: Stage) -> None:
    """kill -9, and back again."""
    for _ in range(RESTARTS):
        time.sleep(0.7)
        for name in ("controller", "alertmanager"):
            if name in stage.loop.parts:
                stage.loop.restart(name)


def payload(number: int) -> dict[str, Any]:
    started = datetime.now(UTC).isoformat()
    alert = {
        "status": "firing",
        "labels": LABELS,
        "annotations": {"summary": "made by a drill"},
        "startsAt": started,
        "endsAt": "0001-01-01T00:00:00Z",
        "fingerprint": f"{number:016x}",
        "generatorURL": "",
    }
    return {
        "version": "4",
        "groupKey": f"{{}}:{number}",
        "status": "firing",
        "receiver": "retrain",
        "groupLabels": {},
        "commonLabels": LABELS,
        "commonAnnotations": {},
        "externalURL": "",
        "alerts": [alert],
    }


def post(url: str, body: Any, token: str) -> int:
    headers = {"content-type": "application/json"} | ({"authorization": f"Bearer {token}"} if token else {})
    try:
        with NO_PROXY.open(urllib.request.Request(url, json.dumps(body).encode(), headers), timeout=5) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        return error.code
    except OSError:
        return 0
