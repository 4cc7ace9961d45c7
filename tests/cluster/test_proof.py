"""The whole life on a real cluster, in order: helm install, a run on Kubeflow, its release served through KServe behind the
gateway, a rollout that reaches everybody, one that is taken back, and a storm of alerts that makes one run.

Each test prints what it saw (`-rA` or `-s` shows it). People are threads of this process against a forwarded port; they
click on the first item of a list when many others have rated it, as a release with inverted scores seldom has it.
"""

import json
import subprocess
import threading
import time
import urllib.error
import urllib.request
import uuid
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from scipy.stats import binomtest

from components.recsys.datasets import movielens_100k
from components.recsys.errors import StoreError
from components.recsys.events import read_events
from components.recsys.home import Home
from components.recsys.ledger import Ledger
from components.recsys.release import SHORT, read_manifest, releases_of
from components.recsys.routes import Routes
from pipelines.drill import releases
from pipelines.kubeflow import Kubeflow
from tests.cluster.waiting import wait

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(2400), pytest.mark.xdist_group("proof")]

CHART = Path(__file__).parents[2] / "helm" / "everloop"
CLIENTS = 6
SETTINGS: dict[str, Any] = {
    "gateway": {"explore": 0.05, "poll_seconds": 0.5},
    "log": {"flush_seconds": 1.0},
    "rollout": {
        "predictors": "kserve",
        "steps": [0.25, 1.0],
        "bake_seconds": 5,
        "min_lists": 300,
        "click_seconds": 2,
        "interval_seconds": 1,
        "latency_floor_ms": 500,  # two cores, shared with everything else
    },
    "retrain": {"runner": "kubeflow", "min_new_events": 10, "cooldown_seconds": 3600},
    "kserve": {"cpu_request": "50m", "memory_request": "256Mi", "max_replicas": 1},
}


@dataclass
class Installed:
    """The chart in a namespace of its own."""

    namespace: str
    home: Home
    kubectl: Callable[..., "subprocess.CompletedProcess[str]"]
    forward: Callable[[str], str]

    def get(self, *what: str) -> Any:
        answer = self.kubectl("-n", self.namespace, "get", *what, "-o", "json")
        assert answer.returncode == 0, answer.stderr
        return json.loads(answer.stdout)

    def ledger(self) -> Any:
        return Ledger(self.home).entries()


def ask(url: str, body: Any = None, timeout: float = 30.0) -> tuple[int, Any]:
    request = urllib.request.Request(
        url, None if body is None else json.dumps(body).encode(), {"content-type": "application/json"}
    )
    try:
        with urllib.request.urlopen(request, timeout=timeout) as answer:
            return answer.status, json.loads(answer.read() or b"null")
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode(errors="replace")
    except (OSError, ValueError) as error:
        return 0, repr(error)


@dataclass
class People:
    """Ask for lists and click, until told to stop. liked: items that they click on."""

    url: str
    users: list[str]
    liked: frozenset[str]
    answers: Counter[str] = field(default_factory=Counter)  # by release
    clicks: Counter[str] = field(default_factory=Counter)
    groups: dict[str, str] = field(default_factory=dict)  # whose list each got last: the champion's or the candidate's
    fallbacks: Counter[str] = field(default_factory=Counter)  # lists not made from a history, by reason
    failures: list[str] = field(default_factory=list)
    over: threading.Event = field(default_factory=threading.Event)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def __enter__(self) -> "People":
        self.pool = ThreadPoolExecutor(CLIENTS)
        for number in range(CLIENTS):
            self.pool.submit(self._live, number)
        return self

    def __exit__(self, *_: object) -> None:
        self.over.set()
        self.pool.shutdown()

    def _live(self, number: int) -> None:
        rng = np.random.default_rng(number)
        while not self.over.wait(0.05):
            self.visit(str(rng.choice(self.users)))

    def visit(self, user: str) -> str:
        """The release that answered; empty when it failed."""
        status, answer = ask(
            f"{self.url}/v1/models/everloop:predict",
            {"instances": [{"user_id": user, "k": 5, "filters": {"seen": False}}]},
        )
        if status != 200 or len(answer["predictions"][0]["items"]) != 5:
            with self.lock:
                self.failures.append(f"{status}: {str(answer)[:200]}")
            return ""
        one = answer["predictions"][0]
        best = one["items"][0]["id"]
        found = best if best in self.liked else None
        if found is not None:
            event = {"user_id": user, "item_id": found, "event": "click", "request_id": one["request_id"]}
            status, answer = ask(f"{self.url}/v1/events", {"events": [event]})
            if status != 200:
                with self.lock:
                    self.failures.append(f"events: {status}: {str(answer)[:200]}")
        with self.lock:
            self.answers[one["release"]] += 1
            if one.get("fallback"):
                self.fallbacks[one["fallback"]] += 1
            self.groups[user] = one["variant"]  # another may have answered in its place
            self.clicks[one["release"]] += found is not None
        return str(one["release"])


