"""A release as an InferenceService: what KServe is asked for, as a plain dict.

>>> inference_service(digest, settings, "s3://everloop/home")
{'apiVersion': 'serving.kserve.io/v1beta1', 'kind': 'InferenceService', 'metadata': {'name': 'everloop-9f2c4ab0d1e2', ...

A pure function: the same digest, settings and home give the same object, spelt as KServe and the API server store it, so
that git and the cluster never differ. It is never changed while a release lives but for its settings (another image).

Learnt from KServe 0.16 to 0.21, and held by tests:
- `serving.kserve.io/deploymentMode: Standard` is understood by all of them; from 0.17 on the older name RawDeployment is
  rewritten by KServe's webhook, which git would see as a difference.
- Labels and annotations of the InferenceService go on to the pods: a label that changes with the release's role, or an
  annotation as a memory, would start the pods anew. So what changes (which release leads, since when one is idle) lies
  elsewhere: in ConfigMap `everloop-model` and in the home.
- KServe adds default resources where requests or limits are missing, so all four are written.
- Knative refuses pods with a grace period, a pod-wide security context, init containers or spread constraints; they are
  written in Standard mode only, and the container carries a security context that is enough by itself.
- The storage initializer has no security context of its own up to 0.20 (kserve/kserve#5373), so a namespace of the
  level "restricted" refuses its pods: by default the predictor reads its release itself (`kserve.storage`).
"""

import os
from typing import Any
from urllib.parse import urlsplit

from components.recsys.errors import InputError
from components.recsys.release import SHORT
from components.recsys.settings import KServeSettings, Settings
from components.recsys.version import VERSION
from serving.kserve.quantities import amount, canonical

Json = dict[str, Any]

API = "serving.kserve.io/v1beta1"
KIND, PLURAL = "InferenceService", "inferenceservices"
CONTAINER = "kserve-container"  # the name by which KServe finds the predictor among a pod's containers
PORT = 8080
MODELS = "/mnt/models"  # where KServe's storage initializer puts them

MODE = "serving.kserve.io/deploymentMode"
AUTOSCALER = "serving.kserve.io/autoscalerClass"
STORAGE_SECRET = "serving.kserve.io/storageSecretName"
DIGEST, RELEASE, HOME = "everloop.dev/digest", "everloop.dev/release", "everloop.dev/home"
MANAGED_BY = "app.kubernetes.io/managed-by"
BY_GIT, BY_ENGINE = "everloop-gitops", "everloop-rollout"
COMPONENT = "predictor"
MODES = {"standard": "Standard", "knative": "Knative"}

STORE_KEYS = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_ENDPOINT_URL", "AWS_REGION")
SPARE_SECONDS = 5  # of the grace period, for the process itself to end after its last answer


def name_of(digest: str) -> str:
    """The InferenceService's name, and with KServe's ending `-predictor` that of its Service."""
    return f"everloop-{checked(digest)[:SHORT]}"


def inference_service(digest: str, settings: Settings, home_url: str, managed_by: str = BY_GIT) -> Json:
    """The object of a release. managed_by: who makes and deletes it. Raises InputError for a home that pods cannot reach,
    and for settings that Kubernetes would refuse."""
    wanted = settings.kserve
    if urlsplit(home_url).scheme != "s3":
        raise InputError(
            f"{home_url} is not in object storage, so pods cannot read releases from it; give s3://BUCKET/PREFIX"
        )
    predictor: Json = {**wanted.pod, **_scaling(wanted), "timeout": wanted.timeout_seconds}
    predictor |= {
        "serviceAccountName": wanted.service_account,
        "automountServiceAccountToken": False,  # a predictor asks nothing of Kubernetes
        "enableServiceLinks": False,
        "containers": [_container(digest, settings, home_url)],
        "volumes": [*wanted.pod.get("volumes", []), {"name": "tmp", "emptyDir": {}}],
    }
    if wanted.image_pull_secrets:
        predictor["imagePullSecrets"] = [{"name": name} for name in wanted.image_pull_secrets]
    if wanted.mode == "standard":
        predictor |= _standard(digest, settings)
    return {
        "apiVersion": API,
        "kind": KIND,
        "metadata": _metadata(digest, wanted, managed_by, home_url),
        "spec": {"predictor": {key: value for key, value in sorted(predictor.items()) if value not in ("", None)}},
    }


def disruption_budget(digest: str, settings: Settings, managed_by: str = BY_GIT) -> Json | None:
    """What keeps a drain from taking a release's pods all at once; None for one pod, which a drain must be able to move."""
    if settings.kserve.min_replicas < 2:
        return None
    metadata = _metadata(digest, settings.kserve, managed_by)
    del metadata["annotations"]
    return {
        "apiVersion": "policy/v1",
        "kind": "PodDisruptionBudget",
        "metadata": metadata,
        "spec": {"maxUnavailable": 1, "selector": {"matchLabels": {RELEASE: digest[:SHORT]}}},
    }


def image_of(wanted: KServeSettings) -> str:
    """`kserve.image`, else the serving image of this version."""
    registry = os.environ.get("EVERLOOP_REGISTRY", "").rstrip("/")
    return wanted.image or "/".join(filter(None, (registry, f"everloop/serving:{VERSION}")))


def checked(digest: str) -> str:
    """Raises InputError unless it is a whole digest: names and labels are made of it."""
    if len(digest) != 64 or any(character not in "0123456789abcdef" for character in digest):
        raise InputError(
            f"'{digest[:80]}' is no digest: give all of its 64 characters, as `everloop releases --json` does"
        )
    return digest


