"""Every object that this version brings into a cluster, with all optional parts on, as the real programs render them.

>>> [each["kind"] for each in rendered()][:2]
['ServiceAccount', 'ServiceAccount']
>>> images_in(rendered("registry.example:5000/ml"))
['registry.example:5000/ml/everloop/monitoring:0.1.0', ...]
"""

import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import yaml

from components.recsys.datasets import cache_folder
from components.recsys.errors import InputError
from pipelines.images.manifests import images_in, parsed

Json = dict[str, Any]
ROOT = Path(__file__).parents[2]
HOME = "s3://everloop/home"
DIGEST = "0" * 64  # of a release that need not exist
# Whatever could bring one more image.
EVERYTHING = [
    f"home={HOME}",
    "gateway.autoscaling.kind=hpa",
    "gateway.history.existingSecret=history",
    "gateway.httpRoute.enabled=true",
    "gateway.httpRoute.parentRefs[0].name=public",
    "gateway.ingress.enabled=true",
    "gateway.ingress.hosts[0]=shop.example",
    "controller.kubeflow.endpoint=http://ml-pipeline.kubeflow:8888",
    "settings.rollout.predictors=kserve",
    "monitoring.serviceMonitor.enabled=true",
    "monitoring.prometheusRule.enabled=true",
    "monitoring.dashboards.enabled=true",
    "monitoring.alertmanagerConfig.enabled=true",
    "test.enabled=true",
]


def rendered(registry: str = "") -> list[Any]:
    """Documents of the chart, the pipelines, an InferenceService and each overlay; all from `registry` when one is given.

    Raises InputError where helm or kubectl are missing, or refuse.
    """
    overlays = sorted(file.parent for file in (ROOT / "manifests" / "overlays").glob("*/kustomization.yaml"))
    texts = [chart(registry), of_code(registry), *(kustomized(folder, registry) for folder in overlays)]
    return [document for text in texts for document in parsed(text, "what was rendered") if document]


def chart(registry: str = "") -> str:
    sets = [*EVERYTHING, f"image.registry={registry}"]
    given = [part for value in sets for part in ("--set", value)]
    return _said("helm4", "template", "everloop", str(ROOT / "helm" / "everloop"), "--namespace", "everloop", *given)


def kustomized(folder: Path, registry: str = "") -> str:
    """An overlay as it is, or as it is once a registry is written into a kustomization before it."""
    if not registry:
        return _said("kubectl", "kustomize", str(folder))
    text = _said("kubectl", "kustomize", str(folder))
    names = sorted({re.split("[:@]", image)[0] for image in images_in(parsed(text, str(folder)))})
    images = "".join(f"- name: {name}\n  newName: {registry.rstrip('/')}/{name}\n" for name in names)
    with tempfile.TemporaryDirectory() as before:
        overlay = os.path.relpath(folder, Path(before).resolve())  # kustomize takes no absolute path
        (Path(before) / "kustomization.yaml").write_text(f"resources:\n- {overlay}\nimages:\n{images}")
        return _said("kubectl", "kustomize", before)


def of_code(registry: str = "") -> str:
    """Pipelines and an InferenceService. What they name is decided as they are imported, by the environment; without a
    registry the committed pipelines are taken, which `make check` holds to be what the code compiles."""
    if not registry and "EVERLOOP_REGISTRY" not in os.environ:
        committed = sorted((ROOT / "manifests" / "pipelines").glob("everloop-*.yaml"))
        return "\n---\n".join([*(path.read_text() for path in committed), predictor()])
    environment = {**os.environ, "EVERLOOP_REGISTRY": registry}
    command = [sys.executable, "-m", "pipelines.images.rendering"]
    return subprocess.run(command, env=environment, cwd=ROOT, check=True, capture_output=True, text=True).stdout


def predictor() -> str:
    from components.recsys.settings import Settings
    from serving.kserve.inference_service import inference_service

    return yaml.safe_dump(inference_service(DIGEST, Settings(), HOME))


def _said(program: str, *arguments: str) -> str:
    path = cache_folder() / "tools" / program
    if not path.exists():
        raise InputError(f"{path} is missing, and the chart and the manifests are rendered with it; run: make tools")
    done = subprocess.run([str(path), *arguments], capture_output=True, text=True, check=False, timeout=120)
    if done.returncode:
        raise InputError(f"{program} {arguments[0]} refuses: {done.stderr.strip()}")
    return done.stdout


def main() -> None:
    """The part of `of_code` that runs in a process of its own."""
    from pipelines.compile import compile_all

    with tempfile.TemporaryDirectory() as folder:
        print("\n---\n".join([*(path.read_text() for path in compile_all(Path(folder))), predictor()]))


if __name__ == "__main__":
    main()
