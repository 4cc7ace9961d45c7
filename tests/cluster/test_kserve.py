"""Releases on a real KServe: two behind the gateway, and no request lost when pods are killed, replaced and evicted.

The chart's gateway and rollout engine run in a namespace of the restricted level; people are threads in a pod there. What
happened is printed (`-rA` or `-s` shows it). EVERLOOP_TEST_TAG: another tag of the serving image than this version's.
"""

import json
import os
import subprocess
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from components.recsys.frames import Catalogue, Interactions
from components.recsys.home import Home
from components.recsys.ledger import Ledger
from components.recsys.models import MODELS
from components.recsys.models.base import Training
from components.recsys.policy import set_gradual
from components.recsys.release import SHORT, releases_of, save
from components.recsys.routes import Routes
from components.recsys.settings import load_settings
from components.recsys.version import VERSION
from serving.kserve.inference_service import inference_service, name_of
from serving.kserve.variants import http_route, measured
from tests.cluster.waiting import wait

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(1500), pytest.mark.xdist_group("kserve")]

CHART = Path(__file__).parents[2] / "helm" / "everloop"
TAG = os.environ.get("EVERLOOP_TEST_TAG", VERSION)
IMAGE = f"everloop/serving:{TAG}"
PARTS = ("serviceaccounts", "roles", "settings", "gateway", "rollout", "scaling")
SMALL = {"cpu_request": "25m", "memory_request": "160Mi", "min_replicas": 2, "max_replicas": 2}
SETTINGS: dict[str, Any] = {
    # It stays at half: what is tried here is the way there, and that nobody notices what happens to pods.
    "rollout": {
        "predictors": "kserve",
        "steps": [0.5, 1.0],
        "min_lists": 10**6,
        "interval_seconds": 1,
        "max_latency_ratio": 50,
    },
    "gateway": {"poll_seconds": 0.5, "timeout_seconds": 3},
    "kserve": SMALL,
}
PEOPLE = """
import collections, http.client, json, os, sys, threading, time
host, threads = sys.argv[1], int(sys.argv[2])
seen, failures, users = collections.Counter(), [], {}
def live(number):
    line, asked = None, 0
    while not os.path.exists("/tmp/stop"):
        asked += 1
        if line is None or asked % 5 == 0:  # some come anew, some stay on their connection
            line = http.client.HTTPConnection(host, timeout=15)
        user = f"u{number}-{asked % 50}"
        try:
            line.request("POST", "/v1/models/everloop:predict", json.dumps({"instances": [{"user_id": user, "k": 3}]}),
                         {"Content-Type": "application/json"})
            answer = line.getresponse()
            body = answer.read()
            one = json.loads(body)["predictions"][0] if answer.status == 200 else None
            if one is None or len(one["items"]) != 3:
                failures.append(f"{answer.status} {body[:200]!r}")
            else:
                seen[one["release"][:12] + (" " + one["fallback"] if "fallback" in one else "")] += 1
                users[user] = one["release"][:12]
            if answer.will_close:
                line = None
        except Exception as error:
            # A connection that was idle may be closed by the other side at any time; HTTP clients ask again (RFC 9112, 9.3.1).
            if asked % 5 and isinstance(error, (http.client.RemoteDisconnected, BrokenPipeError, ConnectionResetError)):
                seen["asked again"] += 1
            else:
                failures.append(f"{type(error).__name__}: {error}")
            line = None
        time.sleep(0.05)
workers = [threading.Thread(target=live, args=(number,)) for number in range(threads)]
[worker.start() for worker in workers]
[worker.join() for worker in workers]
groups = collections.Counter(users.values())
print(json.dumps({"seen": seen, "failures": failures[:20], "failed": len(failures), "groups": groups}))
"""
RESTRICTED = {"allowPrivilegeEscalation": False, "readOnlyRootFilesystem": True, "capabilities": {"drop": ["ALL"]}}


