"""An environment's life on a real Argo CD: brought by root.yaml, promoted, ordered and reverted by commits, mended by itself.

EVERLOOP_TEST_GIT             a git server that makes a repository of a push, as this machine reaches it: http://HOST:PORT
EVERLOOP_TEST_GIT_IN_CLUSTER  the same, as pods reach it
ARGOCD                        the program argocd, for the health check's table (or on the path)

Tests are in order, each on what the one before left.
"""

import json
import os
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from components.recsys.home import Home
from components.recsys.ledger import Ledger
from components.recsys.release import SHORT
from components.recsys.routes import Routes
from serving.kserve.quantities import amount, canonical
from tests.cluster.argocd import ROOT, Deployed, git
from tests.cluster.waiting import wait
from tests.gitops.conftest import make_release

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(1200), pytest.mark.xdist_group("argocd")]

HEALTH = ROOT / "manifests" / "argocd" / "health"
KEY = "resource.customizations.health.serving.kserve.io_InferenceService"


@pytest.fixture(scope="module")
def deployed(cluster: Any, home: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployed]:
    """root.yaml applied by hand, and what comes of it."""
    outside, inside = os.environ.get("EVERLOOP_TEST_GIT"), os.environ.get("EVERLOOP_TEST_GIT_IN_CLUSTER")
    kubectl = cluster.kubectl
    if not outside or not inside:
        pytest.skip("EVERLOOP_TEST_GIT and EVERLOOP_TEST_GIT_IN_CLUSTER name no git server: Argo CD was not tried")
    if kubectl("-n", "argocd", "get", "statefulset", "argocd-application-controller").returncode:
        pytest.skip("the cluster has no Argo CD in namespace argocd: it was not tried")
    if kubectl("get", "crd", "inferenceservices.serving.kserve.io").returncode:
        pytest.skip("the cluster has no KServe: Argo CD was not tried")
    if kubectl("-n", "argocd", "get", "application", "everloop").returncode == 0:
        pytest.skip("Everloop is in this Argo CD already: it was not touched")
    before = json.loads(kubectl("-n", "argocd", "get", "configmap", "argocd-cm", "-o", "json").stdout).get("data", {})
    made = Deployed.pushed(kubectl, outside, inside, home, tmp_path_factory.mktemp("deploy"))
    secret = json.loads(kubectl("-n", cluster.namespace, "get", "secret", "everloop-store", "-o", "json").stdout)
    try:
        root = made.work / "manifests" / "argocd" / "root.yaml"
        assert kubectl("apply", "-f", str(root)).returncode == 0
        # The one thing that git does not hold: the store's keys.
        wait(lambda: made.get("namespace", made.namespace), 180, "the namespace", lambda: made.told("everloop"))
        keys = {
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {"name": "everloop-store", "namespace": made.namespace},
            "data": secret["data"],
        }
        assert kubectl("apply", "-f", "-", stdin=json.dumps(keys)).returncode == 0
        yield made
    finally:
        for kind, name in (
            ("application", "everloop"),
            ("applicationset", "everloop"),
            ("application", made.namespace),
        ):
            kubectl("-n", "argocd", "delete", kind, name, "--wait=false", "--ignore-not-found")
        # Argo CD's finalizer on a hook, which nobody removes once its Application is gone.
        loose = ("patch", "job", "everloop-smoke-test", "--type=merge", "-p", '{"metadata": {"finalizers": null}}')
        kubectl("-n", made.namespace, *loose)
        kubectl("-n", "argocd", "delete", "appproject", "everloop", "--wait=false", "--ignore-not-found")
        kubectl("delete", "namespace", made.namespace, "--wait=false", "--ignore-not-found")
        patch = json.dumps({"data": {KEY: before.get(KEY)}, "metadata": {"annotations": {
            "argocd.argoproj.io/tracking-id": None, "argocd.argoproj.io/sync-options": None,
            "argocd.argoproj.io/sync-wave": None, "everloop.dev/repository": None, "everloop.dev/branch": None,
        }}})  # fmt: skip
        kubectl("-n", "argocd", "patch", "configmap", "argocd-cm", "--type=merge", "-p", patch)


@pytest.fixture(scope="module")
def releases(home: str) -> list[str]:
    """Releases in the home; none of them decided upon."""
    return [make_release(Home(home), number) for number in range(4)]