@pytest.fixture(scope="module")
def sources() -> list[str]:
    try:
        return [part for kind, path in movielens_100k().items() for part in (f"--{kind}", path)]
    except StoreError as error:
        pytest.skip(f"{error}: nothing was tried")


@pytest.fixture(scope="module")
def installed(
    cluster: Any, home: str, tool: Callable[[str], str], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Installed]:
    """`helm install` into an empty namespace that admits only restricted pods."""
    if cluster.kubectl("get", "crd", "inferenceservices.serving.kserve.io").returncode:
        pytest.skip("the cluster has no KServe: nothing was installed")
    name = f"everloop-proof-{uuid.uuid4().hex[:6]}"
    kubectl = cluster.kubectl
    made = kubectl("create", "namespace", name)
    if made.returncode:
        pytest.skip(f"no namespace may be made: {made.stderr.strip()}")
    try:
        kubectl("label", "namespace", name, "pod-security.kubernetes.io/enforce=restricted")
        secret = json.loads(kubectl("-n", cluster.namespace, "get", "secret", "everloop-store", "-o", "json").stdout)
        copy = {
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {"name": "everloop-store", "namespace": name},
            "data": secret["data"],
        }
        assert kubectl("apply", "-f", "-", stdin=json.dumps(copy)).returncode == 0
        values = tmp_path_factory.mktemp("values") / "values.yaml"
        values.write_text(json.dumps(values_of(home, cluster)))
        began = time.monotonic()
        command = [
            tool("helm4"),
            "install",
            "everloop",
            str(CHART),
            "-n",
            name,
            "-f",
            str(values),
            "--wait",
            "--timeout",
            "5m",
        ]
        done = subprocess.run(command, capture_output=True, text=True, timeout=400, check=False)
        if done.returncode:
            events = kubectl("-n", name, "get", "events", "--sort-by=.lastTimestamp").stdout[-3000:]
            pods = kubectl("-n", name, "get", "pods").stdout
            part = "app.kubernetes.io/instance=everloop"
            pods += kubectl("-n", name, "logs", "-l", part, "--prefix", "--tail=15").stdout
            raise AssertionError(f"{done.stdout}\n{done.stderr}\n{pods}\n{events}")
        print(f"\nhelm install: {time.monotonic() - began:.0f} s\n{done.stdout}")
        yield Installed(name, Home(home), kubectl, lambda service: cluster.forward(service, 80, name))
    finally:
        kubectl("delete", "namespace", name, "--wait=false")


def values_of(home: str, cluster: Any) -> dict[str, Any]:
    """Where the store and the API server are differs from cluster to cluster, so network policies name any address."""
    return {
        "home": home,
        "settings": SETTINGS,
        "gateway": {"resources": {"requests": {"cpu": "50m", "memory": "256Mi"}}},
        "monitor": {"resources": {"requests": {"cpu": "50m", "memory": "256Mi"}}},
        "controller": {"kubeflow": {"endpoint": f"http://ml-pipeline.{cluster.namespace}.svc:8888"}},
        "networkPolicy": {"egress": {"store": {"ports": [443, 80, 9000, 8333]}}},
    }


