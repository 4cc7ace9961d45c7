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
    asked = wants.asks("HTTPRoute")
    if not kinds.serves(cluster, "gateway.networking.k8s.io/v1", "HTTPRoute"):
        yield Finding(AREA, "HTTPRoute", NO, "not installed (gateway.networking.k8s.io/v1)", INSTALL, asked)
        return
    yield Finding(AREA, "version", OK, _version(cluster), asked=asked)
    yield from _classes(cluster, asked)
    for route in wants.of_kind("HTTPRoute"):
        yield from _parents(cluster, wants, route)


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


def _parents(cluster: Cluster, wants: Wants, route: Json) -> Iterator[Finding]:
    """A route to a Gateway that is not there carries nothing, and says so only in its status."""
    for parent in (route.get("spec") or {}).get("parentRefs") or ():
        if parent.get("kind", "Gateway") != "Gateway":
            continue
        namespace = parent.get("namespace") or (route.get("metadata") or {}).get("namespace") or wants.namespace
        name = f"{namespace}/{parent.get('name')}"
        answer = cluster.get(f"{ROOT}/namespaces/{namespace}/gateways/{parent.get('name')}")
        made = any(each["metadata"].get("name") == parent.get("name") for each in wants.of_kind("Gateway"))
        if answer.ok:
            ready = _is(answer.body, "Programmed")
            found = "programmed" if ready else "not programmed yet"
            yield Finding(
                AREA,
                f"Gateway {name}",
                OK if ready else WARNING,
                found,
                "" if ready else f"kubectl -n {namespace} describe gateway {parent.get('name')}",
            )
        elif answer.missing and not made:
            do = f"kubectl get gateways -A   (then name one of them in {title(route)})"
            yield Finding(AREA, f"Gateway {name}", NO, f"{title(route)} names it, and it does not exist", do)
        elif not answer.missing:
            yield Finding(AREA, f"Gateway {name}", UNKNOWN, answer.why)


def _is(thing: Json, condition: str) -> bool:
    said = (thing.get("status") or {}).get("conditions") or ()
    return any(each.get("type") == condition and each.get("status") == "True" for each in said)
