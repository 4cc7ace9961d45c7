"""KServe: its version, its modes, and which splits of traffic it would ignore without a word.

The version is the controller's image tag; else what its ConfigMap's images say; else what the definition's shape
leaves (each of these fields came with one version: config/crd/full/serving.kserve.io_inferenceservices.yaml).
"""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TypeVar

from components.recsys.errors import EverloopError
from pipelines.doctor import kinds
from pipelines.doctor.checks.namespace import ENFORCE
from pipelines.doctor.cluster import Cluster, Json
from pipelines.doctor.findings import NO, OK, UNKNOWN, WARNING, Finding, Unanswered
from pipelines.doctor.versions import Version, of_image
from pipelines.doctor.wants import Wants, title
from pipelines.doctor.workloads import KSERVE, Program, running
from serving.kserve.inference_service import API, MODE, PLURAL, inference_service
from serving.kserve.modes import KNATIVE, KNOWS_CANARY, STANDARD, Answer, mode_of, split

T = TypeVar("T")
AREA = "KServe"
OLDEST, NEWEST = Version(0, 16), Version(0, 21)
CRD = "inferenceservices.serving.kserve.io"
SHAPES = (  # a field of the definition -> the first version that has it
    ("spec.canary", Version(0, 20)),
    ("spec.predictor.logger.batchSize", Version(0, 17)),
    ("spec.predictor.logger.storage", Version(0, 16)),
)
INSTALL = "https://kserve.github.io/website/docs/admin-guide/overview"


@dataclass(frozen=True)
class KServe:
    """What was found out; None where it could not be."""

    program: Program | None
    version: Version | None  # exactly; None when only the shape is known
    at_least: Version | None  # by the definition's shape
    config: Json | None  # the ConfigMap inferenceservice-config: section -> its JSON
    default_mode: str | None
    knative: bool | None
    gateway_api: bool | None  # told to use it, and it is there


def check(cluster: Cluster, wants: Wants) -> Iterator[Finding]:
    if not kinds.serves(cluster, "serving.kserve.io/v1beta1", "InferenceService"):
        do = f"install KServe {NEWEST.major}.{NEWEST.minor}: {INSTALL}"
        yield Finding(AREA, "InferenceService", NO, "KServe is not installed", do, wants.kserve)
        return
    found = look(cluster)
    yield _version(found, wants)
    yield from _shape(found)
    yield from _modes(found, wants)
    yield from _splits(found, wants)
    yield from _taken(cluster, wants)
    yield from _storage(cluster, found, wants)


def look(cluster: Cluster) -> KServe:
    program = _or_none(lambda: running(cluster, KSERVE))
    config = _or_none(lambda: _config(cluster, program.namespace if program else "kserve"))
    version = (program and program.version) or _by_images(config)
    at_least = _or_none(lambda: _by_shape(kinds.schema_of(cluster, CRD, "v1beta1")))
    routes = _or_none(lambda: kinds.serves(cluster, "gateway.networking.k8s.io/v1", "HTTPRoute"))
    ingress = None if config is None else config.get("ingress") or {}
    told = (
        None if ingress is None else bool(ingress.get("enableGatewayApi")) and not ingress.get("disableIngressCreation")
    )
    return KServe(
        program=program,
        version=version or None,
        at_least=at_least,
        config=config,
        default_mode=None
        if config is None
        else mode_of(str((config.get("deploy") or {}).get("defaultDeploymentMode") or STANDARD)),
        knative=_or_none(lambda: kinds.serves(cluster, "serving.knative.dev/v1", "Service")),
        gateway_api=None if told is None or routes is None else told and routes,
    )


def _version(found: KServe, wants: Wants) -> Finding:
    program, version = found.program, found.version
    if program and not program.ready:
        do = f"kubectl -n {program.namespace} describe deployment {program.name}"
        return Finding(
            AREA,
            "controller",
            NO,
            f"{program.name} has no ready pod: nothing acts on InferenceServices",
            do,
            wants.kserve,
        )
    if version is None:
        least = (
            f"at least {found.at_least.major}.{found.at_least.minor} by its definition"
            if found.at_least
            else "not told"
        )
        do = "kubectl get deployments -A -l control-plane=kserve-controller-manager -o wide"
        return Finding(
            AREA,
            "version",
            UNKNOWN,
            f"{least}; the controller's image is not visible or has no version",
            do,
            wants.kserve,
        )
    if version < OLDEST:
        do = f"upgrade KServe to {NEWEST.major}.{NEWEST.minor}: {INSTALL}"
        return Finding(AREA, "version", NO, f"{version}, older than {OLDEST.major}.{OLDEST.minor}", do, wants.kserve)
    if version[:2] > NEWEST[:2]:
        return Finding(
            AREA, "version", WARNING, f"{version}, newer than {NEWEST.major}.{NEWEST.minor}, up to which we have looked"
        )
    return Finding(AREA, "version", OK, str(version))