def test_the_parts_start_in_an_empty_namespace_that_admits_restricted_pods_only(installed: Installed) -> None:
    pods = installed.get("pods", "-l", "app.kubernetes.io/instance=everloop")["items"]
    ready = {pod["metadata"]["labels"]["app.kubernetes.io/component"]: pod["status"]["phase"] for pod in pods}
    print(ready)
    assert set(ready) == {"gateway", "rollout", "monitor", "controller"}
    assert set(ready.values()) == {"Running"}


@pytest.fixture(scope="module")
def first(installed: Installed, endpoint: str, cluster: Any, sources: list[str], everloop: Any) -> Any:
    where = ("--home", installed.home.url, "--endpoint", endpoint, "--namespace", cluster.namespace)
    return everloop("submit", *sources, *where, "--wait", "--json")


def test_a_run_on_kubeflow_makes_the_first_champion(installed: Installed, first: Any) -> None:
    assert first.code == 0, first.err
    print(f"run {first.json['run_id']}: {first.json['outcome']}, {first.json['chosen']}, {first.json['seconds']:.0f} s")
    entries = installed.ledger()
    assert [(entry.action, entry.release) for entry in entries] == [("promote", first.json["release"])]


@pytest.fixture(scope="module")
def people(installed: Installed, first: Any) -> People:
    """Who asks the gateway, once a champion answers."""
    assert first.code == 0, first.err
    url = installed.forward("everloop-gateway")
    champion = first.json["release"]
    manifest = read_manifest(releases_of(installed.home), champion)
    versions = manifest["data_version"]
    data = {kind: {**part, "version": versions[kind]} if part else None for kind, part in manifest["data"].items()}
    events = read_events(installed.home, data)
    counted = events["item_id"].value_counts().filter(pl.col("count") > 150)
    made = People(url, sorted(events["user_id"].unique().to_list()), frozenset(counted["item_id"].to_list()))
    wait(lambda: made.visit("nobody") == champion, 240, "an answer of the champion")
    made.failures.clear()  # those before there was anything to answer with
    return made


def test_the_release_is_served_through_kserve_behind_the_gateway(
    installed: Installed, people: People, first: Any
) -> None:
    champion = first.json["release"]
    service = installed.get("inferenceservice", f"everloop-{champion[:SHORT]}")
    conditions = {one["type"]: one["status"] for one in service["status"]["conditions"]}
    routes = Routes.read(installed.home.store)
    assert conditions["Ready"] == "True"
    assert routes is not None
    assert routes.champion is not None
    assert routes.champion.release == champion
    people.fallbacks.clear()
    before = people.visit(people.users[0])
    print(f"InferenceService {service['metadata']['name']}: {conditions}; routes: {routes.champion.urls}")
    assert before == champion
    assert people.fallbacks == {}, "somebody who is known got a list for strangers"
    assert people.failures == []


def test_helm_test_asks_for_a_list_and_gets_one(
    installed: Installed, people: People, tool: Callable[[str], str]
) -> None:
    command = [tool("helm4"), "test", "everloop", "-n", installed.namespace, "--logs", "--timeout", "3m"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=240, check=False)
    print(done.stdout)
    assert done.returncode == 0, done.stdout + done.stderr


def test_an_equal_release_is_given_to_some_then_to_all(installed: Installed, people: People, everloop: Any) -> None:
    digest = releases.different(installed.home, 430.0)
    where = ("--home", installed.home.url)
    started = everloop("rollout", "start", digest, "--reason", "another regularisation", *where, "--json")
    assert started.code == 0, started.err
    with people:
        share = wait(lambda: candidate_share(installed, digest), 300, "a share for the candidate")
        time.sleep(2)  # until every gateway has read the routes
        people.groups.clear()
        wait(lambda: len(people.groups) > 250, 240, "250 people at the first step")
        groups = dict(people.groups)
        still = candidate_share(installed, digest) == share
        wait(lambda: installed.ledger()[-1].action == "promote", 600, "the promotion")
    entries = installed.ledger()
    print([(entry.action, entry.release[:SHORT], entry.reason) for entry in entries])
    got = sum(variant == "candidate" for variant in groups.values())
    print(f"asked share {share:.0%}; {got} of {len(groups)} people had the candidate")
    print(f"lists by release {dict(people.answers)}; not made from histories {dict(people.fallbacks)}")
    assert next(entry.action for entry in entries if entry.release == digest) == "approve"
    assert entries[-1].champion == digest
    assert still, "the engine was faster than this test could look"
    assert binomtest(got, len(groups), share).pvalue > 1e-4
    assert people.fallbacks.total() < 0.02 * people.answers.total()
    assert people.failures == []