@dataclass
class Place:
    """A namespace with the gateway and the engine."""

    namespace: str
    home: Home
    a: str
    b: str
    kubectl: Callable[..., "subprocess.CompletedProcess[str]"]

    def do(self, *arguments: str, stdin: str | None = None) -> str:
        answer = self.kubectl("-n", self.namespace, *arguments, stdin=stdin)
        assert answer.returncode == 0, f"kubectl {' '.join(arguments)}: {answer.stderr}"
        return str(answer.stdout)

    def get(self, *what: str) -> Any:
        return json.loads(self.do("get", *what, "-o", "json"))

    def pods(self, selector: str) -> list[Any]:
        found: list[Any] = self.get("pods", "-l", selector)["items"]
        return [pod for pod in found if "deletionTimestamp" not in pod["metadata"]]

    def ready(self, selector: str) -> int:
        return sum(
            condition["type"] == "Ready" and condition["status"] == "True"
            for pod in self.pods(selector)
            for condition in pod["status"].get("conditions", [])
        )

    def predictors(self, release: str) -> str:
        return f"everloop.dev/release={release[:SHORT]}"


GATEWAYS = "app.kubernetes.io/component=gateway"


def released(home: Home, **config: Any) -> str:
    """A small release: two tastes, films of even and of odd numbers."""
    rows = [(f"u{u}", f"f{f}") for u in range(40) for f in range(24) if f % 2 == u % 2 and (f + 3 * u) % 5]
    users, items = zip(*rows, strict=True)
    frame = pl.DataFrame({"user_id": users, "item_id": items}).with_columns(
        timestamp=pl.datetime(2026, 11, 1, time_zone="UTC"), event=pl.lit("click"), value=pl.lit(1.0)
    )
    interactions = Interactions.from_frame(frame)
    catalogue = Catalogue.empty(interactions.items)
    kind = MODELS["ease"]
    model = kind(kind.Config(**{"l2": 5.0, "half_life": None, **config})).fit(Training(interactions, catalogue))
    content = {"settings": {"prepare": {"event_weights": {}}}, "data": {}}
    return save(releases_of(home), model, catalogue, content, {}, {"history_lengths": [1, 2]}, "# For a test\n")


@pytest.fixture(scope="module")
def place(cluster: Any, home: str, store_environment: dict[str, str], tool: Callable[[str], str]) -> Iterator[Place]:
    if cluster.kubectl("get", "crd", "inferenceservices.serving.kserve.io").returncode:
        pytest.skip("KServe is not installed on this cluster: nothing was tried on it")
    name, at = f"everloop-kserve-{uuid.uuid4().hex[:6]}", Home(home.replace("/home", "/kserve"))
    made = Place(name, at, released(at), released(at, l2=50.0), cluster.kubectl)
    Ledger(at).append("promote", made.a, "the first")
    set_gradual(at.store, True)
    labels = {f"pod-security.kubernetes.io/{kind}": "restricted" for kind in ("enforce", "warn")}
    cluster.kubectl("apply", "-f", "-", stdin=json.dumps(_object("v1", "Namespace", name, labels)))
    try:
        inside = json.loads(
            cluster.kubectl("-n", cluster.namespace, "get", "secret", "everloop-store", "-o", "json").stdout
        )
        secrets = [
            {**_object("v1", "Secret", "everloop-store"), "data": inside["data"]},
            # Two gateways of which each forgets: people here have no history.
            {**_object("v1", "Secret", "history"), "stringData": {"url": "memory://"}},
        ]
        for secret in secrets:
            made.do("apply", "-f", "-", stdin=json.dumps(secret))
        values = {
            "home": at.url,
            "settings": SETTINGS,
            "image": {"serving": {"tag": TAG}},
            "gateway": {
                "replicas": 2,
                "history": {"existingSecret": "history"},
                "resources": {"requests": {"cpu": "50m"}},
            },
        }
        rendered = subprocess.run(
            [tool("helm4"), "template", "everloop", str(CHART), "-n", name, "-f", "-"]
            + [part for each in PARTS for part in ("-s", f"templates/{each}.yaml")],
            input=json.dumps(values),
            capture_output=True,
            text=True,
            check=False,
        )
        assert rendered.returncode == 0, rendered.stderr
        made.do("apply", "-f", "-", stdin=rendered.stdout)
        wait(lambda: made.ready(made.predictors(made.a)) == 2, 400, "the champion's predictors")
        wait(lambda: made.ready(GATEWAYS) == 2, 300, "the gateways")
        yield made
    finally:
        cluster.kubectl("delete", "namespace", name, "--wait=false")


def _object(version: str, kind: str, name: str, labels: dict[str, str] | None = None) -> dict[str, Any]:
    return {"apiVersion": version, "kind": kind, "metadata": {"name": name, "labels": labels or {}}}


