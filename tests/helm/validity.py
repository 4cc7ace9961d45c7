"""Whether objects are what Kubernetes 1.32 and 1.37 and the custom resources take, strictly: an unknown field is a fault.

>>> Validity(crds).faults({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "x"}, "spec": {"prots": []}})
["Service x for Kubernetes 1.32: spec: Additional properties are not allowed ('prots' was unexpected)", ...]

Kubernetes' own kinds by the schemas of the package kubernetes-validate; custom ones by their CRDs, closed as
`kubectl --validate=strict` reads them.
"""

import functools
import json
from pathlib import Path
from typing import Any

import jsonschema
import yaml
from kubernetes_validate.utils import schema_contents
from referencing import Registry, Resource

Json = dict[str, Any]
VERSIONS = ("1.32.0", "1.37.0")
CRDS = {
    "ServiceMonitor": "prometheus-operator/monitoring.coreos.com_servicemonitors.yaml",
    "PodMonitor": "prometheus-operator/monitoring.coreos.com_podmonitors.yaml",
    "PrometheusRule": "prometheus-operator/monitoring.coreos.com_prometheusrules.yaml",
    "AlertmanagerConfig": "prometheus-operator/monitoring.coreos.com_alertmanagerconfigs.compact.json",
    "ScaledObject": "keda/keda.sh_scaledobjects.yaml",
    "HTTPRoute": "gateway-api/gateway.networking.k8s.io_httproutes.yaml",
}


class Validity:
    """crds: where the definitions of custom resources lie; None: custom objects are not looked at."""

    def __init__(self, crds: Path | None) -> None:
        self.crds = crds
        self.sound: set[str] = set()  # most objects of two renderings are the same

    def faults(self, one: Json) -> list[str]:
        """Sentences; none for a sound object."""
        text = json.dumps(one, sort_keys=True)
        if text in self.sound:
            return []
        found = [fault for name, checker in self._checkers(one) for fault in told(name, checker, one)]
        if not found:
            self.sound.add(text)
        return found

    def _checkers(self, one: Json) -> list[tuple[str, Any]]:
        if one["kind"] in CRDS and self.crds is None:
            return []
        if one["kind"] in CRDS:
            assert self.crds
            return [("its CRD", crd(self.crds / CRDS[one["kind"]], one["apiVersion"].partition("/")[2]))]
        return [(f"Kubernetes {version[:4]}", native(one["kind"], one["apiVersion"], version)) for version in VERSIONS]


def told(name: str, checker: Any, one: Json) -> list[str]:
    return [
        f"{one['kind']} {one['metadata']['name']} for {name}: {'.'.join(map(str, error.path))}: {error.message[:300]}"
        for error in checker.iter_errors(one)
    ]


@functools.cache
def native(kind: str, api: str, version: str) -> Any:
    group, _, name = api.rpartition("/")
    file = "-".join(filter(None, (kind.lower(), group.partition(".")[0], name))) + ".json"
    schema = schema_contents(f"kubernetes-json-schema/v{version}-local-strict/{file}", version)
    registry: Any = Resource.from_contents(schema) @ Registry()
    return jsonschema.Draft202012Validator(schema, registry=definitions(version) @ registry)


@functools.cache
def definitions(version: str) -> Any:
    return Resource.from_contents(
        schema_contents(f"kubernetes-json-schema/v{version}-local-strict/_definitions.json", version)
    )


@functools.cache
def crd(path: Path, version: str) -> Any:
    given = json.loads(path.read_text()) if path.suffix == ".json" else yaml.load(path.read_text(), yaml.CSafeLoader)
    (found,) = (one for one in given["spec"]["versions"] if one["name"] == version)
    schema = closed(found["schema"]["openAPIV3Schema"])
    schema["properties"] |= {
        "apiVersion": {"type": "string"},
        "kind": {"type": "string"},
        "metadata": {"type": "object"},
    }
    return jsonschema.Draft7Validator(schema)


def closed(given: Any) -> Any:
    """A CRD's schema as JSON Schema in which an unknown field is a fault."""
    if isinstance(given, list):
        return [closed(one) for one in given]
    if not isinstance(given, dict):
        return given
    one = {key: closed(value) for key, value in given.items()}
    if "properties" in one and not one.get("x-kubernetes-preserve-unknown-fields"):
        one.setdefault("additionalProperties", False)
    if one.get("x-kubernetes-int-or-string"):
        one |= {"type": ["integer", "string"]}
        one.pop("anyOf", None)
    if one.get("nullable") and isinstance(one.get("type"), str):
        one["type"] = [one["type"], "null"]
    return one
