"""Volumes: who makes one for a claim that names no class, and whether the classes that are named exist."""

from collections.abc import Iterator

from pipelines.doctor.cluster import Cluster
from pipelines.doctor.findings import NO, OK, WARNING, Finding
from pipelines.doctor.kinds import annotations
from pipelines.doctor.wants import Wants, title

AREA = "volumes"
DEFAULT = "storageclass.kubernetes.io/is-default-class"


def check(cluster: Cluster, wants: Wants) -> Iterator[Finding]:
    classes = cluster.items("/apis/storage.k8s.io/v1/storageclasses")
    names = [each["metadata"]["name"] for each in classes]
    default = [each["metadata"]["name"] for each in classes if annotations(each).get(DEFAULT) == "true"]
    claims = [(title(each), each.get("spec") or {}) for each in wants.of_kind("PersistentVolumeClaim")]
    for stateful in wants.of_kind("StatefulSet"):
        templates = (stateful.get("spec") or {}).get("volumeClaimTemplates") or ()
        claims += [(title(stateful), each.get("spec") or {}) for each in templates]
    unnamed = [name for name, spec in claims if spec.get("storageClassName") is None and not spec.get("volumeName")]
    asked = bool(unnamed) or wants.asks("PersistentVolumeClaim")
    if not default:
        do = f"kubectl annotate storageclass {names[0] if names else 'NAME'} {DEFAULT}=true"
        yield Finding(AREA, "default class", NO, "none: a claim that names no class waits for ever", do, asked)
    elif len(default) > 1:
        yield Finding(
            AREA,
            "default class",
            WARNING,
            f"{' and '.join(default)}: the newest one is taken",
            f"kubectl annotate storageclass {default[0]} {DEFAULT}-",
        )
    else:
        yield Finding(AREA, "default class", OK, default[0])
    for name, spec in claims:
        wanted = spec.get("storageClassName")
        if wanted and wanted not in names:
            yield Finding(AREA, name, NO, f"storage class {wanted} does not exist", "kubectl get storageclass")
