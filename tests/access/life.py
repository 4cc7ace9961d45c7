"""One life of a home in object storage, each part's own code with its own key and no other.

>>> live(place, tmp_path)
>>> {one.part for one in place.asked}
{'operator', 'steps', 'rollout', 'gateway', 'predictor', 'monitor', 'controller', 'auditor'}

Two pipeline runs (the second learns from feedback), a rollout that a person pauses and aborts, answers and feedback at a
gateway before a real predictor, days that pass, a look of the monitor, a run asked for by the controller, an audit.
"""

import io
import json
import random
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import boto3
import httpx

from components.recsys import lifecycle
from components.recsys.clock import set_clock
from components.recsys.feedback.segments import FEEDBACK
from components.recsys.home import Home
from components.recsys.ledger import Ledger
from components.recsys.policy import gradual
from components.recsys.settings import Settings, load_settings
from components.recsys.statuses import Statuses
from monitoring.controller.server import running as controlling
from monitoring.watching.watch import Watch
from pipelines.cli import app
from pipelines.follow import result_of
from pipelines.launching import KubeflowLauncher, NewFeedback
from pipelines.submit import submit, upload_sources
from serving.gateway.server import running as gateway
from serving.kserve.memory import Memory
from serving.rollout.measures import Measures
from serving.rollout.predictors import UrlPredictors
from serving.rollout.server import Loop, leased
from serving.server import running as predictor
from tests.access.s3 import BUCKET, Place

NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)
CANDIDATES = ("popularity", "item_knn")
QUICK = [
    "train.candidates=[popularity, item_knn]",
    "evaluate.bootstrap=100",
    "gateway.port=0",
    "gateway.poll_seconds=0.02",
    "serving.port=0",
    "serving.history=memory://",
    "log.flush_seconds=0.02",
    "log.segment_seconds=0.1",
    "rollout.predictors=urls",
    "rollout.predictor_url=http://127.0.0.1:9",
    "rollout.port=0",
    "rollout.bake_seconds=0",
    "rollout.min_lists=100000",
    "retrain.port=0",
    "retrain.runner=kubeflow",
    "retrain.min_new_events=1",
    "drift.evidently=false",
    "drift.permutations=100",
    "drift.alpha=0.02",
    "feedback.maturity_seconds.booking=60",
    "feedback.default_maturity_seconds=60",
    "feedback.attribution_seconds=60",
]


def live(place: Place, folder: Path) -> None:
    """All of it, in order. Raises whatever a part raises that lacks a right."""
    settings = load_settings(None, [*QUICK, f"retrain.database=sqlite://{folder / 'controller.sqlite'}"])
    life = Life(place, folder, settings)
    life.clock(0)
    with place.acting("operator"):
        sources = upload_sources(Home(place.home), files(folder))
        command("rollout", "policy", "gradual", "--home", place.home)
    life.run_pipeline("r1", sources)
    life.serve()
    life.run_pipeline("r2", {"events": life.feedback()}, bad_first=True)
    life.submit()
    life.roll_out()
    life.clock(3)
    life.watch()
    life.control()
    life.audit()


