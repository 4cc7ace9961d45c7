"""Gateway API: which version, whose classes, which Gateways; an HTTPRoute needs all three."""

from collections.abc import Iterator

from pipelines.doctor import kinds
from pipelines.doctor.cluster import Cluster, Json
from pipelines.doctor.findings import NO, OK, UNKNOWN, WARNING, Finding, Unanswered
from pipelines.doctor.wants import Wants, title

AREA = "Gateway API"
ROOT = "/apis/gateway.networking.k8s.io/v1"
BUNDLE, CHANNEL = "gateway.networking.k8s.io/bundle-version", "gateway.networking.k8s.io/channel"
INSTALL = "install a gateway and its definitions: https://gateway-api.sigs.k8s.io/implementations/"


def check(cluster: Cluster, wants: Wants) -> Iterator[Finding]:
    asked = wants.asks("HTTPRoute") or bool(wants.settings.kserve.gateway)
    if not kinds.serves(cluster, "gateway.networking.k8s.io/v1", "HTTPRoute"):
        yield Finding(AREA, "HTTPRoute", NO, "not installed (gateway.networking.k8s.io/v1)", INSTALL, asked)
        return
    yield Finding(AREA, "version", OK, _version(cluster), asked=asked)
    yield from _classes(cluster, asked)
    for name, why in sorted(_named(wants).items()):
        yield _gateway(cluster, wants, name, why)


def _version(cluster: Cluster) -> str:
    try:
        said = kinds.annotations(kinds.definition(cluster, "httproutes.gateway.networking.k8s.io"))
    except Unanswered:
        said = {}
    version = said.get(BUNDLE, "version not told").removeprefix("v")
    return f"{version}, {said[CHANNEL]} channel" if CHANNEL in said else version


def _classes(cluster: Cluster, asked: bool) -> Iterator[Finding]:
    classes = cluster.items(f"{ROOT}/gatewayclasses")
    accepted = [each["metadata"]["name"] for each in classes if _is(each, "Accepted")]
    waiting = [each["metadata"]["name"] for each in classes if not _is(each, "Accepted")]
    if accepted:
        yield Finding(AREA, "GatewayClass", OK, ", ".join(accepted), asked=asked)
    else:
        found = f"no controller has accepted {', '.join(waiting)}" if waiting else "none: nobody makes Gateways real"
        yield Finding(AREA, "GatewayClass", NO, found, INSTALL, asked)


def _named(wants: Wants) -> dict[str, str]:
    """NAMESPACE/NAME of every Gateway that is named -> by what."""
    named = {}
    for route in wants.of_kind("HTTPRoute"):
        home = (route.get("metadata") or {}).get("namespace") or wants.namespace
        for parent in (route.get("spec") or {}).get("parentRefs") or ():
            if parent.get("kind", "Gateway") == "Gateway":
                named[f"{parent.get('namespace') or home}/{parent.get('name')}"] = title(route)
    if wants.chart and wants.chart.gateway.http_route.enabled:
        for each in wants.chart.gateway.http_route.parent_refs:
            named[f"{each.namespace or wants.namespace}/{each.name}"] = "gateway.httpRoute.parentRefs"
    if wants.settings.kserve.gateway:
        named[wants.settings.kserve.gateway] = "settings.kserve.gateway"
    return named


def _gateway(cluster: Cluster, wants: Wants, full: str, why: str) -> Finding:
    """A route to a Gateway that is not there carries nothing, and says so only in its status."""
    namespace, _, name = full.rpartition("/")
    looked_at = f"Gateway {full}"
    answer = cluster.get(f"{ROOT}/namespaces/{namespace or wants.namespace}/gateways/{name}")
    if answer.ok and _is(answer.body, "Programmed"):
        return Finding(AREA, looked_at, OK, "programmed")
    if answer.ok:
        do = f"kubectl -n {namespace} describe gateway {name}"
        return Finding(AREA, looked_at, WARNING, "not programmed: its address does not answer yet", do)
    if not answer.missing:
        return Finding(AREA, looked_at, UNKNOWN, answer.why)
    if any(each["metadata"].get("name") == name for each in wants.of_kind("Gateway")):
        return Finding(AREA, looked_at, OK, "among the manifests")
    return Finding(AREA, looked_at, NO, f"{why} names it, and it does not exist", "kubectl get gateways -A")


def _is(thing: Json, condition: str) -> bool:
    said = (thing.get("status") or {}).get("conditions") or ()
    return any(each.get("type") == condition and each.get("status") == "True" for each in said)
