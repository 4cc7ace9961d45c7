"""What the objects are like: conventions that people rely on when they install charts."""

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from monitoring.dashboards.render import dashboards
from monitoring.rules.render import render_rules
from tests.helm import restricted
from tests.helm.charts import CHART, HOME, OPERATOR, Json, named, pods, render
from tests.helm.validity import CRDS, Validity

REDIS = {"history": {"existingSecret": "redis"}}
PARTS = ("gateway", "rollout", "monitor", "controller")


def rendered(newest: str, apis: tuple[str, ...] = (), **values: Any) -> list[Json]:
    return render(newest, {"home": HOME, **values}, apis=apis)


def container(objects: list[Json], part: str) -> Json:
    (one,) = named(objects, "Deployment", f"everloop-{part}")["spec"]["template"]["spec"]["containers"]
    return dict(one)


def env(objects: list[Json], part: str) -> dict[str, Json]:
    return {one["name"]: one for one in container(objects, part)["env"]}


def test_every_pod_passes_pod_security_restricted(newest: str) -> None:
    found = dict(pods(rendered(newest)))
    assert found.keys() == {*(f"everloop-{part}" for part in PARTS), "everloop-test"}
    assert not {name: told for name, pod in found.items() if (told := restricted.faults(pod))}
    assert all(
        c["securityContext"]["readOnlyRootFilesystem"] for pod in found.values() for c in pod["spec"]["containers"]
    )


@pytest.mark.parametrize(
    ("pod", "fault"),
    [
        ({"securityContext": {"runAsNonRoot": False}}, "runAsNonRoot must be true"),
        ({"hostNetwork": True}, "hostNetwork must not be set"),
        ({"volumes": [{"name": "x", "hostPath": {"path": "/"}}]}, "volume x is of another kind"),
        ({"initContainers": [{"name": "first"}]}, "first: allowPrivilegeEscalation must be false"),
        ({"containers": [{"name": "c", "securityContext": {"capabilities": {"drop": ["ALL"], "add": ["NET_RAW"]}}}]}, "adds capabilities"),
    ],
)  # fmt: skip
def test_the_checker_of_pod_security_finds_what_is_wrong(newest: str, pod: Json, fault: str) -> None:
    (_, sound), *_ = pods(rendered(newest))
    assert not restricted.faults(sound)
    assert any(fault in told for told in restricted.faults({"spec": {**sound["spec"], **pod}}))


def test_only_the_rollout_engine_gets_a_token_and_only_for_kserve(newest: str) -> None:
    def mounted(**settings: Any) -> set[str]:
        found = pods(rendered(newest, settings=settings))
        return {name for name, pod in found if pod["spec"]["automountServiceAccountToken"]}

    assert mounted() == {"everloop-rollout"}
    assert mounted(rollout={"predictors": "urls", "predictor_url": "http://p-{short}"}) == set()


def test_a_secret_is_named_and_never_held(newest: str) -> None:
    objects = rendered(
        newest,
        gateway=REDIS,
        controller={
            "database": {"existingSecret": "db", "key": "uri"},
            "token": {"existingSecret": "hook"},
            "kubeflow": {"existingSecret": "kfp", "namespace": "team"},
        },
    )
    assert not [one for one in objects if one["kind"] == "Secret"]
    gateway, controller = env(objects, "gateway"), env(objects, "controller")
    assert gateway["EVERLOOP_SERVING__HISTORY"]["valueFrom"] == {"secretKeyRef": {"name": "redis", "key": "url"}}
    assert controller["EVERLOOP_RETRAIN__DATABASE"]["valueFrom"] == {"secretKeyRef": {"name": "db", "key": "uri"}}
    assert controller["KUBEFLOW_TOKEN"]["valueFrom"] == {"secretKeyRef": {"name": "kfp", "key": "token"}}
    assert controller["KUBEFLOW_NAMESPACE"]["value"] == "team"
    told = json.loads(named(objects, "ConfigMap", "everloop-settings")["data"]["settings.json"])
    assert "history" not in told["serving"]
    assert "database" not in told["retrain"]
    assert told["retrain"]["token_file"] == "/etc/everloop/token/token"
    spec = named(objects, "Deployment", "everloop-controller")["spec"]["template"]["spec"]
    assert {"name": "token", "secret": {"secretName": "hook"}} in spec["volumes"]
    for part in PARTS:
        keys = [one for name, one in env(objects, part).items() if name.startswith("AWS_")]
        assert {one["valueFrom"]["secretKeyRef"]["name"] for one in keys} == {"everloop-store"}
        assert all(one["valueFrom"]["secretKeyRef"]["optional"] for one in keys)


