"""What the doctor does when the API server cannot be reached, refuses, fails, stalls or has too much to do."""

import time
from pathlib import Path

import pytest
import yaml

from components.recsys.errors import InputError
from pipelines.doctor.cluster import Cluster, Unreachable
from pipelines.doctor.findings import NO, UNKNOWN, Unanswered, exit_code


def rewrite(kubeconfig: Path, **changes: object) -> None:
    config = yaml.safe_load(kubeconfig.read_text())
    for name, value in changes.items():
        section = {"server": "clusters", "token": "users"}.get(name)
        if section:
            config[section][0][section[:-1]][name] = value
        else:
            config[name.replace("_", "-")] = value
    kubeconfig.write_text(yaml.safe_dump(config))


def test_no_kubeconfig_says_what_to_set(kubeconfig, monkeypatch, tmp_path) -> None:
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "missing"))
    with pytest.raises(Unreachable, match="set KUBECONFIG"):
        Cluster()


@pytest.mark.parametrize(
    "text", ["", "{", "[]", "contexts: 3", "kind: Config\ncurrent-context: here\ncontexts: [{name: here}]"]
)
def test_a_broken_kubeconfig_is_one_sentence(text, kubeconfig) -> None:
    kubeconfig.write_text(text)
    with pytest.raises(Unreachable, match=r"kubectl config (view|get-contexts)"):
        Cluster()


def test_a_context_that_does_not_exist(kubeconfig) -> None:
    with pytest.raises(InputError, match="knows only here"):
        Cluster("there")
    rewrite(kubeconfig, current_context="there")
    with pytest.raises(Unreachable, match="there"):
        Cluster()


def test_a_server_that_is_not_there(kubeconfig) -> None:
    rewrite(kubeconfig, server="http://127.0.0.1:9")
    with pytest.raises(Unreachable, match=r"cannot be reached: .*refused"):
        Cluster(timeout_seconds=1)


def test_an_expired_token(kubeconfig) -> None:
    rewrite(kubeconfig, token="old")
    with pytest.raises(Unreachable, match="log in again"):
        Cluster()


def test_something_else_that_answers(api, kubeconfig) -> None:
    api.paths["/version"] = {"hello": "world"}
    with pytest.raises(Unreachable, match="not as Kubernetes does"):
        Cluster()


def test_a_server_that_only_fails(api, fault, kubeconfig) -> None:
    api.faults["/"] = fault(503)
    with pytest.raises(Unreachable, match=r"only with errors.*\(503\)"):
        Cluster()


def test_a_version_kept_from_strangers_is_no_reason_to_stop(api, fault, diagnose, one) -> None:
    api.faults["/version"] = fault(403)
    findings = diagnose()
    assert one(findings, "Kubernetes", "version").verdict == UNKNOWN
    assert len(findings) > 15


def test_too_much_to_do_is_waited_for_as_long_as_asked(api, fault, kubeconfig) -> None:
    cluster = Cluster()
    api.faults["/api/v1/nodes"] = fault(429, headers={"Retry-After": "0"}, times=2)
    assert cluster.get("/api/v1/nodes").ok
    api.faults["/api/v1/namespaces"] = fault(429, headers={"Retry-After": "3600"})
    began = time.monotonic()
    answer = cluster.get("/api/v1/namespaces/team-a")
    assert (answer.status, "too much to do" in answer.why, time.monotonic() - began < 2) == (429, True, True)
    cluster.close()


def test_a_passing_failure_is_asked_again_and_a_lasting_one_told(api, fault, kubeconfig) -> None:
    cluster = Cluster()
    api.faults["/api/v1/nodes"] = fault(500, times=1)
    assert cluster.get("/api/v1/nodes").ok
    api.faults["/api/v1/pods"] = fault(500, "etcdserver: request timed out")
    with pytest.raises(Unanswered, match=r"failed \(500\): etcdserver: request timed out"):
        cluster.items("/api/v1/pods")
    cluster.close()


def test_a_slow_server_costs_its_patience_once_and_then_nothing_more_is_asked(api, fault, kubeconfig) -> None:
    cluster = Cluster(timeout_seconds=0.2, patience_seconds=0.5)
    api.faults["/api"] = fault(seconds=1)
    answers = [cluster.get(f"/api/v1/namespaces/{number}") for number in range(20)]
    asked = [each for each in api.asked if "/namespaces/" in each]
    assert (len(asked), answers[0].why) == (3, "no answer within 0.2 s")
    assert "too slow" in answers[-1].why
    cluster.close()


def test_whatever_fails_there_is_always_a_whole_list_of_findings(api, fault, installed, diagnose) -> None:
    """Each group of the API in turn refuses, fails or is missing: nothing raises, and nothing is made up."""
    installed("0.20.0", gateway_api=True)
    whole = {each.area for each in diagnose()}
    for begin in (
        "/api/v1/namespaces",
        "/apis/apps",
        "/apis/apiextensions",
        "/apis/storage",
        "/apis/authorization",
        "/apis/serving",
    ):
        for status in (403, 404, 500):
            api.faults = {begin: fault(status, headers={"Retry-After": "60"})}
            findings = diagnose()
            assert {each.area for each in findings} >= whole - {"KServe"}, (begin, status)
            refused = [each for each in findings if each.refused]
            assert not refused, (begin, status, refused)
    api.faults = {"/apis": fault(403)}
    assert exit_code(diagnose()) == 0


def test_lists_are_read_page_by_page_and_begun_anew_when_they_are_gone(api, fault, kubeconfig) -> None:
    nodes = api.paths["/api/v1/nodes"]
    nodes["metadata"] = {"continue": "more"}
    seen = []

    def answer(method: str, url: str, body: object) -> tuple[int, dict[str, object]]:
        seen.append(url)
        if "continue=more" in url:
            return 410, {"message": "too old"}
        return 200, nodes if "limit=" in url else {"items": [{"metadata": {"name": "whole"}}]}

    cluster = Cluster()
    api.answer = answer
    assert [each["metadata"]["name"] for each in cluster.items("/api/v1/nodes")] == ["node-1", "whole"]
    assert [url.partition("?")[2] for url in seen] == ["limit=250", "limit=250&continue=more", ""]
    cluster.close()


def test_nothing_is_ever_stored(api, installed, diagnose) -> None:
    """Only reviews and dry runs are POSTs; the server of these tests refuses any other."""
    installed("0.20.0")
    diagnose()
    assert {each.split()[0] for each in api.asked} == {"GET", "POST"}
    assert all("dryRun=All" in each or "selfsubject" in each for each in api.asked if each.startswith("POST"))
    assert not any(each.verdict == NO and each.asked for each in diagnose())
