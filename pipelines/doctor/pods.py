"""The pods that will run: of rendered manifests, or, without them, one as the chart makes it.

>>> [pod.name for pod in pods_of(wants)]
['Deployment everloop-gateway', 'StatefulSet everloop-rollout']
"""

from collections.abc import Iterator
from copy import deepcopy
from dataclasses import dataclass
from fractions import Fraction

from components.recsys.version import VERSION
from pipelines.doctor.cluster import Json
from pipelines.doctor.wants import Wants, title
from serving.kserve.quantities import amount

TEMPLATES = {  # kind -> where its pod's template lies
    "Deployment": ("spec", "template"),
    "StatefulSet": ("spec", "template"),
    "DaemonSet": ("spec", "template"),
    "Job": ("spec", "template"),
    "CronJob": ("spec", "jobTemplate", "spec", "template"),
}
USER = 65532  # of all our images


@dataclass(frozen=True)
class Pod:
    name: str
    spec: Json
    count: int
    labels: Json

    @property
    def images(self) -> list[str]:
        containers = [*(self.spec.get("initContainers") or ()), *(self.spec.get("containers") or ())]
        return [str(each.get("image", "")) for each in containers]

    def needs(self) -> dict[str, Fraction]:
        """What all its replicas take of a quota, by the quota's names."""
        total = {"pods": Fraction(self.count)}
        for container in self.spec.get("containers") or ():
            for side, given in (container.get("resources") or {}).items():
                if side in ("requests", "limits"):
                    for resource, text in (given or {}).items():
                        name = f"{side}.{resource}"
                        total[name] = total.get(name, Fraction(0)) + amount(str(text)) * self.count
        for resource in ("cpu", "memory"):  # a quota may call requests by their bare name
            if f"requests.{resource}" in total:
                total[resource] = total[f"requests.{resource}"]
        return total


def pods_of(wants: Wants) -> Iterator[Pod]:
    found = [each for each in wants.objects if each.get("kind") in TEMPLATES]
    for each in found:
        template: Json = each
        for step in TEMPLATES[each["kind"]]:
            template = template.get(step) or {}
        spec = each.get("spec") or {}
        count = int(spec.get("replicas", 1)) if each["kind"] in ("Deployment", "StatefulSet") else 1
        labels = (template.get("metadata") or {}).get("labels") or {}
        yield Pod(title(each), template.get("spec") or {}, count, labels)
    if not found:
        yield Pod("a pod as the chart makes it", example(), 1, {})


def example() -> Json:
    """Under the restricted profile: kubernetes.io/docs/concepts/security/pod-security-standards/#restricted."""
    return {
        "automountServiceAccountToken": False,
        "securityContext": {"runAsNonRoot": True, "runAsUser": USER, "seccompProfile": {"type": "RuntimeDefault"}},
        "containers": [
            {
                "name": "everloop",
                "image": f"everloop/serving:{VERSION}",
                "securityContext": {
                    "allowPrivilegeEscalation": False,
                    "readOnlyRootFilesystem": True,
                    "capabilities": {"drop": ["ALL"]},
                },
                "resources": {
                    "requests": {"cpu": "100m", "memory": "256Mi"},
                    "limits": {"cpu": "1", "memory": "1Gi"},
                },
                "volumeMounts": [{"name": "tmp", "mountPath": "/tmp"}],
            }
        ],
        "volumes": [{"name": "tmp", "emptyDir": {}}],
    }


def as_object(pod: Pod, namespace: str) -> Json:
    """A Pod to be tried. Its account need not exist yet, and its image is not looked for by a dry run."""
    spec = deepcopy(pod.spec)
    spec.pop("serviceAccountName", None)
    spec.pop("serviceAccount", None)
    metadata = {"generateName": "everloop-doctor-", "namespace": namespace, "labels": dict(pod.labels)}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec}