def test_pods_with_an_identity_of_their_own_need_no_secret(newest: str) -> None:
    annotations = {"eks.amazonaws.com/role-arn": "arn:aws:iam::1:role/gateway"}
    objects = rendered(newest, store={"existingSecret": ""}, gateway={"serviceAccount": {"annotations": annotations}})
    assert not [name for name in env(objects, "gateway") if name.startswith("AWS_")]
    account = named(objects, "ServiceAccount", "everloop-gateway")
    assert account["metadata"]["annotations"] == annotations
    told = json.loads(named(objects, "ConfigMap", "everloop-settings")["data"]["settings.json"])
    assert told["kserve"]["storage_secret"] == ""


def test_an_image_is_taken_by_digest_before_its_tag(newest: str) -> None:
    digest = "sha256:" + "0" * 64
    objects = rendered(
        newest,
        image={
            "registry": "registry.example:5000/mirror/",
            "serving": {"tag": "1.2.3", "digest": digest},
            "monitoring": {"tag": "1.2.3"},
            "pullSecrets": ["pull"],
        },
    )
    serving, monitoring = (
        f"registry.example:5000/mirror/everloop/serving@{digest}",
        "registry.example:5000/mirror/everloop/monitoring:1.2.3",
    )
    assert container(objects, "gateway")["image"] == container(objects, "rollout")["image"] == serving
    assert container(objects, "monitor")["image"] == container(objects, "controller")["image"] == monitoring
    assert all(pod["spec"]["imagePullSecrets"] == [{"name": "pull"}] for _, pod in pods(objects))
    told = json.loads(named(objects, "ConfigMap", "everloop-settings")["data"]["settings.json"])
    assert (told["kserve"]["image"], told["kserve"]["image_pull_secrets"]) == (serving, ["pull"])


def test_common_labels_are_on_everything_and_take_nothing_away(newest: str) -> None:
    mine = {"team": "travel", "app.kubernetes.io/name": "other"}
    objects = rendered(newest, apis=OPERATOR, commonLabels=mine, commonAnnotations={"owner": "a b"})
    for one in objects:
        assert one["metadata"]["labels"]["team"] == "travel"
        assert one["metadata"]["labels"]["app.kubernetes.io/name"] == "everloop"
        assert one["metadata"]["annotations"]["owner"] == "a b"
    assert all(pod["metadata"]["labels"]["team"] == "travel" for _, pod in pods(objects))


def test_changed_settings_start_the_pods_anew(newest: str) -> None:
    def sums(**settings: Any) -> set[str]:
        found = rendered(newest, settings=settings)
        return {
            pod["metadata"]["annotations"]["checksum/settings"] for name, pod in pods(found) if name != "everloop-test"
        }

    assert len(sums()) == 1
    assert sums() != sums(train={"seed": 7})


@pytest.mark.parametrize("release", ["a" * 53, "everloop-" + "b" * 44, "x" * 40, "shop"])
def test_every_name_fits_and_two_long_releases_stay_apart(newest: str, release: str) -> None:
    def names(release: str) -> set[str]:
        found = render(newest, {"home": HOME}, release=release, apis=OPERATOR)
        told = {f"{one['kind']} {one['metadata']['name']}" for one in found}
        return told - {"ServiceAccount everloop-predictor", "ServiceAccount everloop-steps"}  # the same everywhere

    assert max(len(name.split()[1]) for name in names(release)) <= 63
    if len(release) > 50:
        assert not names(release) & names(release[:-1] + "z")


def test_two_gateways_are_replaced_without_a_gap_and_one_with_a_file_is_not_run_twice(newest: str) -> None:
    alone = named(rendered(newest), "Deployment", "everloop-gateway")["spec"]
    assert (alone["replicas"], alone["strategy"]) == (1, {"type": "Recreate"})
    objects = rendered(newest, gateway={**REDIS, "replicas": 2})
    several = named(objects, "Deployment", "everloop-gateway")["spec"]
    assert several["strategy"]["rollingUpdate"] == {"maxUnavailable": 0, "maxSurge": 1}
    assert named(objects, "PodDisruptionBudget")["spec"]["maxUnavailable"] == 1
    assert several["selector"] == {
        "matchLabels": named(objects, "PodDisruptionBudget")["spec"]["selector"]["matchLabels"]
    }
    assert not [
        one
        for one in objects
        if one["metadata"]["name"] == "everloop-gateway" and one["kind"] == "PersistentVolumeClaim"
    ]
    for part in ("rollout", "monitor", "controller"):
        spec = named(objects, "Deployment", f"everloop-{part}")["spec"]
        assert (spec["replicas"], spec["strategy"]) == (1, {"type": "Recreate"})


