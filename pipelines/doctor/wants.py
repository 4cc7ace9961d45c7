"""What is asked of the cluster: by settings, by the chart's values, by rendered manifests.

>>> wants = read_wants(namespace="team-a", values_file="values.yaml", manifests=["rendered.yaml"])
>>> wants.asks("ServiceMonitor")
True

Rendered manifests are the surest: `helm template everloop helm/everloop -f values.yaml | everloop doctor --manifests -`,
or `kubectl kustomize manifests/overlays/prod | ...`. Raises InputError for files that cannot be read.
"""

import json
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import yaml

from components.recsys.errors import InputError
from components.recsys.settings import Settings, load_settings, parse
from pipelines.chart.pods import Persistence
from pipelines.chart.values import Chart

Json = dict[str, Any]

# What the chart's templates take for settings that values leave out (helm/everloop/templates).
CHART_SETTINGS = ("rollout.predictors=kserve", "retrain.runner=kubeflow")


@dataclass(frozen=True)
class Wants:
    namespace: str = "default"
    settings: Settings = field(default_factory=Settings)
    chart: Chart | None = None  # values of the chart; None: not given
    objects: tuple[Json, ...] = ()  # rendered manifests
    home: str = ""
    kubeflow_endpoint: str = ""

    def asks(self, kind: str) -> bool:
        """Whether an object of this kind will be made."""
        return kind in self._of_chart or any(each.get("kind") == kind for each in self.objects)

    @property
    def kserve(self) -> bool:
        return self.settings.rollout.predictors == "kserve" or self.asks("InferenceService")

    @property
    def kubeflow(self) -> bool:
        return self.settings.retrain.runner == "kubeflow" or bool(self.kubeflow_endpoint)

    @property
    def kubeflow_namespace(self) -> str:
        """Where Kubeflow Pipelines runs, by the address that pods are given: http://ml-pipeline.NAMESPACE.svc:8888."""
        host = urlsplit(self.chart.controller.kubeflow.endpoint).hostname or "" if self.chart else ""
        return host.split(".")[1] if host.endswith((".svc", ".svc.cluster.local")) else "kubeflow"

    def of_kind(self, *kinds: str) -> list[Json]:
        return [each for each in self.objects if each.get("kind") in kinds]

    @property
    def _of_chart(self) -> set[str]:
        """Kinds that the chart makes by a switch and that need something of the cluster. `auto` asks for nothing: the chart
        looks by itself."""
        if self.chart is None:
            return set()
        gateway, monitoring = self.chart.gateway, self.chart.monitoring
        switches = {
            "HorizontalPodAutoscaler": gateway.autoscaling.kind == "hpa",
            "ScaledObject": gateway.autoscaling.kind == "keda",
            "HTTPRoute": gateway.http_route.enabled,
            "Ingress": gateway.ingress.enabled,
            "NetworkPolicy": self.chart.network_policy.enabled,
            "ServiceMonitor": monitoring.service_monitor.enabled is True,
            "PrometheusRule": monitoring.prometheus_rule.enabled is True,
            "AlertmanagerConfig": monitoring.alertmanager_config.enabled is True,
            "PersistentVolumeClaim": (_claims(gateway.persistence) and not gateway.history.existing_secret)
            or (_claims(self.chart.controller.persistence) and not self.chart.controller.database.existing_secret),
        }
        return {kind for kind, on in switches.items() if on}


def _claims(persistence: Persistence) -> bool:
    return persistence.enabled and not persistence.existing_claim


def read_wants(
    namespace: str,
    settings_file: str | None = None,
    overrides: Iterable[str] = (),
    values_file: str = "",
    manifests: Iterable[str] = (),
    home: str = "",
    kubeflow_endpoint: str = "",
) -> Wants:
    """From files; `-` reads manifests from stdin. Settings inside values and manifests count; --settings and --set go over them."""
    chart = parse(Chart, _mapping(values_file)) if values_file else None
    objects = tuple(each for file in manifests for each in _objects(file))
    inside = [] if chart is None else [*CHART_SETTINGS, *_flat(chart.settings)]
    inside += _flat(_settings_in(objects))
    if settings_file:
        load_settings(settings_file)  # its own mistakes are told before it is mixed with others
        inside += _flat(_mapping(settings_file))
    return Wants(
        namespace=namespace,
        settings=load_settings(None, [*inside, *overrides]),
        chart=chart,
        objects=objects,
        home=home or (chart.home if chart else "") or _home_in(objects),
        kubeflow_endpoint=kubeflow_endpoint,
    )


def _settings_in(objects: Iterable[Json]) -> dict[str, Any]:
    """What the chart's ConfigMap gives the parts as EVERLOOP_SETTINGS."""
    for each in objects:
        text = (each.get("data") or {}).get("settings.json") if each.get("kind") == "ConfigMap" else None
        if text is not None:
            try:
                found = json.loads(text)
            except ValueError:
                found = None
            if not isinstance(found, dict):
                raise InputError(f"{title(each)}: settings.json is no JSON object")
            return found
    return {}


def _home_in(objects: Iterable[Json]) -> str:
    """What a part's pods are given as EVERLOOP_HOME."""
    for each in objects:
        template = (each.get("spec") or {}).get("template") or {}
        for container in (template.get("spec") or {}).get("containers") or ():
            for variable in container.get("env") or ():
                if variable.get("name") == "EVERLOOP_HOME" and variable.get("value"):
                    return str(variable["value"])
    return ""


def title(thing: Json) -> str:
    """How people call an object: InferenceService everloop-0123456789ab."""
    return f"{thing.get('kind', 'object')} {(thing.get('metadata') or {}).get('name', '?')}"


def _flat(settings: Mapping[str, Any]) -> list[str]:
    """Sections as overrides: `section.name=value`, the value as JSON, which is YAML."""
    flat = []
    for section, names in settings.items():
        if isinstance(names, Mapping):
            flat += [f"{section}.{name}={json.dumps(value)}" for name, value in names.items()]
        else:
            flat.append(f"{section}={json.dumps(names)}")
    return flat


def _mapping(file: str) -> dict[str, Any]:
    found = _documents(file)
    if len(found) != 1 or not isinstance(found[0], dict):
        raise InputError(f"{file} must hold the chart's values (one mapping)")
    return found[0]


def _objects(file: str) -> Iterable[Json]:
    documents = _documents(file)
    if not documents:  # else a `helm template ... |` that failed would be found to work
        raise InputError(f"{'stdin' if file == '-' else file} holds no object: did what should write it fail?")
    for document in documents:
        if not isinstance(document, dict) or not document.get("kind") or not document.get("apiVersion"):
            raise InputError(f"{file} holds something that is no Kubernetes object (apiVersion, kind)")
        if document["kind"] == "List":
            yield from document.get("items") or ()
        else:
            yield document


def _documents(file: str) -> list[Any]:
    try:
        text = sys.stdin.read() if file == "-" else Path(file).read_text(encoding="utf-8")
        return [document for document in yaml.safe_load_all(text) if document is not None]
    except FileNotFoundError:
        raise InputError(f"{file} does not exist") from None
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise InputError(f"{file} cannot be read: {str(error).splitlines()[0]}") from None
