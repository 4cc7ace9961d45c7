"""Why a release does not answer: what Kubernetes and KServe report, as the sentence that people get."""

from typing import Any

import pytest

from components.recsys.settings import Settings
from serving.kserve.trouble import last_line, trouble

WANTED = Settings().kserve


def pod(uid: str = "p1", created: str = "2026-11-24T13:30:00Z", **status: Any) -> dict[str, Any]:
    return {"metadata": {"uid": uid, "creationTimestamp": created}, "status": status}


def container(name: str = "kserve-container", restarts: int = 0, **more: Any) -> dict[str, Any]:
    return {"name": name, "restartCount": restarts, "image": "r.example/everloop/serving:0.1.0", **more}


def waiting(reason: str, message: str = "") -> dict[str, Any]:
    return {"waiting": {"reason": reason, "message": message}}


def ended(code: int, message: str = "", reason: str = "Error") -> dict[str, Any]:
    return {"terminated": {"exitCode": code, "reason": reason, "message": message}}


READY = [{"type": "Ready", "status": "True"}]
MISMATCH = "reading s3://b/home\nerror: s3://b/home holds release 111111111111, not 222222222222 that was asked for\n"

CASES = {
    "an image that is not there": (
        [pod(containerStatuses=[container(state=waiting("ImagePullBackOff", "manifest unknown"))])],
        "its image r.example/everloop/serving:0.1.0 cannot be pulled (ImagePullBackOff): manifest unknown",
    ),
    "an image that nobody may pull, where pulling is off": (
        [pod(containerStatuses=[container(state=waiting("ErrImageNeverPull"))])],
        "cannot be pulled (ErrImageNeverPull)",
    ),
    "another release than was asked for": (
        [
            pod(
                containerStatuses=[
                    container(restarts=3, state=waiting("CrashLoopBackOff"), lastState=ended(1, MISMATCH))
                ]
            )
        ],
        "s3://b/home holds release 111111111111, not 222222222222 that was asked for",
    ),
    "it has just fallen and is starting again": (
        [pod(containerStatuses=[container(restarts=1, state={"running": {}}, lastState=ended(1, MISMATCH))])],
        "that was asked for",
    ),
    "a key that the store does not take": (
        [
            pod(
                containerStatuses=[
                    container(state=ended(3, "error: s3://b/home: access denied (InvalidAccessKeyId); check"))
                ]
            )
        ],
        "access denied (InvalidAccessKeyId)",
    ),
    "a bucket that is not there": (
        [pod(containerStatuses=[container(state=ended(3, "error: s3://b/home: the bucket does not exist"))])],
        "the bucket does not exist",
    ),
    "too little memory": (
        [
            pod(
                containerStatuses=[
                    container(restarts=1, state=waiting("CrashLoopBackOff"), lastState=ended(137, "", "OOMKilled"))
                ]
            )
        ],
        "its pod took more memory than its limit of 1Gi: raise kserve.memory_limit",
    ),
    "a Secret that is missing": (
        [
            pod(
                containerStatuses=[
                    container(state=waiting("CreateContainerConfigError", 'secret "everloop-store" not found'))
                ]
            )
        ],
        'cannot be made (CreateContainerConfigError): secret "everloop-store" not found',
    ),
    "the storage initializer's key is wrong": (
        [
            pod(
                initContainerStatuses=[
                    container(
                        "storage-initializer",
                        restarts=2,
                        state=waiting("CrashLoopBackOff"),
                        lastState=ended(1, "Traceback ...\nbotocore.exceptions.ClientError: ... (403) ...: Forbidden"),
                    )
                ],
                containerStatuses=[container(state=waiting("PodInitializing"))],
            )
        ],
        "KServe's storage initializer may not read the store; check Secret everloop-store: botocore",
    ),
    "the storage initializer finds no such bucket": (
        [
            pod(
                initContainerStatuses=[
                    container("storage-initializer", state=ended(1, "... (NoSuchBucket) when calling"))
                ]
            )
        ],
        "KServe's storage initializer does not find the release in the store",
    ),
    "the storage initializer died without a word": (
        [pod(initContainerStatuses=[container("storage-initializer", state=ended(1))])],
        "KServe's storage initializer failed: without a word",
    ),
    "no node has room": (
        [pod(conditions=[{"type": "PodScheduled", "status": "False", "message": "0/3 nodes: Insufficient memory."}])],
        "no node takes its pod: 0/3 nodes: Insufficient memory.",
    ),
    "a sidecar that fails": (
        [pod(containerStatuses=[container("istio-proxy", state=ended(2, "no certificate"))])],
        "its container istio-proxy ended with 2: no certificate",
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_what_pods_say(name: str) -> None:
    pods, sentence = CASES[name]
    found = trouble(None, pods, WANTED)
    assert sentence in found.sentence
    assert "\n" not in found.sentence
    assert found.stuck


QUIET = {
    "no pods yet": [],
    "it starts": [pod(containerStatuses=[container(state={"running": {}})])],
    "it is being made": [pod(containerStatuses=[container(state=waiting("ContainerCreating"))])],
    "its init container works": [
        pod(
            initContainerStatuses=[container("storage-initializer", state={"running": {}})],
            containerStatuses=[container(state=waiting("PodInitializing"))],
        )
    ],
    "it is ready, and fell once long ago": [
        pod(conditions=READY, containerStatuses=[container(restarts=1, state={"running": {}}, lastState=ended(1, "x"))])
    ],
    "its init container is done": [
        pod(initContainerStatuses=[container("storage-initializer", state=ended(0))], containerStatuses=[container()])
    ],
}


@pytest.mark.parametrize("name", QUIET)
def test_what_is_no_trouble(name: str) -> None:
    found = trouble({"status": {}}, QUIET[name], WANTED)
    assert found.sentence == ""
    assert not found.stuck


def test_a_pod_that_is_on_its_way_out_is_nobodys_trouble() -> None:
    old = pod(containerStatuses=[container(state=ended(1, "x"))])
    old["metadata"]["deletionTimestamp"] = "2026-11-24T13:31:00Z"
    assert trouble(None, [old], WANTED).sentence == ""


def test_the_newest_pod_speaks_first() -> None:
    older = pod("p1", "2026-11-24T13:30:00Z", containerStatuses=[container(state=ended(1, "error: the old one"))])
    newer = pod("p2", "2026-11-24T13:40:00Z", containerStatuses=[container(state=ended(1, "error: the new one"))])
    assert trouble(None, [older, newer], WANTED).sentence == "the new one"


def test_ends_are_counted_by_pod() -> None:
    pods = [
        pod("a", containerStatuses=[container(restarts=2)], initContainerStatuses=[container("x", restarts=1)]),
        pod("b", conditions=READY, containerStatuses=[container(restarts=5)]),
        pod("c", containerStatuses=[container()]),
    ]
    assert trouble(None, pods, WANTED).crashes == {"a": 3, "b": 5}


def service(*conditions: dict[str, str], **status: Any) -> dict[str, Any]:
    return {"status": {"conditions": list(conditions), **status}}


def test_what_kserve_says_when_there_are_no_pods() -> None:
    """Pod Security, quotas and a missing ServiceAccount keep pods from being made at all."""
    forbidden = 'pods "x" is forbidden: violates PodSecurity "restricted:latest": allowPrivilegeEscalation != false'
    told = trouble(
        service(
            {"type": "Ready", "status": "False", "reason": "FailedCreate", "message": forbidden},
            {"type": "PredictorReady", "status": "False", "reason": "FailedCreate", "message": forbidden},
            {"type": "IngressReady", "status": "False", "reason": "Predictor ingress not created"},
        ),
        [],
        WANTED,
    )
    assert told.sentence == f"KServe says PredictorReady is False (FailedCreate): {forbidden}"
    assert told.stuck


def test_a_deployment_that_is_only_slow_is_no_trouble() -> None:
    slow = {"status": "False", "reason": "MinimumReplicasUnavailable", "message": "Deployment does not have minimum"}
    told = trouble(service({"type": "PredictorReady", **slow}, {"type": "Ready", **slow}), [], WANTED)
    assert told == ("", {}, False)


def test_what_kserve_says_of_the_model() -> None:
    said = service(modelStatus={"lastFailureInfo": {"reason": "ModelLoadFailed", "message": "not found\nin s3"}})
    assert trouble(said, [], WANTED).sentence == "KServe says: not found in s3"


def test_the_last_line_that_says_anything() -> None:
    assert last_line("a\nerror: b  c\n\n \n") == "b c"
    assert last_line("") == ""
    assert len(last_line("x" * 10_000)) == 300