def _shape(found: KServe) -> Iterator[Finding]:
    """A helm upgrade leaves definitions as they were: the controller then knows fields that the API server drops."""
    if found.version and found.at_least and found.version >= OLDEST:
        due = next(first for _, first in SHAPES if found.version >= first)
        if found.at_least < due:
            yield Finding(
                AREA,
                "definition",
                WARNING,
                f"of {found.at_least.major}.{found.at_least.minor}, the controller is {found.version}: newer fields are dropped",
                f"apply the definitions of {found.version}: {INSTALL}",
            )


def _modes(found: KServe, wants: Wants) -> Iterator[Finding]:
    if found.default_mode is None:
        yield Finding(
            AREA, "default mode", UNKNOWN, "the ConfigMap inferenceservice-config cannot be read", asked=wants.kserve
        )
        return
    do = f"annotate InferenceServices with {MODE}: {STANDARD} (Everloop does), or install Knative Serving"
    if found.default_mode == KNATIVE and found.knative is False:
        yield Finding(
            AREA,
            "default mode",
            WARNING,
            "Knative, which is not installed: a service that names no mode never gets ready",
            do,
        )
    elif found.default_mode not in (STANDARD, KNATIVE):
        yield Finding(AREA, "default mode", WARNING, f"{found.default_mode}, of which Everloop makes no use", do)
    else:
        yield Finding(AREA, "default mode", OK, found.default_mode)
    ingress = (found.config or {}).get("ingress") or {}
    if ingress.get("enableGatewayApi") and found.gateway_api is False and not ingress.get("disableIngressCreation"):
        yield Finding(
            AREA, "ingress", NO, "KServe is told to use Gateway API, which is not installed: its controller does not start",
            "install Gateway API, or set ingress.enableGatewayApi to false in inferenceservice-config", wants.kserve,
        )  # fmt: skip
    if wants.settings.kserve.mode == "knative" and found.knative is False:
        do = "install Knative Serving, or set kserve.mode=standard"
        yield Finding(
            AREA, "kserve.mode", NO, "knative is asked for, and Knative Serving is not installed", do, wants.kserve
        )
    usable = [STANDARD] + ([KNATIVE] if found.knative else [])
    unsure = "" if found.knative is not None else " (whether Knative is there could not be seen)"
    yield Finding(AREA, "modes", OK, f"{' and '.join(usable)}{unsure}")


def _storage(cluster: Cluster, found: KServe, wants: Wants) -> Iterator[Finding]:
    """The storage initializer has no security context up to 0.20 (kserve/kserve#5373)."""
    namespace = wants.settings.kserve.namespace or wants.namespace
    if wants.settings.kserve.storage != "initializer":
        return
    level = kinds.labels(cluster.get(f"/api/v1/namespaces/{namespace}").must()).get(ENFORCE)
    if level == "restricted" and (found.version is None or found.version < NEWEST):
        why = f"namespace {namespace} is restricted and refuses the storage initializer of KServe {found.version or 'up to 0.20'}"
        verdict = NO if found.version else UNKNOWN
        yield Finding(AREA, "kserve.storage", verdict, why, "everloop doctor --set kserve.storage=direct", wants.kserve)


def _splits(found: KServe, wants: Wants) -> Iterator[Finding]:
    """What nobody asked for is said once, for the default mode; what somebody asked for, of each object."""
    services = wants.of_kind("InferenceService")
    asking = [each for each in services if _percent(each) is not None or _spec(each).get("canary")]
    for each in asking:
        yield from _split_of(found, each)
    if not asking:
        mode = found.default_mode or STANDARD
        yield _said("canaryTrafficPercent", split("percent", OLDEST[:2], mode), asked=False)
        yield _canary(found, STANDARD, "spec.canary", asked=False)


def _split_of(found: KServe, service: Json) -> Iterator[Finding]:
    given = kinds.annotations(service).get(MODE, "")
    mode = mode_of(given) or found.default_mode
    name = title(service)
    if mode is None:
        yield Finding(
            AREA, name, UNKNOWN, "asks for a split of traffic, and the mode is not known", f"annotate it with {MODE}"
        )
        return
    if mode == KNATIVE and found.knative is False:
        yield Finding(
            AREA, name, NO, "asks for Knative mode, and Knative Serving is not installed", "install Knative Serving"
        )
    if _percent(service) is not None:
        yield _said(f"{name}: canaryTrafficPercent", split("percent", OLDEST[:2], mode))
    if _spec(service).get("canary"):
        if given != STANDARD:
            why = f"KServe's webhook takes it only with the annotation {MODE}: {STANDARD}, spelled out"
            yield Finding(AREA, f"{name}: spec.canary", NO, why, f"annotate it with {MODE}={STANDARD}")
        else:
            yield _canary(found, mode, f"{name}: spec.canary", asked=True)