@pytest.mark.parametrize(("settings", "least"), [({}, 30), ({"drain_seconds": 30, "grace_seconds": 12.5}, 53)])
def test_a_gateway_has_time_to_drain(newest: str, settings: Json, least: int) -> None:
    objects = rendered(newest, settings={"serving": settings})
    spec = named(objects, "Deployment", "everloop-gateway")["spec"]["template"]["spec"]
    assert spec["terminationGracePeriodSeconds"] == least
    told = json.loads(named(objects, "ConfigMap", "everloop-settings")["data"]["settings.json"])["serving"]
    assert told["drain_seconds"] == settings.get("drain_seconds", 5)


def test_an_autoscaler_decides_on_replicas_alone(newest: str) -> None:
    hpa = rendered(newest, gateway={**REDIS, "autoscaling": {"kind": "hpa", "maxReplicas": 9}})
    assert "replicas" not in named(hpa, "Deployment", "everloop-gateway")["spec"]
    assert named(hpa, "HorizontalPodAutoscaler")["spec"]["maxReplicas"] == 9
    prometheus = {"serverAddress": "http://prometheus:9090"}
    keda = rendered(newest, gateway={**REDIS, "autoscaling": {"kind": "keda", "keda": {"prometheus": prometheus}}})
    assert "replicas" not in named(keda, "Deployment", "everloop-gateway")["spec"]
    assert [one["type"] for one in named(keda, "ScaledObject")["spec"]["triggers"]] == ["cpu", "prometheus"]
    assert not [one for one in keda if one["kind"] == "HorizontalPodAutoscaler"]


def test_objects_of_the_prometheus_operator_come_by_flag_and_capability(newest: str) -> None:
    kinds = {"ServiceMonitor", "PodMonitor", "PrometheusRule"}

    def made(apis: tuple[str, ...], enabled: Any) -> set[str]:
        flags = {name: {"enabled": enabled} for name in ("serviceMonitor", "prometheusRule", "dashboards")}
        objects = rendered(newest, apis=apis, monitoring=flags)
        boards = {"dashboards" for one in objects if "dashboard" in one["metadata"]["name"]}
        return ({one["kind"] for one in objects} & kinds) | boards

    everything = {*kinds, "dashboards"}
    assert made((), "auto") == set()
    assert made(OPERATOR, "auto") == everything
    assert made((), True) == everything
    assert made(OPERATOR, False) == set()
    assert made(("monitoring.coreos.com/v1", "monitoring.coreos.com/v1/PrometheusRule"), "auto") == {
        "PrometheusRule",
        "dashboards",
    }


def test_rules_and_dashboards_are_the_projects_own(newest: str) -> None:
    flags = {"prometheusRule": {"console": "https://shop.example/", "runbooks": "https://docs.example/runbooks"}}
    objects = rendered(newest, apis=OPERATOR, monitoring=flags)
    groups = named(objects, "PrometheusRule")["spec"]["groups"]
    wanted = yaml.safe_load(render_rules(console="https://shop.example", runbooks="https://docs.example/runbooks"))
    for group in groups:
        for rule in group["rules"]:
            if "alert" in rule:
                assert rule["labels"].pop("namespace") == "shop"  # by which an AlertmanagerConfig knows its own
    assert groups == wanted["groups"]
    for board in dashboards():
        found = named(objects, "ConfigMap", f"everloop-dashboard-{board.name}")
        assert found["metadata"]["labels"]["grafana_dashboard"] == "1"
        assert json.loads(found["data"][f"everloop-{board.name}.json"]) == board.json()


def test_jobs_are_named_after_parts_since_rules_tell_gateways_by_it(newest: str) -> None:
    objects = rendered(newest, apis=OPERATOR)
    monitor = named(objects, "ServiceMonitor")["spec"]
    found = [
        one
        for one in objects
        if one["kind"] == "Service" and monitor["selector"]["matchLabels"].items() <= one["metadata"]["labels"].items()
    ]
    assert {one["metadata"]["labels"][monitor["jobLabel"]] for one in found} == set(PARTS)
    ports = {port["name"] for one in found for port in one["spec"]["ports"]}
    assert ports == {endpoint["port"] for endpoint in monitor["endpoints"]}


