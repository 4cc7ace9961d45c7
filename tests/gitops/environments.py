"""The committed environments, rendered as Argo CD renders them: kustomize for the overlay, helm for the chart.

>>> Rendered.of("staging").objects
[{'apiVersion': 'v1', 'kind': 'Namespace', ...}, ...]
"""

import functools
import json
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from components.recsys.datasets import cache_folder
from pipelines.gitops.environments import Environment

Json = dict[str, Any]
ROOT = Path(__file__).parents[2]
OVERLAYS = ROOT / "manifests" / "overlays"
CHART = ROOT / "helm" / "everloop"
NAMES = sorted(path.name for path in OVERLAYS.iterdir() if path.is_dir())
# Of other projects, as a cluster that has them all says; the chart makes its optional objects then.
APIS = (
    "monitoring.coreos.com/v1",
    "monitoring.coreos.com/v1/ServiceMonitor",
    "monitoring.coreos.com/v1/PodMonitor",
    "monitoring.coreos.com/v1/PrometheusRule",
)
CRDS = {
    "InferenceService": "kserve/serving.kserve.io_inferenceservices.yaml",
    "Application": "argo-cd/application-crd.yaml",
    "ApplicationSet": "argo-cd/applicationset-crd.yaml",
    "AppProject": "argo-cd/appproject-crd.yaml",
    "Pipeline": "kubeflow-pipelines/pipelines.kubeflow.org_pipelines.yaml",
    "PipelineVersion": "kubeflow-pipelines/pipelines.kubeflow.org_pipelineversions.yaml",
}


def program(name: str) -> str:
    return str(cache_folder() / "tools" / name)


def output(*command: str) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr
    return done.stdout


@functools.cache
def kustomized(folder: Path, kubectl: str = "kubectl") -> list[Json]:
    return list(yaml.safe_load_all(output(program(kubectl), "kustomize", str(folder))))


@functools.cache
def charted(name: str, namespace: str, helm: str = "helm4") -> list[Json]:
    apis = [word for api in APIS for word in ("--api-versions", api)]
    values = str(OVERLAYS / name / "values.yaml")
    text = output(program(helm), "template", "everloop", str(CHART), "-n", namespace, "-f", values, *apis)
    found = [one for one in yaml.safe_load_all(text) if one]
    # Argo CD has no phase for helm's tests, so it does not make them.
    return [one for one in found if "helm.sh/hook" not in one["metadata"].get("annotations", {})]


@dataclass(frozen=True)
class Rendered:
    environment: Environment
    overlay: list[Json]
    chart: list[Json]

    @classmethod
    @functools.cache
    def of(cls, name: str) -> "Rendered":
        environment = of(name)
        return cls(environment, kustomized(OVERLAYS / name), charted(name, environment.namespace))

    @property
    def objects(self) -> list[Json]:
        return [*self.overlay, *self.chart]

    def one(self, kind: str, name: str) -> Json:
        (found,) = (one for one in self.objects if (one["kind"], one["metadata"]["name"]) == (kind, name))
        return found

    def settings(self) -> Json:
        """What the parts are told by the chart."""
        return dict(json.loads(self.one("ConfigMap", "everloop-settings")["data"]["settings.json"]))


def of(name: str) -> Environment:
    facts = yaml.safe_load((OVERLAYS / name / "environment.yaml").read_text())
    values = yaml.safe_load((OVERLAYS / name / "values.yaml").read_text())
    return Environment(name, facts["namespace"], facts["promotion"], values["home"], values)


def identity(one: Json) -> tuple[str, str, str, str]:
    """Group, kind, namespace and name: what no two objects of a cluster may share."""
    meta = one["metadata"]
    return one["apiVersion"].rpartition("/")[0], one["kind"], meta.get("namespace", ""), meta["name"]


def pods(objects: list[Json]) -> list[tuple[str, Json]]:
    """Name and pod of everything that makes pods."""
    found = []
    for one in objects:
        spec = one.get("spec", {})
        spec = spec.get("jobTemplate", {}).get("spec", spec)
        if "template" in spec:
            found.append((one["metadata"]["name"], spec["template"]))
    return found