def _canary(found: KServe, mode: str, looked_at: str, asked: bool) -> Finding:
    """By the exact version; where the definition is older than the controller, or all that is known, by the definition."""
    version, shape = found.version, found.at_least
    if shape and shape < KNOWS_CANARY and (version is None or version > shape):
        version = shape
    if version is None:
        return Finding(AREA, looked_at, UNKNOWN, "depends on the version, which is not known", asked=asked)
    numbers = (version.major, version.minor)
    if found.gateway_api is None and split("spec", numbers, mode, gateway_api=True).works:
        return Finding(AREA, looked_at, UNKNOWN, "depends on Gateway API, which could not be seen", asked=asked)
    return _said(looked_at, split("spec", numbers, mode, bool(found.gateway_api)), asked)


def _said(looked_at: str, answer: Answer, asked: bool = True) -> Finding:
    if answer.works:
        return Finding(AREA, looked_at, OK, "splits traffic", asked=asked)
    do = (
        "leave it out: Everloop's gateway splits between two InferenceServices in every version and mode"
        if asked
        else ""
    )
    return Finding(AREA, looked_at, NO, f"would be ignored: {answer.why}", do, asked)


def _taken(cluster: Cluster, wants: Wants) -> Iterator[Finding]:
    """The last word has KServe's own webhook: a release of ours, created as a dry run."""
    namespace = wants.settings.kserve.namespace or wants.namespace
    home = wants.home if wants.home.startswith("s3://") else "s3://bucket/home"
    try:
        ours = inference_service("0" * 64, wants.settings, home)
    except EverloopError as error:
        yield Finding(AREA, "a release of ours", NO, str(error), "change the settings kserve.*", wants.kserve)
        return
    ours["metadata"] |= {"namespace": namespace, "name": "everloop-doctor"}
    answer = cluster.create(f"/apis/{API}/namespaces/{namespace}/{PLURAL}", ours)
    looked_at = "a release of ours"
    said = str(answer.body.get("message") or answer.why)
    if answer.ok:
        yield Finding(AREA, looked_at, OK, "would be taken (dry run)", asked=wants.kserve)
    elif answer.missing:
        yield Finding(AREA, looked_at, UNKNOWN, f"namespace {namespace} does not exist yet", asked=wants.kserve)
    elif answer.status in (0, 401, 429) or "cannot create resource" in said:
        yield Finding(AREA, looked_at, UNKNOWN, answer.why, asked=wants.kserve)
    elif "failed calling webhook" in said:
        do = "kubectl get endpointslices -A | grep kserve-webhook"
        yield Finding(AREA, looked_at, NO, f"KServe's webhook does not answer: {said}", do, wants.kserve)
    elif answer.status >= 500:
        yield Finding(AREA, looked_at, UNKNOWN, answer.why, asked=wants.kserve)
    else:
        yield Finding(AREA, looked_at, NO, f"would be refused: {said}", "change the settings kserve.*", wants.kserve)


def _config(cluster: Cluster, namespace: str) -> Json:
    data = cluster.get(f"/api/v1/namespaces/{namespace}/configmaps/inferenceservice-config").must().get("data") or {}
    sections: Json = {}
    for name, text in data.items():
        try:
            sections[name] = json.loads(text)
        except ValueError:
            continue  # _example holds comments
    return {name: value for name, value in sections.items() if isinstance(value, dict)}


def _by_images(config: Json | None) -> Version | None:
    for section in ("agent", "router", "storageInitializer"):
        version = of_image(str(((config or {}).get(section) or {}).get("image") or ""))
        if version and version.major == 0 and version.minor:  # KServe's own numbers; a mirror may count in its own way
            return version
    return None


def _by_shape(schema: Json) -> Version | None:
    for path, first in SHAPES:
        has = kinds.has_field(schema, path)
        if has is None:
            return None  # the minimal definition keeps everything and says nothing
        if has:
            return first
    return Version(0, 15)


def _spec(service: Json) -> Json:
    return service.get("spec") or {}


def _percent(service: Json) -> object:
    return (_spec(service).get("predictor") or {}).get("canaryTrafficPercent")


def _or_none(ask: Callable[[], T]) -> T | None:
    try:
        return ask()
    except Unanswered:
        return None