def test_alerts_find_the_controller_and_show_its_token(newest: str) -> None:
    flags = {"alertmanagerConfig": {"enabled": True, "labels": {"alertmanager": "main"}}}
    objects = rendered(newest, monitoring=flags, controller={"token": {"existingSecret": "hook"}})
    spec = named(objects, "AlertmanagerConfig")["spec"]
    hooks = {one["name"]: one.get("webhookConfigs", []) for one in spec["receivers"]}
    assert hooks["controller"][0]["url"] == "http://everloop-controller.shop/v1/alerts"
    assert hooks["controller"][0]["httpConfig"]["authorization"]["credentials"] == {"name": "hook", "key": "token"}
    assert {route["receiver"] for route in spec["route"]["routes"]} <= hooks.keys()
    service = named(objects, "Service", "everloop-controller")["spec"]["ports"]
    assert [(port["port"], port["targetPort"]) for port in service] == [(80, "metrics")]


def test_more_objects_are_rendered_with_the_charts_values(newest: str) -> None:
    mine = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": "{{ .Release.Name }}-mine"},
        "data": {"a": "{{ .Values.home }}"},
    }
    text = 'apiVersion: v1\nkind: ConfigMap\nmetadata: {name: text}\ndata: {gateway: "{{ include "everloop.fullname" . }}-gateway"}\n'
    objects = rendered(newest, extraManifests=[mine, text])
    assert named(objects, "ConfigMap", "everloop-mine")["data"] == {"a": HOME}
    assert named(objects, "ConfigMap", "text")["data"] == {"gateway": "everloop-gateway"}


def test_custom_objects_are_what_their_definitions_take(newest: str, crds: Path) -> None:
    """All of them at once, whatever random values bring."""
    gateway = {
        **REDIS,
        "autoscaling": {"kind": "keda", "keda": {"prometheus": {"serverAddress": "http://prometheus:9090"}}},
        "httpRoute": {"enabled": True, "parentRefs": [{"name": "public", "port": 443}], "hostnames": ["*.example"]},
    }
    controller = {"token": {"existingSecret": "hook"}}
    flags = {"alertmanagerConfig": {"enabled": True}}
    objects = rendered(newest, apis=OPERATOR, gateway=gateway, controller=controller, monitoring=flags)
    assert CRDS.keys() <= {one["kind"] for one in objects}
    assert not [fault for one in objects for fault in Validity(crds).faults(one)]


def test_the_validator_finds_an_unknown_field_in_every_kind(newest: str, crds: Path) -> None:
    validity = Validity(crds)
    for one in rendered(newest, apis=OPERATOR):
        wrong = (
            {**one, "spce": {}}
            if one["kind"] != "ServiceMonitor"
            else {**one, "spec": {**one["spec"], "endpoinds": []}}
        )
        assert validity.faults(wrong), one["kind"]


def test_routes_lead_to_the_gateway(newest: str) -> None:
    gateway = {
        "httpRoute": {
            "enabled": True,
            "parentRefs": [{"name": "public", "namespace": "infra"}],
            "hostnames": ["shop.example"],
        },
        "ingress": {"enabled": True, "className": "nginx", "hosts": ["old.example"], "tls": [{"secretName": "tls"}]},
    }
    objects = rendered(newest, gateway=gateway)
    route = named(objects, "HTTPRoute")["spec"]
    assert route["rules"][0]["backendRefs"] == [{"name": "everloop-gateway", "port": 80}]
    assert (route["parentRefs"], route["hostnames"]) == ([{"name": "public", "namespace": "infra"}], ["shop.example"])
    ingress = named(objects, "Ingress")["spec"]
    assert ingress["rules"][0]["http"]["paths"][0]["backend"]["service"] == {
        "name": "everloop-gateway",
        "port": {"name": "http"},
    }


def test_the_state_outlives_the_release(newest: str) -> None:
    objects = rendered(newest)
    claims = {one["metadata"]["name"]: one for one in objects if one["kind"] == "PersistentVolumeClaim"}
    assert claims.keys() == {"everloop-gateway", "everloop-controller"}
    assert all(one["metadata"]["annotations"] == {"helm.sh/resource-policy": "keep"} for one in claims.values())
    mine = rendered(
        newest, gateway={"persistence": {"existingClaim": "mine"}}, controller={"persistence": {"enabled": False}}
    )
    assert not [one for one in mine if one["kind"] == "PersistentVolumeClaim"]
    state = {
        name: [v for v in pod["spec"]["volumes"] if v["name"] == "state"]
        for name, pod in pods(mine)
        if "volumes" in pod["spec"]
    }
    assert state["everloop-gateway"] == [{"name": "state", "persistentVolumeClaim": {"claimName": "mine"}}]
    assert state["everloop-controller"] == [{"name": "state", "emptyDir": {"sizeLimit": "1Gi"}}]


def test_no_custom_resource_definition_is_brought(newest: str) -> None:
    assert not (CHART / "crds").exists()
    assert not [one for one in rendered(newest, apis=OPERATOR) if one["kind"] == "CustomResourceDefinition"]
