"""Which kinds a cluster knows, and which fields of them it keeps.

>>> serves(cluster, "gateway.networking.k8s.io/v1", "HTTPRoute")
True
>>> dropped({"spec": {"canary": []}}, schema_of(cluster, "inferenceservices.serving.kserve.io", "v1beta1"))
['spec.canary']

Discovery is open to everybody who may log in, definitions (CRDs) are not. A field that a definition does not name is
dropped by the API server without a word ("pruning"): kubernetes.io/docs/tasks/extend-kubernetes/custom-resources/
custom-resource-definitions/#field-pruning.
"""

from collections.abc import Iterator
from typing import Any

from pipelines.doctor.cluster import Cluster, Json
from pipelines.doctor.findings import Unanswered

ALWAYS = ("apiVersion", "kind", "metadata")  # the API server's own, in every object


def serves(cluster: Cluster, api_version: str, kind: str) -> bool:
    """Raises Unanswered."""
    root = f"/apis/{api_version}" if "/" in api_version else f"/api/{api_version}"
    answer = cluster.get(root)
    return not answer.missing and any(each.get("kind") == kind for each in answer.must().get("resources") or ())


def definition(cluster: Cluster, name: str) -> Json | None:
    """A CRD by its name, PLURAL.GROUP; None when it is not there. Raises Unanswered."""
    answer = cluster.get(f"/apis/apiextensions.k8s.io/v1/customresourcedefinitions/{name}")
    return None if answer.missing else answer.must()


def annotations(thing: Json | None) -> dict[str, str]:
    return dict((thing or {}).get("metadata", {}).get("annotations") or {})


def labels(thing: Json | None) -> dict[str, str]:
    return dict((thing or {}).get("metadata", {}).get("labels") or {})


def schema_of(cluster: Cluster, name: str, version: str) -> Json:
    """The schema of one version of a CRD; {} where it has none. Raises Unanswered."""
    found = definition(cluster, name)
    if found is None:
        raise Unanswered(f"{name} is not defined")
    for each in found.get("spec", {}).get("versions") or ():
        if each.get("name") == version:
            return dict((each.get("schema") or {}).get("openAPIV3Schema") or {})
    raise Unanswered(f"{name} has no version {version}")


def has_field(schema: Json, path: str) -> bool | None:
    """Whether a schema names a field (`spec.canary`); None where it keeps whatever it is given, and so says nothing."""
    below: Json = schema
    for part in path.split("."):
        if below.get("x-kubernetes-preserve-unknown-fields"):
            return None
        inside = (below.get("items") or below).get("properties") or {}
        if part not in inside:
            return False
        below = inside[part]
    return True


def dropped(thing: Any, schema: Json) -> list[str]:
    """Paths of an object that the API server would drop."""
    return sorted(set(_dropped(thing, schema, "", ALWAYS)))


def _dropped(thing: Any, schema: Json, path: str, kept: tuple[str, ...] = ()) -> Iterator[str]:
    if isinstance(thing, list):
        for each in thing:
            yield from _dropped(each, schema.get("items") or {}, path + "[]")
        return
    if not isinstance(thing, dict) or not schema or schema.get("x-kubernetes-embedded-resource"):
        return
    known, rest = schema.get("properties") or {}, schema.get("additionalProperties")
    open_ended = bool(schema.get("x-kubernetes-preserve-unknown-fields")) or rest is True
    for name, value in thing.items():
        where = f"{path}.{name}" if path else name
        if name in kept:
            continue
        if name in known:
            yield from _dropped(value, known[name], where)
        elif isinstance(rest, dict):
            yield from _dropped(value, rest, where)
        elif not open_ended:
            yield where