class People:
    """Threads in a pod that ask the gateway until told to stop."""

    def __init__(self, place: Place, host: str = "", threads: int = 4) -> None:
        self.place, self.name = place, f"people-{uuid.uuid4().hex[:6]}"
        pod = _object("v1", "Pod", self.name)
        pod["spec"] = {
            "restartPolicy": "Never",
            "automountServiceAccountToken": False,
            "securityContext": {"runAsNonRoot": True, "runAsUser": 65532, "seccompProfile": {"type": "RuntimeDefault"}},
            "containers": [
                {
                    "name": "people",
                    "image": IMAGE,
                    "imagePullPolicy": "IfNotPresent",
                    "command": ["python3", "-c", PEOPLE, host or "everloop-gateway", str(threads)],
                    "securityContext": RESTRICTED,
                    "volumeMounts": [{"name": "tmp", "mountPath": "/tmp"}],
                }
            ],
            "volumes": [{"name": "tmp", "emptyDir": {}}],
        }
        place.do("apply", "-f", "-", stdin=json.dumps(pod))
        wait(lambda: place.get("pod", self.name)["status"]["phase"] == "Running", 120, "people")
        self.began = time.monotonic()

    def stopped(self) -> dict[str, Any]:
        """What they saw."""
        self.place.do("exec", self.name, "--", "touch", "/tmp/stop")
        wait(lambda: self.place.get("pod", self.name)["status"]["phase"] != "Running", 60, "the people's end")
        told: dict[str, Any] = json.loads(self.place.do("logs", self.name).strip().splitlines()[-1])
        self.place.do("delete", "pod", self.name, "--wait=false")
        print(f"\n{sum(told['seen'].values())} answers in {time.monotonic() - self.began:.0f} s: {told}")
        return told


def test_the_champion_is_served_through_kserve(place: Place) -> None:
    service = place.get("inferenceservice", name_of(place.a))
    print(f"\nKServe: {service['status'].get('deploymentMode')}, {service['status'].get('address')}")
    routes = wait(lambda: Routes.read(place.home.store), 60, "routes")
    assert routes.champion.release == place.a
    assert routes.champion.urls[0].startswith(f"http://{name_of(place.a)}-predictor.{place.namespace}.svc")
    people = People(place)
    time.sleep(8)
    told = people.stopped()
    assert told["failed"] == 0, told["failures"]
    assert set(told["groups"]) == {place.a[:SHORT]}


def test_two_releases_behind_the_gateway_share_people_as_asked(place: Place) -> None:
    Ledger(place.home).append("approve", place.b, "beats the champion", expect_champion=place.a)
    wait(lambda: place.ready(place.predictors(place.b)) == 2, 400, "the candidate's predictors")
    wait(lambda: (Routes.read(place.home.store) or Routes(0)).share == 0.5, 60, "the first step")
    time.sleep(2)
    people = People(place, threads=8)
    time.sleep(40)
    told = people.stopped()
    assert told["failed"] == 0, told["failures"]
    split = measured(told["groups"].get(place.b[:SHORT], 0), sum(told["groups"].values()), 50, load_settings())
    print(f"people with the candidate: {split}")
    assert split.answers >= 100
    assert split.fits


def test_no_request_is_lost_when_predictors_are_killed(place: Place) -> None:
    people = People(place)
    time.sleep(3)
    for release in (place.a, place.b):
        victim = place.pods(place.predictors(release))[0]["metadata"]["name"]
        place.do("delete", "pod", victim, "--grace-period=0", "--force", "--wait=false")
        print(f"\nkilled {victim}")
        wait(lambda release=release: place.ready(place.predictors(release)) == 2, 200, "its successor")
    assert people.stopped()["failed"] == 0


def test_no_request_is_lost_when_the_gateway_is_rolled_out(place: Place) -> None:
    people = People(place)
    time.sleep(3)
    before = {pod["metadata"]["name"] for pod in place.pods(GATEWAYS)}
    place.do("rollout", "restart", "deployment/everloop-gateway")
    place.do("rollout", "status", "deployment/everloop-gateway", "--timeout=100s")
    wait(lambda: not before & {pod["metadata"]["name"] for pod in place.pods(GATEWAYS)}, 100, "new gateways only")
    time.sleep(8)  # the old ones drain
    assert people.stopped()["failed"] == 0


