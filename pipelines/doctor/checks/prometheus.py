"""Whether a Prometheus takes our monitors and rules: one that looks for other labels leaves them alone and says nothing.

prometheus-operator.dev/docs/developer/getting-started/#using-servicemonitors: a selector that is not given (null) takes
nothing, an empty one ({}) everything; without a namespace selector only the Prometheus' own namespace counts.
"""

from collections.abc import Iterator

from pipelines.doctor import kinds
from pipelines.doctor.cluster import Cluster, Json
from pipelines.doctor.findings import NO, OK, UNKNOWN, WARNING, Finding, Unanswered
from pipelines.doctor.wants import Wants

AREA = "Prometheus"
# kind -> (its selector, its namespaces' selector, the value that gives it labels)
SELECTORS = {
    "ServiceMonitor": ("serviceMonitorSelector", "serviceMonitorNamespaceSelector", "monitoring.serviceMonitor.labels"),
    "PrometheusRule": ("ruleSelector", "ruleNamespaceSelector", "monitoring.prometheusRule.labels"),
}


def check(cluster: Cluster, wants: Wants) -> Iterator[Finding]:
    if not kinds.serves(cluster, "monitoring.coreos.com/v1", "Prometheus"):
        return
    servers = cluster.items("/apis/monitoring.coreos.com/v1/prometheuses")
    for kind, (selector, namespaces, value) in SELECTORS.items():
        labels = _labels(wants, kind)
        if labels is None:
            continue
        asked = wants.asks(kind)
        if not servers:
            yield Finding(
                AREA, kind, NO if asked else WARNING, "there is no Prometheus to take it", "kubectl get prometheus -A"
            )
            continue
        try:
            own = kinds.labels(cluster.get(f"/api/v1/namespaces/{wants.namespace}").must())
        except Unanswered as why:
            yield Finding(AREA, kind, UNKNOWN, f"the namespace's labels cannot be read: {why}", asked=asked)
            continue
        own.setdefault("kubernetes.io/metadata.name", wants.namespace)
        takers = [each for each in servers if _takes(each, selector, namespaces, labels, own, wants.namespace)]
        if takers:
            yield Finding(AREA, kind, OK, f"taken by {_name(takers[0])}", asked=asked)
        else:
            wanted = "; ".join(
                f"{_name(each)} wants {_said(each, selector)} in {_said(each, namespaces)}" for each in servers
            )
            yield Finding(AREA, kind, NO if asked else WARNING, f"no Prometheus takes it: {wanted}", f"set {value}")


def _labels(wants: Wants, kind: str) -> dict[str, str] | None:
    """Of ours; None where none will be made."""
    rendered = wants.of_kind(kind)
    if rendered:
        return kinds.labels(rendered[0])
    if wants.chart is None:
        return None
    monitoring = wants.chart.monitoring
    made = monitoring.service_monitor if kind == "ServiceMonitor" else monitoring.prometheus_rule
    if made.enabled is False:
        return None
    return {"app.kubernetes.io/name": "everloop", **wants.chart.common_labels, **made.labels}


def _takes(
    server: Json, selector: str, namespaces: str, labels: dict[str, str], own: dict[str, str], namespace: str
) -> bool:
    spec = server.get("spec") or {}
    where = spec.get(namespaces)
    here = server["metadata"].get("namespace") == namespace if where is None else matches(where, own)
    return here and matches(spec.get(selector), labels)


def matches(selector: Json | None, labels: dict[str, str]) -> bool:
    """A label selector, as the API has it: null matches nothing, {} everything."""
    if selector is None:
        return False
    for name, value in (selector.get("matchLabels") or {}).items():
        if labels.get(name) != value:
            return False
    for each in selector.get("matchExpressions") or ():
        there, values = each["key"] in labels, each.get("values") or ()
        holds = {
            "In": there and labels.get(each["key"]) in values,
            "NotIn": labels.get(each["key"]) not in values,
            "Exists": there,
            "DoesNotExist": not there,
        }
        if not holds.get(str(each.get("operator")), False):
            return False
    return True


def _said(server: Json, selector: str) -> str:
    found = (server.get("spec") or {}).get(selector)
    if found is None:
        return "its own namespace" if "amespace" in selector else "nothing"
    pairs = [f"{name}={value}" for name, value in (found.get("matchLabels") or {}).items()]
    pairs += [
        f"{each['key']} {each['operator']} {' '.join(each.get('values') or ())}".strip()
        for each in found.get("matchExpressions") or ()
    ]
    return ", ".join(pairs) or ("all namespaces" if "amespace" in selector else "all")


def _name(server: Json) -> str:
    return f"{server['metadata'].get('namespace')}/{server['metadata']['name']}"
