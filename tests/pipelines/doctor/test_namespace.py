"""The namespace: labels, what admission says of our pods, and room under quotas."""

import re

import pytest

from pipelines.chart.values import Chart
from pipelines.doctor.findings import NO, OK, UNKNOWN, WARNING
from pipelines.doctor.wants import Wants

ENFORCE = "pod-security.kubernetes.io/enforce"
DEPLOYMENT = {
    "apiVersion": "apps/v1",
    "kind": "Deployment",
    "metadata": {"name": "everloop-gateway"},
    "spec": {
        "replicas": 3,
        "template": {
            "metadata": {"labels": {"app": "everloop"}},
            "spec": {
                "serviceAccountName": "not-there-yet",
                "containers": [
                    {"name": "gateway", "image": "x", "resources": {"requests": {"cpu": "500m", "memory": "1Gi"}}}
                ],
            },
        },
    },
}


def label(api, **labels: str) -> None:
    api.paths["/api/v1/namespaces/team-a"]["metadata"]["labels"] = labels


@pytest.mark.parametrize("level", ["privileged", "baseline", "restricted"])
def test_a_label_is_fine_and_none_is_warned_of_with_the_command(level, api, diagnose, one) -> None:
    label(api, **{ENFORCE: level})
    assert one(diagnose(), "namespace", "Pod Security label").found == level
    label(api)
    found = one(diagnose(), "namespace", "Pod Security label")
    assert (found.verdict, found.do) == (WARNING, f"kubectl label namespace team-a {ENFORCE}=restricted --overwrite")


def test_a_namespace_that_is_not_there_is_made_with_its_label(diagnose, one) -> None:
    found = one(diagnose(Wants("team-b")), "namespace", "team-b")
    assert (found.verdict, "kubectl create namespace team-b && kubectl label" in found.do) == (WARNING, True)


def test_a_namespace_that_is_going_is_refused(api, diagnose, one) -> None:
    api.paths["/api/v1/namespaces/team-a"]["status"] = {"phase": "Terminating"}
    assert one(diagnose(), "namespace", "team-a").verdict == NO


@pytest.mark.parametrize(
    ("status", "message", "verdict", "words"),
    [
        (
            403,
            'pods "everloop-doctor-x" is forbidden: violates PodSecurity "restricted:latest": runAsNonRoot != true',
            NO,
            'refused by PodSecurity "restricted:latest": runAsNonRoot',
        ),
        (
            403,
            'pods "x" is forbidden: exceeded quota: team, requested: pods=1, used: pods=5, limited: pods=5',
            NO,
            "exceeded quota: team",
        ),
        (
            403,
            'admission webhook "validate.kyverno.svc" denied the request: images must be signed',
            NO,
            "must be signed",
        ),
        (
            403,
            'pods is forbidden: User "jo" cannot create resource "pods" in API group ""',
            UNKNOWN,
            "right to create pods",
        ),
        (403, "blocked by a proxy", UNKNOWN, "blocked by a proxy"),
        (422, 'Pod "x" is invalid: spec.containers[0].image: Required value', NO, "Required value"),
        (500, "Internal error occurred: failed calling webhook", UNKNOWN, "failed calling webhook"),
    ],
)
def test_admission_has_the_last_word_and_is_quoted(status, message, verdict, words, api, diagnose, one) -> None:
    api.admission = lambda path, body: (status, message) if path.endswith("/pods") else (201, "")
    found = one(diagnose(), "namespace", "a pod as the chart makes it")
    assert (found.verdict, words in found.found) == (verdict, True), found


def test_rendered_pods_are_tried_themselves_without_an_account_that_is_still_to_be_made(api, diagnose, one) -> None:
    seen = []
    api.admission = lambda path, body: (seen.append(body), (201, ""))[1]
    assert (
        one(diagnose(Wants("team-a", objects=(DEPLOYMENT,))), "namespace", "Deployment everloop-gateway").verdict == OK
    )
    [pod] = [body for body in seen if body["kind"] == "Pod"]
    assert "serviceAccountName" not in pod["spec"]
    assert pod["metadata"]["labels"] == {"app": "everloop"}
    assert DEPLOYMENT["spec"]["template"]["spec"]["serviceAccountName"] == "not-there-yet"


@pytest.mark.parametrize(
    ("hard", "used", "verdict", "words"),
    [
        ({"requests.cpu": "2"}, {"requests.cpu": "500m"}, OK, "leaves room"),
        ({"requests.cpu": "2"}, {"requests.cpu": "501m"}, NO, "requests.cpu 1.5 of 1.499 left"),
        ({"memory": "4Gi"}, {"memory": "2Gi"}, NO, "memory 3072Mi of 2048Mi left"),
        ({"pods": "2"}, {}, NO, "pods 3 of 2 left"),
        ({"count/jobs.batch": "0"}, {}, OK, "leaves room"),
    ],
)
def test_a_quota_must_hold_all_replicas_together(hard, used, verdict, words, api, diagnose, one) -> None:
    quota = {"metadata": {"name": "team"}, "status": {"hard": hard, "used": used}}
    api.add("/api/v1/namespaces/team-a/resourcequotas", quota)
    found = one(diagnose(Wants("team-a", objects=(DEPLOYMENT,))), "namespace", "quota team")
    assert (found.verdict, words in found.found) == (verdict, True), found


def test_the_charts_pods_count_with_two_releases_beside_them(api, diagnose, one) -> None:
    quota = {"metadata": {"name": "team"}, "status": {"hard": {"pods": "5", "requests.memory": "64Gi"}}}
    api.add("/api/v1/namespaces/team-a/resourcequotas", quota)
    chart = Chart.model_validate({"home": "s3://bucket/home"})
    on_kserve = Wants().settings.model_copy(
        update={"rollout": Wants().settings.rollout.model_copy(update={"predictors": "kserve"})}
    )
    found = one(diagnose(Wants("team-a", settings=on_kserve, chart=chart)), "namespace", "quota team")
    assert "pods 6 of 5 left" in found.found
    assert "memory" not in re.sub("quota", "", found.found)
