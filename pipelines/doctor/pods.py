"""The pods that will run: of rendered manifests, of the chart's values, or else one as the chart makes it.

>>> [pod.name for pod in pods_of(wants)]
['gateway', 'rollout', 'monitor', 'controller', 'predictors of two releases']
"""

from collections.abc import Iterator
from copy import deepcopy
from dataclasses import dataclass, field
from fractions import Fraction

from components.recsys.version import VERSION
from pipelines.chart.pods import Part
from pipelines.chart.values import Chart, Image
from pipelines.doctor.cluster import Json
from pipelines.doctor.wants import Wants, title
from serving.kserve.inference_service import image_of, inference_service
from serving.kserve.quantities import amount

TEMPLATES = {  # kind -> where its pod's template lies
    "Deployment": ("spec", "template"),
    "StatefulSet": ("spec", "template"),
    "DaemonSet": ("spec", "template"),
    "Job": ("spec", "template"),
    "Pod": (),
    "CronJob": ("spec", "jobTemplate", "spec", "template"),
}
USER = 65532  # of all our images
RESTRICTED: Json = {  # kubernetes.io/docs/concepts/security/pod-security-standards/#restricted
    "allowPrivilegeEscalation": False,
    "readOnlyRootFilesystem": True,
    "capabilities": {"drop": ["ALL"]},
}


@dataclass(frozen=True)
class Pod:
    name: str
    spec: Json
    count: int = 1
    labels: Json = field(default_factory=dict)

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
    rendered = [each for each in wants.objects if each.get("kind") in TEMPLATES]
    for each in rendered:
        template: Json = each
        for step in TEMPLATES[each["kind"]]:
            template = template.get(step) or {}
        count = (each.get("spec") or {}).get("replicas", 1) if each["kind"] in ("Deployment", "StatefulSet") else 1
        labels = (template.get("metadata") or {}).get("labels") or {}
        yield Pod(title(each), template.get("spec") or {}, int(count), labels)
    if not rendered and wants.chart:
        yield from _of_chart(wants.chart)
    if not rendered and not wants.chart:
        room = {"requests": {"cpu": "100m", "memory": "256Mi"}, "limits": {"cpu": "1", "memory": "1Gi"}}
        yield _pod("a pod as the chart makes it", f"everloop/serving:{VERSION}", {"resources": room})
    if wants.kserve:
        yield _predictors(wants)


def _of_chart(chart: Chart) -> Iterator[Pod]:
    gateway = chart.gateway
    most = gateway.replicas if gateway.autoscaling.kind == "none" else gateway.autoscaling.min_replicas
    parts: tuple[tuple[str, Part, Image, int], ...] = (
        ("gateway", gateway, chart.image.serving, most),
        ("rollout", chart.rollout, chart.image.serving, 1),
        ("monitor", chart.monitor, chart.image.monitoring, 1),
        ("controller", chart.controller, chart.image.monitoring, 1),
    )
    for name, part, image, count in parts:
        yield _pod(
            name,
            _name_of(chart, image),
            {"resources": part.resources.model_dump(by_alias=True, exclude_none=True)},
            count,
        )


def _predictors(wants: Wants) -> Pod:
    """Of the champion and of a candidate, which run side by side while a release is rolled out."""
    spec = inference_service("0" * 64, wants.settings, "s3://bucket/home")["spec"]["predictor"]
    pod = _pod(
        "predictors of two releases", image_of(wants.settings.kserve), {}, 2 * wants.settings.kserve.min_replicas
    )
    pod.spec["containers"][0]["resources"] = spec["containers"][0].get("resources") or {}
    return pod


def _pod(name: str, image: str, more: Json, count: int = 1) -> Pod:
    container = {"name": "everloop", "image": image, "securityContext": RESTRICTED, **more}
    return Pod(
        name,
        {
            "automountServiceAccountToken": False,
            "securityContext": {"runAsNonRoot": True, "runAsUser": USER, "seccompProfile": {"type": "RuntimeDefault"}},
            "containers": [{**container, "volumeMounts": [{"name": "tmp", "mountPath": "/tmp"}]}],
            "volumes": [{"name": "tmp", "emptyDir": {}}],
        },
        count,
    )


def _name_of(chart: Chart, image: Image) -> str:
    """As the chart's template everloop.image writes it."""
    name = "/".join(filter(None, (chart.image.registry.rstrip("/"), image.repository)))
    return f"{name}@{image.digest}" if image.digest else f"{name}:{image.tag or VERSION}"


def as_object(pod: Pod, namespace: str) -> Json:
    """A Pod to be tried. Its account need not exist yet, and its image is not looked for by a dry run."""
    spec = deepcopy(pod.spec)
    spec.pop("serviceAccountName", None)
    spec.pop("serviceAccount", None)
    metadata = {"generateName": "everloop-doctor-", "namespace": namespace, "labels": dict(pod.labels)}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec}