@dataclass
class Life:
    place: Place
    folder: Path
    settings: Settings
    urls: dict[str, str] = field(default_factory=dict)

    @property
    def home(self) -> str:
        return self.place.home

    def clock(self, days: float) -> None:
        set_clock(self.folder / "clock", NOON + timedelta(days=days))

    def run_pipeline(self, run: str, sources: dict[str, list[str]], bad_first: bool = False) -> None:
        """The steps' bodies, as their pods run them. bad_first: a batch that the data gate turns away comes before."""
        given = self.settings.model_dump(mode="json", exclude_none=True)
        parts, note = self.folder / run, str(self.folder / "note.md")
        if bad_first:
            with self.place.acting("operator"):
                bad = upload_sources(
                    Home(self.home), {"events": [blank(self.folder)], "items": [more_items(self.folder)]}
                )
            with self.place.acting("steps"):
                done = lifecycle.ingest(self.home, bad, given["data"], note)
                try:
                    lifecycle.validate(self.home, done.version, done.batch, given["quality"], str(parts / "bad"), note)
                except SystemExit:
                    pass
                else:
                    raise AssertionError("the data gate let a batch of blanks through")
        with self.place.acting("steps"):
            done = lifecycle.ingest(self.home, sources, given["data"], note)
            quality, split = str(parts / "quality"), str(parts / "split")
            lifecycle.validate(self.home, done.version, done.batch, given["quality"], quality, note)
            lifecycle.prepare(self.home, done.version, quality, given["prepare"], given["train"], split)
            models = [str(parts / "models" / name) for name in CANDIDATES]
            for name, model in zip(CANDIDATES, models, strict=True):
                lifecycle.train(name, given["train"], split, model)
            evaluation, challenger, verdict = (str(parts / name) for name in ("evaluation", "challenger", "verdict"))
            lifecycle.evaluate(given["evaluate"], split, models, evaluation, note)
            lifecycle.gate(
                self.home, given["gate"], given["evaluate"], split, models, evaluation, challenger, verdict, note
            )
            if bad_first:  # on sixty people its answer is chance: here it is yes, and the release waits for its rollout
                said = json.loads((Path(verdict) / "verdict.json").read_text())
                (Path(verdict) / "verdict.json").write_text(
                    json.dumps({**said, "outcome": "promoted", "promote": True})
                )
            made_of = lifecycle.Parts(quality, split, evaluation, challenger, verdict)
            sections = {name: given[name] for name in lifecycle.SECTIONS}
            lifecycle.register(
                self.home, run, done.version, sections, given["tracking"], made_of, str(parts / "report.html"), note
            )

    @contextmanager
    def engine(self) -> Iterator[Loop]:
        """One that leads, over real predictors at addresses that are filled in."""
        home = Home(self.home)
        with leased(home) as lease:
            assert gradual(home.store)  # which the engine's process asks when it starts
            loop = Loop(home, self.settings, Measures(), lease=lease)
            loop.predictors = Placed(self.settings, self.urls)
            assert loop.lead()
            yield loop

    def serve(self) -> None:
        """A predictor behind a gateway; people are answered, and click."""
        with self.place.acting("rollout"), self.engine() as engine:
            engine.turn()  # before there is a predictor, or routes
        with self.place.acting("predictor"):
            release = fetched(self.folder, champion_of(self.place))
            serving = predictor(self.home, self.settings, str(release))
            url = serving.__enter__()
        try:
            self.urls[champion_of(self.place)] = url
            with self.place.acting("rollout"), self.engine() as engine:
                engine.turn()
            with self.place.acting("monitor"):  # what it leaves there when it sees drift
                report = "monitor/reports/2026-03-02T120000.html"
                Home(self.home).store.write(report, b"<!doctype html>")
                Statuses(Home(self.home).store).write("monitor", {"report": f"{self.home}/{report}"})
            with self.place.acting("gateway"):
                self.answer_people()
        finally:
            serving.__exit__(None, None, None)

    def answer_people(self) -> None:
        self.place.lose = {("create", "log/predictions/")}
        with gateway(self.home, self.settings) as url, httpx.Client(base_url=url, timeout=30) as client:
            for user in ("u1", "u2", "u3"):
                answer = client.post("/v1/models/everloop:predict", json={"instances": [{"user_id": user}]})
                [shown] = answer.json()["predictions"]
                click = {"user_id": user, "item_id": shown["items"][0]["id"], "event": "click"}
                client.post("/v1/events", json={**click, "request_id": shown["request_id"]}).raise_for_status()
            assert client.get("/v1/report").status_code == 200
            until(lambda: not self.place.lose, 20)  # the answer to an upload was lost, and it was found to have arrived
            state = client.get("/v1/state").json()
            assert state["faults"] == [], state["faults"]
            time.sleep(0.5)  # some turns of the uploader and the heartbeat

    def feedback(self) -> list[str]:
        with self.place.acting("controller"):
            urls = NewFeedback(Home(self.home)).segments()
        assert urls
        return urls

    def submit(self) -> None:
        """A person, or the CI system, asks Kubeflow for a run and reads how it ended."""
        with self.place.acting("operator"):
            home = Home(self.home)
            submit(Kubeflow(), home, {"events": [f"{self.home}/landing/x/events.csv", FEEDBACK]}, self.settings)  # type: ignore[arg-type]
            assert result_of(home, "r1")["outcome"] == "promoted"

    def roll_out(self) -> None:
        """A person has a release of theirs given to a few, looks, pauses it and takes it back."""
        with self.place.acting("operator"):
            said = command("releases", "--home", self.home)
            other = next(one["digest"] for one in said["releases"] if one["digest"] != said["champion"])
            command("rollout", "start", other, "--force", "--home", self.home)
        with self.place.acting("predictor"):
            serving = predictor(
                self.home, self.settings, f"{self.home}/releases/{other}", expect=other
            )  # kserve.storage=direct
            self.urls[other] = serving.__enter__()
        champion = predictor(self.home, self.settings, str(self.folder / "releases" / said["champion"]))
        self.urls[said["champion"]] = champion.__enter__()
        try:
            with self.place.acting("rollout"), self.engine() as engine:
                for _ in range(3):
                    engine.turn()
                remembered = Memory(Home(self.home).store)  # of InferenceServices, whose API server test_calls.py has
                remembered.idle_since(other, 1.0)
                remembered.keep()
            with self.place.acting("gateway"):
                self.answer_people()
            with self.place.acting("operator"):
                command("rollout", "pause", "--home", self.home)
                command("rollout", "abort", "--home", self.home)
                command("rollout", "status", "--home", self.home)
            with self.place.acting("rollout"), self.engine() as engine:
                engine.turn()
                assert engine.facts["state"] == "aborted", engine.facts
        finally:
            serving.__exit__(None, None, None)
            champion.__exit__(None, None, None)
        with self.place.acting("operator"):
            command("promote", other, "--force", "--reason", "a look at promotion", "--home", self.home)
            command("rollback", "--reason", "and back", "--home", self.home)
            command("status", "--home", self.home)

    def watch(self) -> None:
        with self.place.acting("monitor"):
            for _ in range(2):  # a new process goes on from what the first left
                facts = Watch(Home(self.home), self.settings).look()
                assert facts["faults"] == [], facts["faults"]

    def control(self) -> None:
        """The controller takes a wish for a run, submits it and reads how it ended."""
        with self.place.acting("controller"):
            home, feedback = Home(self.home), NewFeedback(Home(self.home))
            kubeflow = Kubeflow()
            launcher = KubeflowLauncher(lambda: kubeflow, home, self.settings, feedback.sources, feedback.count)  # type: ignore[arg-type, return-value]
            with (
                controlling(home, self.settings, launcher, told=print) as url,
                httpx.Client(base_url=url, timeout=30) as client,
            ):
                client.post("/v1/alerts", json=ALERT).raise_for_status()
                until(lambda: kubeflow.runs, 120)  # the pipeline is compiled first
                kubeflow.runs[0]["state"] = "SUCCEEDED"
                until(lambda: any(one.key == "runs/r2/result.json" for one in self.place.of("controller")), 60)

    def audit(self) -> None:
        with self.place.acting("auditor"):
            at = (NOON + timedelta(hours=1)).isoformat()
            command("who-served", "--at", at, "--home", self.home)
            command("who-served", "--at", at, "--user", "u1", "--home", self.home)
            command("rollout", "status", "--home", self.home)
            said = command("releases", "--home", self.home)
            command("reproduce", said["champion"], "--home", self.home)


