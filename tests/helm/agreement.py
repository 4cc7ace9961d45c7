"""Brings values that contradict each other into agreement: each rule mends what templates/_validate.tpl refuses.

>>> agreeing({"gateway": {"replicas": 3}})
{'home': 's3://bucket/home', 'gateway': {'replicas': 3, 'history': {'existingSecret': 'redis'}}}
"""

import copy
from collections.abc import Iterator
from ipaddress import ip_network
from typing import Any

from pipelines.chart.values import Chart
from pipelines.chart.writing import plain
from serving.kserve.quantities import amount

Json = dict[str, Any]
OWN_VOLUMES, OWN_PATHS = ("tmp", "state", "token", "kubeflow"), ("", "/tmp", "/var/lib/everloop", "/etc/everloop/token")
PARTS = ("gateway", "rollout", "monitor", "controller")


def agreeing(values: Json) -> Json:
    values = copy.deepcopy(values)
    values["home"] = values.get("home") or "s3://bucket/home"
    settings, gateway = values.get("settings", {}), values.setdefault("gateway", {})
    controller = values.setdefault("controller", {})
    _ports(settings)
    _parts_of_the_loop(settings, controller)
    for section, name, part, key in (
        ("serving", "history", gateway, "history"),
        ("retrain", "database", controller, "database"),
    ):
        if part.get(key, {}).get("existingSecret"):  # one of the two
            settings.get(section, {}).pop(name, None)
    scaling = gateway.get("autoscaling", {})
    if gateway.get("replicas", 1) > 1 or scaling.get("kind", "none") != "none":
        settings.get("serving", {}).pop("history", None)
        gateway.setdefault("history", {})["existingSecret"] = "redis"
    if scaling.get("minReplicas", 2) > scaling.get("maxReplicas", 6):
        scaling["minReplicas"] = scaling["maxReplicas"] = max(scaling.get("maxReplicas", 6), 1)
    if gateway.get("httpRoute", {}).get("enabled") and not gateway["httpRoute"].get("parentRefs"):
        gateway["httpRoute"]["parentRefs"] = [{"name": "public"}]
    if gateway.get("ingress", {}).get("enabled") and not gateway["ingress"].get("hosts"):
        gateway["ingress"]["hosts"] = ["shop.example"]
    for name in PARTS:
        _extras(values.get(name, {}))
        _resources(name, values.get(name, {}).get("resources", {}))
    for peer in _address_peers(values.get("networkPolicy", {})):
        peer["ipBlock"]["cidr"] = str(ip_network(peer["ipBlock"]["cidr"], strict=False))
    return values


def _resources(part: str, resources: Json) -> None:
    """Nobody asks for more than he may have, the defaults included."""
    default = plain(getattr(Chart(), part).resources)
    requests = {**default["requests"], **resources.get("requests", {})}
    for name, most in {**default["limits"], **resources.get("limits", {})}.items():
        if amount(str(requests.get(name, 0))) > amount(str(most)):
            resources.setdefault("requests", {})[name] = most


def _address_peers(given: Any) -> Iterator[Json]:
    if isinstance(given, dict) and "ipBlock" in given:
        yield given
    elif isinstance(given, dict | list):
        for one in given.values() if isinstance(given, dict) else given:
            yield from _address_peers(one)


def _ports(settings: Json) -> None:
    for section in ("gateway", "rollout", "drift", "retrain"):
        if settings.get(section, {}).get("port", 8000) < 1024:
            del settings[section]["port"]


def _parts_of_the_loop(settings: Json, controller: Json) -> None:
    rollout, retrain = settings.get("rollout", {}), settings.get("retrain", {})
    if rollout.get("predictors") == "local":
        del rollout["predictors"]
    if rollout.get("predictors") == "urls" and not rollout.get("predictor_url"):
        rollout["predictor_url"] = "http://predictor-{short}"
    if retrain.get("runner") == "local":
        del retrain["runner"]
    if controller.get("kubeflow", {}).get("endpoint") == "":
        del controller["kubeflow"]["endpoint"]


def _extras(part: Json) -> None:
    """Names once each; mounts of volumes that there are."""
    if "extraEnv" in part:
        part["extraEnv"] = list({one["name"]: one for one in part["extraEnv"]}.values())
    volumes = {one["name"]: one for one in part.get("extraVolumes", ()) if one["name"] not in OWN_VOLUMES}
    if "extraVolumes" in part:
        part["extraVolumes"] = list(volumes.values())
    if "extraVolumeMounts" in part:
        mounts = {
            one["mountPath"]: one for one in part["extraVolumeMounts"] if one["mountPath"].rstrip("/") not in OWN_PATHS
        }
        part["extraVolumeMounts"] = [{**one, "name": name} for one in mounts.values() for name in list(volumes)[:1]]
