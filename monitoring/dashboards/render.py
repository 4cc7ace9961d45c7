"""The dashboards as files: JSON for Grafana, and a kustomization that makes ConfigMaps of them.

>>> write_monitoring(Path("manifests/monitoring"))
[PosixPath('manifests/monitoring/prometheusrule.yaml'), PosixPath('manifests/monitoring/dashboards/serving.json'), ...]

Grafana's sidecar takes every ConfigMap with the label `grafana_dashboard: "1"`.
"""

import json
from pathlib import Path

import yaml

from monitoring.dashboards.drift import drift
from monitoring.dashboards.loop import loop
from monitoring.dashboards.panel import Dashboard
from monitoring.dashboards.serving import serving
from monitoring.rules.render import HEADER, prometheus_rule


def dashboards() -> tuple[Dashboard, ...]:
    return serving(), drift(), loop()


def write_monitoring(target: Path) -> list[Path]:
    """The objects of a cluster: rules, dashboards, and the kustomization that holds them together."""
    files = {"prometheusrule.yaml": prometheus_rule(), "kustomization.yaml": HEADER + _kustomization()}
    for dashboard in dashboards():
        text = json.dumps(dashboard.json(), indent=2, ensure_ascii=False)
        files[f"dashboards/{dashboard.name}.json"] = text + "\n"
    (target / "dashboards").mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        (target / name).write_text(text, encoding="utf-8")
    return [target / name for name in files]


def _kustomization() -> str:
    return str(
        yaml.safe_dump(
            {
                "apiVersion": "kustomize.config.k8s.io/v1beta1",
                "kind": "Kustomization",
                "resources": ["prometheusrule.yaml"],
                "configMapGenerator": [
                    {"name": dashboard.uid, "files": [f"dashboards/{dashboard.name}.json"]}
                    for dashboard in dashboards()
                ],
                "generatorOptions": {
                    "disableNameSuffixHash": True,
                    "labels": {"grafana_dashboard": "1", "app.kubernetes.io/name": "everloop"},
                },
            },
            sort_keys=False,
        )
    )