class Placed(UrlPredictors):
    """Predictors at addresses that are known one by one."""

    def __init__(self, settings: Settings, urls: dict[str, str]) -> None:
        super().__init__(settings)
        self.urls = urls

    def url_of(self, digest: str) -> str:
        return self.urls.get(digest, "http://127.0.0.1:9")


@dataclass
class Kubeflow:
    """What the controller asks of Kubeflow, which has a server and a test of its own."""

    endpoint: str = "http://kubeflow.invalid"
    runs: list[dict[str, Any]] = field(default_factory=list)
    known: list[dict[str, Any]] = field(default_factory=list)

    def experiment(self, name: str) -> str:
        return name

    def runs_named(self, name: str, experiment: str) -> list[dict[str, Any]]:
        return [run for run in self.runs if run["display_name"] == name]

    def pipeline(self, name: str) -> str:
        return name

    def versions(self, pipeline: str) -> list[dict[str, Any]]:
        return self.known

    def upload_version(self, pipeline: str, name: str, display: str, package: bytes) -> dict[str, Any]:
        return {"pipeline_version_id": name, "name": name}

    def create_run(self, name: str, *rest: Any, **more: Any) -> dict[str, Any]:
        description = next((str(value) for value in rest if "key " in str(value)), "")
        self.runs.append({"run_id": "r2", "display_name": name, "state": "RUNNING", "description": description})
        return self.runs[-1]

    def run(self, run_id: str) -> dict[str, Any]:
        return next(run for run in self.runs if run["run_id"] == run_id)