def test_no_request_is_lost_when_everything_is_evicted_as_a_drain_does(place: Place) -> None:
    """One node cannot be drained; each of its pods is evicted by the same call, which disruption budgets may refuse."""
    people = People(place)
    time.sleep(3)
    refusals = 0
    selectors = (GATEWAYS, place.predictors(place.a), place.predictors(place.b))
    for selector in selectors:
        for pod in place.pods(selector):
            refusals += _evicted(place, pod["metadata"]["name"])
    for selector in selectors:
        wait(lambda selector=selector: place.ready(selector) == 2, 200, "everything again")
    time.sleep(8)
    print(f"\nevictions that a budget put off: {refusals}")
    told = people.stopped()
    assert told["failed"] == 0, told["failures"]


def _evicted(place: Place, pod: str) -> int:
    """How often a disruption budget said "not yet"."""
    eviction = json.dumps(_object("policy/v1", "Eviction", pod))
    path = f"/api/v1/namespaces/{place.namespace}/pods/{pod}/eviction"
    for again in range(200):
        answer = place.kubectl("create", "--raw", path, "-f", "-", stdin=eviction)
        if answer.returncode == 0:
            return again
        assert "TooManyRequests" in answer.stderr or "disruption budget" in answer.stderr, answer.stderr
        time.sleep(1)
    raise AssertionError(f"{pod} was never let go")


def test_a_release_whose_digest_differs_never_gets_ready(place: Place) -> None:
    """Under its name lie the files of another one, each whole: only who recomputes the digest notices."""
    store, wrong = releases_of(place.home), "c" * 64
    for key in store.list(place.b):
        store.write(key.replace(place.b, wrong), store.read(key))
    settings = load_settings(None, [f"kserve.image={IMAGE}", "kserve.min_replicas=1", "kserve.max_replicas=1"])
    place.do("apply", "-f", "-", stdin=json.dumps(inference_service(wrong, settings, place.home.url)))

    def ends() -> list[str]:
        return [
            ended.get("message", "")
            for pod in place.pods(place.predictors(wrong))
            for container in pod["status"].get("containerStatuses", [])
            for state in (container.get("state", {}), container.get("lastState", {}))
            if (ended := state.get("terminated"))
        ]

    said = wait(ends, 200, "the end of a pod that refuses")[0]
    print(f"\nthe pod's last words: {said.strip()}")
    assert f"holds release {place.b[:SHORT]}, not {wrong[:SHORT]} that was asked for" in said
    assert place.ready(place.predictors(wrong)) == 0
    conditions = place.get("inferenceservice", name_of(wrong))["status"]["conditions"]
    assert next(one for one in conditions if one["type"] == "Ready")["status"] != "True"
    place.do("delete", "inferenceservice", name_of(wrong), "--wait=false")


def test_weights_of_a_route_split_requests_without_our_gateway(place: Place) -> None:
    classes = place.kubectl("get", "gatewayclass", "-o", "jsonpath={.items[*].metadata.name}")
    if classes.returncode or not classes.stdout.strip():
        pytest.skip("no GatewayClass on this cluster: HTTPRoute was not tried")
    gateway = _object("gateway.networking.k8s.io/v1", "Gateway", "models")
    listener = {"name": "http", "port": 80, "protocol": "HTTP"}
    gateway["spec"] = {"gatewayClassName": classes.stdout.split()[0], "listeners": [listener]}
    place.do("apply", "-f", "-", stdin=json.dumps(gateway))
    settings = load_settings(None, [f"kserve.gateway={place.namespace}/models"])
    place.do("apply", "-f", "-", stdin=json.dumps(http_route(place.a, place.b, 20, settings)))

    def address() -> str:
        found = place.get("gateway", "models").get("status", {}).get("addresses") or [{}]
        return str(found[0].get("value", ""))

    host = wait(address, 300, "the Gateway's address")
    time.sleep(10)
    people = People(place, host)
    time.sleep(20)
    told = people.stopped()
    assert told["failed"] == 0, told["failures"]
    counts = {
        release: sum(n for name, n in told["seen"].items() if name.startswith(release[:SHORT]))
        for release in (place.a, place.b)
    }
    split = measured(counts[place.b], sum(counts.values()), 20, load_settings())
    print(f"answers from the candidate: {split}")
    assert split.answers > 200
    assert split.fits
    ignored = measured(counts[place.b], sum(counts.values()), 50, load_settings())
    assert not ignored.fits  # the bound is not so wide that anything would fit