def candidate_share(installed: Installed, digest: str) -> float:
    routes = Routes.read(installed.home.store)
    if routes is None or routes.candidate is None or routes.candidate.release != digest:
        return 0.0
    return routes.share


def test_a_release_that_people_do_not_want_is_taken_back(installed: Installed, people: People, everloop: Any) -> None:
    champion = installed.ledger()[-1].champion
    digest = releases.inverted(installed.home)
    where = ("--home", installed.home.url)
    again = People(people.url, people.users, people.liked)
    started = everloop("rollout", "start", digest, "--reason", "scores turned by mistake", "--force", *where, "--json")
    assert started.code == 0, started.err
    with again:
        wait(lambda: installed.ledger()[-1].action == "abort", 600, "the abort")
        wait(lambda: candidate_share(installed, digest) == 0, 30, "routes without it")
    abort = installed.ledger()[-1]
    rates = {release[:SHORT]: again.clicks[release] / lists for release, lists in again.answers.items()}
    print(f"abort: {abort.reason}; lists {dict(again.answers)}; clicks a list {rates}")
    assert (abort.release, abort.champion) == (digest, champion)
    assert again.failures == []


STORM = 200


def runs_of(endpoint: str, experiment: str) -> list[dict[str, Any]]:
    status, answer = ask(
        f"{endpoint}/apis/v2beta1/runs?page_size=100&sort_by=created_at%20desc&experiment_id={experiment}"
    )
    assert status == 200, answer
    return list(answer.get("runs", []))


def test_a_storm_of_alerts_makes_one_run_on_kubeflow(
    installed: Installed, people: People, endpoint: str, cluster: Any, everloop: Any
) -> None:
    back = everloop("rollback", "--home", installed.home.url, "--reason", "to what a run made", "--json")
    assert back.code == 0, back.err  # a run compares with a release of a run only
    url = installed.forward("everloop-controller")
    kubeflow = Kubeflow(endpoint, namespace=cluster.namespace)
    experiment = kubeflow.experiment("everloop")

    def alert(number: int) -> int:
        one = {
            "status": "firing",
            "labels": {"alertname": "EverloopDataDrift", "action": "retrain", "reason": "drift", "model": "everloop"},
            "annotations": {"summary": "people turned to something else"},
            "startsAt": f"2026-11-24T10:{number % 60:02d}:00Z",
            "fingerprint": f"{number:016x}",
        }
        body = {"version": "4", "status": "firing", "receiver": "everloop", "alerts": [one], "groupKey": "g"}
        return ask(f"{url}/v1/alerts", body)[0]

    before = {run["run_id"] for run in runs_of(endpoint, experiment)}
    with ThreadPoolExecutor(8) as pool:
        statuses = Counter(pool.map(alert, range(STORM)))
    assert statuses == {200: STORM}, statuses

    def made() -> Any:
        return [run for run in runs_of(endpoint, experiment) if run["run_id"] not in before]

    wait(made, 120, "a run")
    wait(lambda: all(run.get("state") in ("SUCCEEDED", "FAILED") for run in made()), 900, "the end of the run")
    runs = made()
    print([(run["display_name"], run["state"]) for run in runs])
    assert [run["state"] for run in runs] == ["SUCCEEDED"]
    entry = wait(lambda: next((e for e in installed.ledger() if e.run == runs[0]["run_id"]), None), 60, "its verdict")
    print(f"{entry.action} {entry.release[:SHORT]}: {entry.reason}")
    asked = ("everloop", "controller", "status", "--json")
    said = installed.kubectl("-n", installed.namespace, "exec", "deploy/everloop-controller", "--", *asked)
    assert said.returncode == 0, said.stderr
    facts = json.loads(said.stdout)
    print(facts["budget"], Counter(one["state"] for one in facts["decisions"]))
    assert facts["budget"]["used"] == 1
