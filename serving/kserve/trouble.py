"""Why a release's pods do not answer, in one sentence, out of what Kubernetes and KServe say of them.

>>> trouble(service, pods, wanted)
Trouble("its image registry.example/everloop/serving:0.1.0 cannot be pulled: ... not found", crashes=0, stuck=True)

Read from the pods first, since they say it in the process's own words (terminationMessagePolicy FallbackToLogsOnError), then
from the InferenceService's conditions. `status.observedGeneration` says nothing here: KServe writes into it the generation
of the Deployment (or of the Knative Service) below, which counts other things than ours, so a comparison with our
metadata.generation would be true or false by chance.
"""

import re
from typing import Any, NamedTuple

from components.recsys.settings import KServeSettings
from serving.kserve.inference_service import CONTAINER

Json = dict[str, Any]

PULLING = ("ErrImagePull", "ImagePullBackOff", "ErrImageNeverPull", "InvalidImageName", "ImageInspectError")
UNMADE = ("CreateContainerConfigError", "CreateContainerError", "RunContainerError")
INITIALIZER = "storage-initializer"
WORDS = 300
# What S3 clients say, in whatever language they are written.
KEYS = re.compile(
    r"InvalidAccessKeyId|SignatureDoesNotMatch|AccessDenied|access denied|Forbidden|\b403\b|NoCredentials"
)
BUCKET = re.compile(r"NoSuchBucket|bucket does not exist|Not Found|\b404\b", re.IGNORECASE)


class Trouble(NamedTuple):
    """sentence: "" for none. crashes: ends of containers, {pod's uid: count}. stuck: it will not start by waiting alone."""

    sentence: str
    crashes: dict[str, int]
    stuck: bool


def trouble(service: Json | None, pods: list[Json], wanted: KServeSettings) -> Trouble:
    crashes = {pod["metadata"]["uid"]: restarts(pod) for pod in pods if restarts(pod)}
    for pod in sorted(pods, key=lambda pod: str(pod["metadata"].get("creationTimestamp")), reverse=True):
        if not _ready(pod) and "deletionTimestamp" not in pod["metadata"]:
            sentence = _of_pod(pod, wanted)
            if sentence:
                return Trouble(sentence, crashes, True)
    sentence = _of_service(service) if service else ""
    return Trouble(sentence, crashes, bool(sentence))


def restarts(pod: Json) -> int:
    return sum(int(one.get("restartCount") or 0) for one in _containers(pod))


def _containers(pod: Json) -> list[Json]:
    status = pod.get("status") or {}
    return [*(status.get("initContainerStatuses") or []), *(status.get("containerStatuses") or [])]


def _ready(pod: Json) -> bool:
    return any(
        one.get("type") == "Ready" and one.get("status") == "True"
        for one in (pod.get("status") or {}).get("conditions") or []
    )


def _of_pod(pod: Json, wanted: KServeSettings) -> str:
    for container in _containers(pod):
        sentence = _of_container(container, wanted)
        if sentence:
            return sentence
    for condition in (pod.get("status") or {}).get("conditions") or []:
        if condition.get("type") == "PodScheduled" and condition.get("status") == "False":
            return f"no node takes its pod: {_words(condition.get('message'))}"
    return ""


def _of_container(container: Json, wanted: KServeSettings) -> str:
    state = container.get("state") or {}
    waiting = state.get("waiting") or {}
    reason = waiting.get("reason") or ""
    if reason in PULLING:
        return f"its image {container.get('image')} cannot be pulled ({reason}): {_words(waiting.get('message'))}"
    if reason in UNMADE:
        return f"its container {container.get('name')} cannot be made ({reason}): {_words(waiting.get('message'))}"
    ended = state.get("terminated") or {}
    if not ended and (reason == "CrashLoopBackOff" or container.get("restartCount")):
        ended = (container.get("lastState") or {}).get("terminated") or {}
    if not ended or not (ended.get("exitCode") or ended.get("signal")):
        return ""
    if ended.get("reason") == "OOMKilled":
        return f"its pod took more memory than its limit of {wanted.memory_limit}: raise kserve.memory_limit"
    last = last_line(str(ended.get("message") or ""))
    if container.get("name") == INITIALIZER:
        return _of_initializer(last, wanted)
    if container.get("name") == CONTAINER and last:
        return last
    return f"its container {container.get('name')} ended with {ended.get('exitCode')}: {last or 'without a word'}"


def _of_initializer(words: str, wanted: KServeSettings) -> str:
    if KEYS.search(words):
        return f"KServe's storage initializer may not read the store; check Secret {wanted.storage_secret}: {words}"
    if BUCKET.search(words):
        return f"KServe's storage initializer does not find the release in the store: {words}"
    return f"KServe's storage initializer failed: {words or 'without a word'}"


def _of_service(service: Json) -> str:
    """A condition that is False with words; of several the one that is not only the sum of the others."""
    status = service.get("status") or {}
    info = ((status.get("modelStatus") or {}).get("lastFailureInfo") or {}).get("message")
    told = [
        one
        for one in status.get("conditions") or []
        if one.get("status") == "False" and (one.get("message") or one.get("reason") == "Stopped")
    ]
    # "Deployment does not have minimum availability" is true of every pod that is still starting.
    told = [one for one in told if one.get("reason") not in ("MinimumReplicasUnavailable", "Stopped")]
    told.sort(key=lambda one: one.get("type") == "Ready")
    if told:
        return f"KServe says {told[0].get('type')} is False ({told[0].get('reason')}): {_words(told[0].get('message'))}"
    return f"KServe says: {_words(info)}" if info else ""


def last_line(text: str) -> str:
    """The last line of a log that says anything, without our own prefix."""
    line = next((line.strip() for line in reversed(text.splitlines()) if line.strip()), "")
    return _words(line.removeprefix("error: "))


def _words(text: Any) -> str:
    return " ".join(str(text or "").split())[:WORDS]