@pytest.fixture
def gitops(deployed: Deployed, everloop: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
    for name in ("AUTHOR", "COMMITTER"):
        monkeypatch.setenv(f"GIT_{name}_NAME", "Everloop tests")
        monkeypatch.setenv(f"GIT_{name}_EMAIL", "tests@example.com")

    def call(command: str, *arguments: str) -> Any:
        said = everloop("gitops", command, *arguments, "--env", deployed.env, "--repo", deployed.url, "--json")
        assert said.code == 0, said.err
        deployed.pull()
        return said.json

    return call


def service_of(digest: str) -> str:
    return f"everloop-{digest[:SHORT]}"


def settled(deployed: Deployed, seconds: float = 420) -> None:
    wait(deployed.done, seconds, "a sync to its end", deployed.told)


def test_one_application_applied_by_hand_brings_the_environment(deployed: Deployed) -> None:
    settled(deployed, 600)
    pods = deployed.get("pods", "-l", "app.kubernetes.io/instance=everloop")["items"]
    parts = {pod["metadata"]["labels"]["app.kubernetes.io/component"] for pod in pods}
    assert parts == {"gateway", "rollout", "monitor", "controller"}
    smoke = deployed.get("job", "everloop-smoke-test")
    assert smoke["status"]["succeeded"] == 1
    log = deployed.kubectl("-n", deployed.namespace, "logs", "job/everloop-smoke-test").stdout
    print(f"smoke test: {log.strip()}; root: {deployed.application('everloop')['status']['health']}")
    assert "no release serves yet" in log
    config = deployed.get("configmap", "argocd-cm", namespace="argocd")
    assert config["data"][KEY] == (HEALTH / "inferenceservice.lua").read_text()
    assert config["data"].get("timeout.reconciliation"), "the keys that were there are there"


def test_the_first_champion_comes_by_a_commit(deployed: Deployed, releases: list[str], gitops: Any) -> None:
    Ledger(Home(deployed.home)).append("promote", releases[0], "the first")
    assert gitops("sync")["stable"] == releases[0]
    settled(deployed)
    assert deployed.names("inferenceservice") == {service_of(releases[0])}
    log = deployed.kubectl("-n", deployed.namespace, "logs", "job/everloop-smoke-test").stdout
    print(f"smoke test: {log.strip()}")
    assert f"release {releases[0][:SHORT]} (champion) recommends" in log


def test_a_second_sync_is_a_zero_diff(deployed: Deployed) -> None:
    """What KServe's webhook, the API server and helm fill in is no difference, however often it is looked at."""
    syncs = len(deployed.application()["status"]["history"])
    finished = deployed.application()["status"]["operationState"]["finishedAt"]
    for _ in range(3):
        looked = deployed.application()["status"]["reconciledAt"]
        deployed.refresh("hard")
        wait(lambda before=looked: deployed.application()["status"]["reconciledAt"] != before, 120, "another look")
        status = deployed.application()["status"]
        assert status["sync"]["status"] == "Synced", deployed.told()
        assert [one for one in status["resources"] if one.get("status") not in ("Synced", None)] == []
    assert len(deployed.application()["status"]["history"]) == syncs
    assert deployed.application()["status"]["operationState"]["finishedAt"] == finished, "nothing was applied again"


def test_an_edit_by_hand_is_undone(deployed: Deployed, releases: list[str]) -> None:
    name = service_of(releases[0])
    patch = '{"spec": {"predictor": {"timeout": 77}}}'
    edit = ("patch", "inferenceservice", name, "--type=merge", "-p", patch)
    assert deployed.kubectl("-n", deployed.namespace, *edit).returncode == 0
    assert deployed.kubectl("-n", deployed.namespace, "delete", "service", "everloop-monitor").returncode == 0
    wait(
        lambda: (
            deployed.get("inferenceservice", name)["spec"]["predictor"]["timeout"] == 30
            and deployed.get("service", "everloop-monitor")
        ),
        180,
        "the edit to be undone",
        deployed.told,
    )
    settled(deployed)


def test_a_candidate_comes_by_a_commit_gets_its_rollout_and_leaves_by_another(
    deployed: Deployed, releases: list[str], gitops: Any
) -> None:
    """The share that it has is the engine's, so Argo CD sees no difference meanwhile."""
    home = Home(deployed.home)
    assert gitops("promote", releases[1], "--reason", "to be tried")["candidate"] == releases[1]
    wait(lambda: share(home), 420, "people for the candidate", deployed.told)
    settled(deployed)
    assert gitops("sync")["changed"] is False, "its rollout goes on"
    print([(entry.action, entry.actor, entry.release[:SHORT], entry.reason) for entry in Ledger(home).entries()])
    assert gitops("rollback", "--reason", "thought again")["candidate"] == ""
    wait(lambda: deployed.names("inferenceservice") == {service_of(releases[0])}, 300, "its end", deployed.told)
    wait(lambda: Ledger(home).entries()[-1].action == "abort", 60, "the end of its rollout", deployed.told)
    assert share(home) == 0


def share(home: Home) -> float:
    routes = Routes.read(home.store)
    return routes.share if routes is not None else 0.0


def test_a_release_that_has_no_room_is_degraded_and_a_later_commit_mends_it(
    deployed: Deployed, releases: list[str], gitops: Any
) -> None:
    """KServe says of a pod that the quota refuses no more than a False condition, which Argo CD's own check takes for
    progress: that it is Degraded says that ours is used."""
    settled(deployed)
    used = deployed.get("resourcequota", "everloop")["status"]["used"]["limits.memory"]
    room = canonical(f"{int(amount(used)) // 2**20 + 512}Mi")  # for the smoke test, and for no predictor
    kustomization = yaml.safe_load((deployed.overlay / "kustomization.yaml").read_text())
    patch = [{"op": "replace", "path": "/spec/hard/limits.memory", "value": room}]
    patches = [{"target": {"kind": "ResourceQuota"}, "patch": yaml.safe_dump(patch)}]
    deployed.write("kustomization.yaml", {**kustomization, "patches": patches})
    deployed.commit("Room for no predictor more")
    wait(lambda: deployed.at("Synced"), 180, "the quota", deployed.told)
    assert gitops("promote", releases[2], "--reason", "to be tried")["candidate"] == releases[2]
    wait(lambda: deployed.at("Degraded"), 300, "the candidate to be degraded", deployed.told)
    results = deployed.application()["status"]["operationState"].get("syncResult", {}).get("resources", [])
    print([one["message"] for one in results if one["kind"] == "InferenceService"])
    deployed.write("kustomization.yaml", kustomization)
    deployed.commit("Room again")
    assert gitops("rollback", "--reason", "there was no room for it")["candidate"] == ""
    wait(lambda: deployed.names("inferenceservice") == {service_of(releases[0])}, 300, "its end", deployed.told)
    settled(deployed)


def test_an_order_in_git_is_followed_and_git_revert_takes_it_back(
    deployed: Deployed, releases: list[str], gitops: Any
) -> None:
    ledger = Ledger(Home(deployed.home))
    ordered = releases[3]
    assert gitops("promote", ordered, "--now", "--reason", "asked for")["stable"] == ordered
    wait(lambda: ledger.champion() == ordered, 420, "the order in the ledger", deployed.told)
    settled(deployed)
    assert deployed.names("inferenceservice") == {service_of(ordered), service_of(releases[0])}
    git(deployed.work, "revert", "--no-edit", "HEAD")
    deployed.push()
    wait(lambda: ledger.champion() == releases[0], 420, "the way back in the ledger", deployed.told)
    settled(deployed)
    wait(
        lambda: deployed.names("inferenceservice") == {service_of(releases[0])},
        120,
        "its predictor to go",
        deployed.told,
    )
    print([(entry.action, entry.release[:SHORT], entry.reason) for entry in ledger.entries()])
    assert gitops("sync")["changed"] is False


def test_the_model_writer_brings_to_git_what_the_home_decided(deployed: Deployed, releases: list[str]) -> None:
    """A champion that somebody put in place in the home; git follows by itself, and Argo CD git."""
    kustomization = yaml.safe_load((deployed.overlay / "kustomization.yaml").read_text())
    where = [f"ENVIRONMENT={deployed.env}", f"REPOSITORY={deployed.inside}", "BRANCH=main"]
    ports = [{"port": port, "protocol": "TCP"} for port in (22, 443, 80, 8080, 8333, 9000)]
    patch = [{"op": "replace", "path": "/spec/egress/0/ports", "value": ports}]
    writer = {
        "components": ["../../components/model-writer"],
        "configMapGenerator": [{"name": "everloop-git", "literals": where}],
        "patches": [
            {"target": {"kind": "NetworkPolicy", "name": "everloop-model-writer"}, "patch": yaml.safe_dump(patch)}
        ],
    }
    deployed.write("kustomization.yaml", {**kustomization, **writer})
    deployed.commit("The model-writer")
    settled(deployed)
    decided = releases[2]
    Ledger(Home(deployed.home)).append("promote", decided, "by hand, in the home")
    wait(lambda: deployed.model().stable == decided, 300, "the commit", lambda: log_of_the_writer(deployed))
    print(git(deployed.work, "log", "-1", "--format=%an: %B"))
    settled(deployed)
    assert deployed.names("inferenceservice") == {service_of(decided)}
    deployed.write("kustomization.yaml", kustomization)
    deployed.commit("Without the model-writer")
    settled(deployed)


def log_of_the_writer(deployed: Deployed) -> str:
    label = "app.kubernetes.io/component=model-writer"
    logs = deployed.kubectl("-n", deployed.namespace, "logs", "--prefix", "--tail=20", "-l", label).stdout
    return deployed.kubectl("-n", deployed.namespace, "get", "pods", "-l", label).stdout + logs


def test_weights_of_a_route_are_nobodys_drift(deployed: Deployed) -> None:
    """An engine moves them; Argo CD neither takes that for a difference nor sets them back at the next sync.

    No Gateway takes the route: this test says in a Gateway's place that it is accepted, for which Argo CD waits.
    """
    if deployed.kubectl("get", "crd", "httproutes.gateway.networking.k8s.io").returncode:
        pytest.skip("the cluster has no Gateway API: weights of a route were not tried")
    parent = {"name": "everloop-test-nobody"}
    backends = [
        {"name": f"everloop-{part}", "port": 80, "weight": weight} for part, weight in (("gateway", 95), ("monitor", 5))
    ]
    route = {
        "apiVersion": "gateway.networking.k8s.io/v1",
        "kind": "HTTPRoute",
        "metadata": {"name": "split"},
        "spec": {
            "hostnames": ["everloop.example.com"],
            "parentRefs": [parent],
            "rules": [{"backendRefs": backends}],
        },
    }

    def patched(value: Any, *more: str) -> bool:
        command = ("patch", "httproute", "split", *more, "-p", json.dumps(value))
        return deployed.kubectl("-n", deployed.namespace, *command).returncode == 0

    accepted = {
        "type": "Accepted",
        "status": "True",
        "reason": "Accepted",
        "message": "by a test",
        "lastTransitionTime": "2026-01-01T00:00:00Z",
    }
    taken = {"parents": [{"parentRef": parent, "controllerName": "example.com/test", "conditions": [accepted]}]}
    deployed.write("route.yaml", route)
    kustomization = yaml.safe_load((deployed.overlay / "kustomization.yaml").read_text())
    deployed.write("kustomization.yaml", {**kustomization, "resources": [*kustomization["resources"], "route.yaml"]})
    deployed.commit("A route")
    wait(lambda: deployed.get("httproute", "split"), 180, "the route", deployed.told)
    assert patched({"status": taken}, "--subresource=status", "--type=merge")
    settled(deployed)

    def weights() -> list[int]:
        found = deployed.get("httproute", "split")
        return [one["weight"] for one in found["spec"]["rules"][0]["backendRefs"]]

    assert weights() == [95, 5]
    moved = [
        {"op": "replace", "path": f"/spec/rules/0/backendRefs/{number}/weight", "value": weight}
        for number, weight in enumerate((75, 25))
    ]
    assert patched(moved, "--type=json")
    time.sleep(25)  # two looks of an Argo CD that looks each ten seconds
    assert deployed.at("Synced"), deployed.told()
    assert weights() == [75, 25]
    deployed.write("route.yaml", {**route, "spec": {**route["spec"], "hostnames": ["shop.example.com"]}})
    deployed.commit("The route's name, which is git's to say")
    wait(
        lambda: deployed.get("httproute", "split")["spec"]["hostnames"] == ["shop.example.com"],
        240,
        "the new name",
        deployed.told,
    )
    settled(deployed)
    assert weights() == [75, 25]


def test_the_table_of_the_health_check_on_argo_cds_own_program(tmp_path: Path, tool: Callable[[str], str]) -> None:
    program = os.environ.get("ARGOCD") or shutil.which("argocd")
    if not program:
        pytest.skip(
            "argocd is neither on the path nor named by ARGOCD: tests/gitops/test_health.py runs the table by itself"
        )
    config = tmp_path / "argocd-cm.yaml"
    config.write_text(
        subprocess.run([tool("kubectl"), "kustomize", str(HEALTH)], capture_output=True, text=True, check=True).stdout
    )
    cases = yaml.safe_load((HEALTH / "health_test.yaml").read_text())["tests"]
    command = [program, "admin", "settings", "resource-overrides", "health", "--argocd-cm-path", str(config)]
    for case in cases:
        told = subprocess.run(
            [*command, str(HEALTH / case["inputPath"])], capture_output=True, text=True, timeout=60, check=True
        )
        wanted = case["healthStatus"]
        assert f"STATUS: {wanted['status']}\nMESSAGE: {wanted['message']}\n" in told.stdout, told.stdout
    print(f"{len(cases)} cases")