def _metadata(digest: str, wanted: KServeSettings, managed_by: str, home_url: str = "") -> Json:
    labels = {
        **wanted.labels,
        "app.kubernetes.io/name": "everloop",
        "app.kubernetes.io/part-of": "everloop",
        "app.kubernetes.io/component": COMPONENT,
        MANAGED_BY: managed_by,
        RELEASE: checked(digest)[:SHORT],
    }
    # The home, so that an engine of another one in the same namespace leaves it alone.
    annotations = {**wanted.annotations, DIGEST: digest, HOME: home_url.rstrip("/")}
    if wanted.mode in MODES:
        annotations[MODE] = MODES[wanted.mode]
    if wanted.mode == "standard" and wanted.min_replicas == wanted.max_replicas:
        annotations[AUTOSCALER] = "none"  # so that no metrics server is needed
    if wanted.storage == "initializer" and wanted.storage_secret:
        annotations[STORAGE_SECRET] = wanted.storage_secret
    metadata = {"name": name_of(digest), "labels": labels, "annotations": annotations}
    return metadata | ({"namespace": wanted.namespace} if wanted.namespace else {})


def _scaling(wanted: KServeSettings) -> Json:
    metric = wanted.scale_metric or {"standard": "cpu", "knative": "concurrency"}.get(wanted.mode, "")
    fixed = wanted.min_replicas == wanted.max_replicas
    scale = {} if fixed or not metric else {"scaleMetric": metric, "scaleTarget": wanted.scale_target}
    # 0: no limit of Knative's own; the server batches what arrives together.
    return {"minReplicas": wanted.min_replicas, "maxReplicas": wanted.max_replicas, "containerConcurrency": 0, **scale}


def _standard(digest: str, settings: Settings) -> Json:
    """What only plain Deployments take."""
    wanted = settings.kserve
    return {
        "terminationGracePeriodSeconds": grace_seconds(settings),
        "securityContext": {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}},
        "deploymentStrategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0}},
        "topologySpreadConstraints": wanted.pod.get("topologySpreadConstraints")
        or [
            {
                "maxSkew": 1,
                "topologyKey": "kubernetes.io/hostname",
                "whenUnsatisfiable": "ScheduleAnyway",
                "labelSelector": {"matchLabels": {RELEASE: digest[:SHORT]}},
            }
        ],
    }


def grace_seconds(settings: Settings) -> int:
    """From SIGTERM until the pod is killed: long enough to be left alone first, then to answer what was begun."""
    return settings.kserve.drain_seconds + round(settings.serving.grace_seconds + 0.5) + SPARE_SECONDS


def _container(digest: str, settings: Settings, home_url: str) -> Json:
    wanted = settings.kserve
    release = f"{home_url.rstrip('/')}/releases/{digest}"
    direct = wanted.storage == "direct"
    overrides = {
        "name": settings.serving.name,
        "host": "0.0.0.0",
        "port": PORT,
        "history": "memory://",  # the gateway sends each user's history along
        "drain_seconds": wanted.drain_seconds,
        "grace_seconds": settings.serving.grace_seconds,
    }
    for smaller, larger in ((wanted.cpu_request, wanted.cpu_limit), (wanted.memory_request, wanted.memory_limit)):
        if amount(smaller) > amount(larger):
            raise InputError(f"kserve: a request of {smaller} is above its limit of {larger}; Kubernetes refuses that")
    container: Json = {
        "name": CONTAINER,
        "image": image_of(wanted),
        "imagePullPolicy": "IfNotPresent",
        "command": ["everloop"],
        "args": ["serve", "--model-dir", release if direct else MODELS, "--expect", digest]
        + [f"--set=serving.{name}={value}" for name, value in overrides.items()],
        "env": _keys(wanted) if direct else [{"name": "STORAGE_URI", "value": release}],
        "ports": [{"containerPort": PORT, "name": "http1", "protocol": "TCP"}],  # the name that Knative knows as HTTP/1
        "readinessProbe": _probe("/readyz", periodSeconds=2, failureThreshold=2),
        "livenessProbe": _probe("/healthz", periodSeconds=10, failureThreshold=6),
        "resources": {
            "requests": {"cpu": canonical(wanted.cpu_request), "memory": canonical(wanted.memory_request)},
            "limits": {"cpu": canonical(wanted.cpu_limit), "memory": canonical(wanted.memory_limit)},
        },
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "capabilities": {"drop": ["ALL"]},
            "readOnlyRootFilesystem": True,
            "runAsNonRoot": True,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        # The last lines of the log become the pod's status: why it does not start is read without asking for logs.
        "terminationMessagePolicy": "FallbackToLogsOnError",
        "volumeMounts": [{"name": "tmp", "mountPath": "/tmp"}],
    }
    if wanted.mode == "standard":
        container["startupProbe"] = _probe("/healthz", periodSeconds=2, failureThreshold=-(-wanted.start_seconds // 2))
    return container


def _keys(wanted: KServeSettings) -> list[Json]:
    """The store's keys, each of which may be missing where the pods have an identity of their own."""
    return [
        {"name": key, "valueFrom": {"secretKeyRef": {"name": wanted.storage_secret, "key": key, "optional": True}}}
        for key in STORE_KEYS
        if wanted.storage_secret
    ]


def _probe(path: str, **more: int) -> Json:
    return {"httpGet": {"path": path, "port": PORT}, "timeoutSeconds": 2, **more}
