"""What Kubernetes never lets an upgrade change, out of rendered objects.

>>> immutables(objects)["Deployment everloop-gateway"]
{'spec.selector': {'matchLabels': {...}}}

`python -m tests.helm.immutables` writes those of this version, to be kept when it is released.
"""

import json
from pathlib import Path
from typing import Any

Json = dict[str, Any]
RELEASED = Path(__file__).parent / "released"
FIELDS = {
    "Deployment": ("spec.selector",),
    "StatefulSet": ("spec.selector", "spec.serviceName", "spec.volumeClaimTemplates", "spec.podManagementPolicy"),
    "Job": ("spec.selector", "spec.template", "spec.completionMode"),
    "PersistentVolumeClaim": ("spec.accessModes", "spec.storageClassName", "spec.volumeMode", "spec.volumeName"),
    "RoleBinding": ("roleRef",),
    "ClusterRoleBinding": ("roleRef",),
    "Service": ("spec.clusterIP", "spec.clusterIPs"),
    "Secret": ("type",),
    "ConfigMap": ("immutable",),
}
# Installations as people have them: values, by name.
INSTALLATIONS: dict[str, Json] = {
    "default": {"home": "s3://bucket/home"},
    "several": {
        "home": "s3://bucket/home",
        "gateway": {"history": {"existingSecret": "redis"}, "autoscaling": {"kind": "hpa"}},
        "controller": {"database": {"existingSecret": "database"}},
    },
    "git": {"home": "s3://bucket/home", "settings": {"rollout": {"kserve": "follow"}}},
}


def immutables(objects: list[Json]) -> dict[str, Json]:
    """By kind and name. Objects without such fields are left out."""
    return {
        f"{one['kind']} {one['metadata']['name']}": {path: at(one, path) for path in FIELDS[one["kind"]]}
        for one in objects
        if one["kind"] in FIELDS
    }


def at(one: Any, path: str) -> Any:
    for name in path.split("."):
        one = one.get(name) if isinstance(one, dict) else None
    return one


def current() -> dict[str, dict[str, Json]]:
    from tests.helm.charts import render

    return {name: immutables(render("helm4", values)) for name, values in INSTALLATIONS.items()}


if __name__ == "__main__":
    from components.recsys.version import VERSION

    RELEASED.mkdir(exist_ok=True)
    (RELEASED / f"{VERSION}.json").write_text(json.dumps(current(), indent=1, sort_keys=True) + "\n")