ALERT = {"alerts": [{"status": "firing", "labels": {"action": "retrain", "reason": "drift"}}]}


def command(*words: str) -> dict[str, Any]:
    """What `everloop WORDS --json` answers, in this process."""
    said = io.StringIO()
    with redirect_stdout(said):
        code = app([*words, "--json"], standalone_mode=False)
    assert not code, said.getvalue()
    return dict(json.loads(said.getvalue()))


def until(condition: Callable[[], Any], seconds: float, said: Callable[[], Any] = str) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"it did not happen in time: {said()}"
        time.sleep(0.05)


def champion_of(place: Place) -> str:
    """As whoever must know it before the ledger may be asked."""
    with place.acting("operator"):
        return Ledger(Home(place.home)).champion()


def fetched(folder: Path, digest: str) -> Path:
    """What KServe's storage initializer does with s3://bucket/home/releases/<digest>: list by prefix, get each object.

    Source: kserve-storage, `_download_s3`: `bucket.objects.filter(Prefix=path)`, then `bucket.download_file`.
    """
    there = folder / "releases" / digest
    there.mkdir(parents=True, exist_ok=True)
    bucket = boto3.resource("s3").Bucket(BUCKET.name)
    for one in bucket.objects.filter(Prefix=BUCKET.key(f"releases/{digest}")):
        bucket.download_file(one.key, str(there / one.key.rpartition("/")[2]))
    return there


def files(folder: Path) -> dict[str, list[str]]:
    """Sixty people of two tastes."""
    chance = random.Random(7)
    start = int(NOON.timestamp()) - 30 * 86_400
    rows = [
        f"u{user},i{2 * chance.randrange(15) + user % 2},{start + step * 86_400 + user}"
        for user in range(60)
        for step in range(12)
    ]
    (folder / "events.csv").write_text("\n".join(["user_id,item_id,timestamp", *rows]))
    (folder / "items.csv").write_text(
        "\n".join(["item_id,title,genres", *(f"i{n},Film {n},G{n % 2}" for n in range(30))])
    )
    return {kind: [str(folder / f"{kind}.csv")] for kind in ("events", "items")}


def blank(folder: Path) -> str:
    rows = [f"{'' if n % 2 else f'u{n}'},i{n % 30},{int(NOON.timestamp()) - n}" for n in range(400)]
    (folder / "bad.csv").write_text("\n".join(["user_id,item_id,timestamp", *rows]))
    return str(folder / "bad.csv")


def more_items(folder: Path) -> str:
    (folder / "bad-items.csv").write_text(
        "\n".join(["item_id,title,genres", *(f"i{n},Other {n},G" for n in range(30))])
    )
    return str(folder / "bad-items.csv")
