"""Neighbours: what asks for them is refused without them, what does not is left in peace."""

import pytest

from pipelines.access.needs import needs_of
from pipelines.chart.values import Chart
from pipelines.doctor.checks.prometheus import matches
from pipelines.doctor.findings import NO, OK, UNKNOWN, WARNING, exit_code
from pipelines.doctor.wants import Wants


def wants(**values: object) -> Wants:
    return Wants("team-a", chart=Chart.model_validate({"home": "s3://bucket/home", **values}))


def thing(kind: str, api_version: str = "v1", **spec: object) -> dict[str, object]:
    return {"apiVersion": api_version, "kind": kind, "metadata": {"name": "x", "labels": {"team": "a"}}, "spec": spec}


@pytest.mark.parametrize(
    ("values", "area"),
    [
        ({"gateway": {"autoscaling": {"kind": "keda"}, "history": {"existingSecret": "redis"}}}, "KEDA"),
        ({"gateway": {"autoscaling": {"kind": "hpa"}, "history": {"existingSecret": "redis"}}}, "metrics"),
        ({"monitoring": {"serviceMonitor": {"enabled": True}}}, "Prometheus operator"),
        ({"gateway": {"httpRoute": {"enabled": True, "parentRefs": [{"name": "public"}]}}}, "Gateway API"),
    ],
)
def test_a_switch_of_the_chart_without_its_neighbour_is_refused(values, area, diagnose) -> None:
    assert [each.area for each in diagnose(wants(**values)) if each.refused and each.area == area]
    assert not [each for each in diagnose(wants()) if each.refused and each.area == area]


def test_auto_asks_for_nothing(diagnose) -> None:
    assert exit_code(diagnose(wants(monitoring={"serviceMonitor": {"enabled": "auto"}}))) == 0


def test_a_definition_whose_controller_is_gone_or_dead_counts_as_such(api, diagnose, one) -> None:
    asked = Wants("team-a", objects=(thing("ScaledObject", "keda.sh/v1alpha1"),))
    api.serve("keda.sh/v1alpha1", "ScaledObject")
    assert one(diagnose(asked), "KEDA", "controller").verdict == WARNING
    api.run("keda", "keda-operator", "ghcr.io/kedacore/keda:2.17.0", ready=0)
    assert one(diagnose(asked), "KEDA", "controller").refused
    api.paths["/apis/apps/v1/namespaces/keda/deployments"]["items"][0]["status"]["readyReplicas"] = 1
    assert one(diagnose(asked), "KEDA", "version").found == "2.17.0"


def test_a_controller_elsewhere_is_found_by_its_labels(api, diagnose, one) -> None:
    api.serve("argoproj.io/v1alpha1", "Application")
    labels = {"app.kubernetes.io/name": "argocd-application-controller"}
    api.run("tools", "cd-application-controller", "quay.io/argoproj/argocd:v3.2.1", kind="statefulsets", **labels)
    assert one(diagnose(), "Argo CD", "version").found == "3.2.1"


@pytest.mark.parametrize(
    ("status", "asked", "verdict"),
    [(200, True, OK), (404, True, NO), (503, True, NO), (404, False, NO), (429, True, UNKNOWN)],
)
def test_autoscaling_needs_metrics(status, asked, verdict, api, fault, diagnose, one) -> None:
    if status == 200:
        api.paths["/apis/metrics.k8s.io/v1beta1/nodes"] = {"items": []}
    elif status != 404:
        api.faults["/apis/metrics.k8s.io"] = fault(status, headers={"Retry-After": "60"})
    objects = (thing("HorizontalPodAutoscaler", "autoscaling/v2"),) if asked else ()
    found = one(diagnose(Wants("team-a", objects=objects)), "metrics", "metrics.k8s.io")
    assert (found.verdict, found.asked) == (verdict, asked)


@pytest.mark.parametrize(
    ("health", "running", "verdict", "words"),
    [
        ({"tag_name": "2.17.0"}, "", OK, "2.17.0"),
        ({"tag_name": "2.14.3", "multi_user": True}, "", WARNING, "we test 2.17"),
        (None, "ghcr.io/kubeflow/kfp-api-server:2.17.0", OK, "2.17.0"),
        ({"tag_name": "1.8.5"}, "", NO, "no v2 API"),
        ({}, "", UNKNOWN, "not told"),
    ],
)
def test_kubeflow_tells_its_version_by_its_health_or_its_image(
    health, running, verdict, words, api, diagnose, one
) -> None:
    if health is not None:
        api.paths["/api/v1/namespaces/kubeflow/services/ml-pipeline:8888/proxy/apis/v1beta1/healthz"] = health
    if running:
        api.run("kubeflow", "ml-pipeline", running)
    found = one(diagnose(), "Kubeflow Pipelines", "version")
    assert (found.verdict, words in found.found) == (verdict, True)


def test_kubeflow_where_the_charts_endpoint_says_and_refused_where_it_is_not(api, diagnose, one) -> None:
    there = wants(controller={"kubeflow": {"endpoint": "http://ml-pipeline.pipelines.svc:8888"}})
    runs = there.settings.retrain.model_copy(update={"runner": "kubeflow"})
    asked = Wants("team-a", settings=there.settings.model_copy(update={"retrain": runs}), chart=there.chart)
    assert "not in namespace pipelines" in one(diagnose(asked), "Kubeflow Pipelines", "API server").found
    assert exit_code(diagnose(asked)) == 1
    api.run("pipelines", "ml-pipeline", "kfp-api-server:2.17.0")
    api.paths["/api/v1/namespaces/pipelines/services/ml-pipeline:8888/proxy/apis/v1beta1/healthz"] = {
        "tag_name": "2.17.0"
    }
    assert one(diagnose(asked), "Kubeflow Pipelines", "version").verdict == OK


def test_an_endpoint_that_is_no_kubeflow(diagnose, one) -> None:
    found = one(
        diagnose(Wants("team-a", kubeflow_endpoint="http://127.0.0.1:9")), "Kubeflow Pipelines", "http://127.0.0.1:9"
    )
    assert (found.verdict, "port-forward" in found.do) == (NO, True)


def test_gateway_api_needs_a_class_and_the_gateway_that_is_named(api, diagnose, one) -> None:
    route = thing("HTTPRoute", "gateway.networking.k8s.io/v1", parentRefs=[{"name": "public", "namespace": "edge"}])
    asked, root = Wants("team-a", objects=(route,)), "/apis/gateway.networking.k8s.io/v1"
    api.serve("gateway.networking.k8s.io/v1", "Gateway", "HTTPRoute")
    api.paths[f"{root}/gatewayclasses"] = {"items": []}
    findings = diagnose(asked)
    assert one(findings, "Gateway API", "GatewayClass").refused
    assert "does not exist" in one(findings, "Gateway API", "Gateway edge/public").found
    accepted = {"conditions": [{"type": "Accepted", "status": "True"}]}
    api.paths[f"{root}/gatewayclasses"]["items"] = [{"metadata": {"name": "envoy"}, "status": accepted}]
    api.paths[f"{root}/namespaces/edge/gateways/public"] = {"metadata": {"name": "public"}, "status": {}}
    findings = diagnose(asked)
    assert one(findings, "Gateway API", "GatewayClass").found == "envoy"
    assert one(findings, "Gateway API", "Gateway edge/public").verdict == WARNING


@pytest.mark.parametrize(
    ("daemons", "verdict", "words"),
    [
        ([("kube-system", "calico-node")], OK, "Calico"),
        ([("kube-flannel", "kube-flannel-ds")], NO, "Flannel stores it"),
        ([("kube-system", "kube-flannel-ds"), ("kube-system", "canal")], OK, "Canal"),
        ([("kube-system", "aws-node")], UNKNOWN, "cannot be seen"),
        ([], UNKNOWN, "cannot be seen"),
    ],
)
def test_whether_network_policies_do_anything(daemons, verdict, words, api, diagnose, one) -> None:
    for namespace, name in daemons:
        api.run(namespace, name, "x:1", kind="daemonsets")
    found = one(diagnose(), "network", "NetworkPolicy")
    assert (found.verdict, words in found.found, found.refused) == (verdict, True, False)


def prometheus(api, **spec: object) -> None:
    api.serve("monitoring.coreos.com/v1", "ServiceMonitor", "PrometheusRule", "Prometheus")
    server = {"metadata": {"name": "kps", "namespace": "monitoring"}, "spec": spec}
    api.paths["/apis/monitoring.coreos.com/v1/prometheuses"] = {"items": [server]}


@pytest.mark.parametrize(
    ("spec", "labels", "taken"),
    [
        ({"serviceMonitorSelector": {}, "serviceMonitorNamespaceSelector": {}}, {}, True),
        (
            {"serviceMonitorSelector": {"matchLabels": {"release": "kps"}}, "serviceMonitorNamespaceSelector": {}},
            {},
            False,
        ),
        (
            {"serviceMonitorSelector": {"matchLabels": {"release": "kps"}}, "serviceMonitorNamespaceSelector": {}},
            {"release": "kps"},
            True,
        ),
        ({"serviceMonitorSelector": {}}, {}, False),  # only its own namespace
        ({"serviceMonitorNamespaceSelector": {}}, {}, False),  # nothing
    ],
)
def test_a_monitor_that_no_prometheus_would_take_is_refused(spec, labels, taken, api, diagnose, one) -> None:
    prometheus(api, **spec)
    asked = wants(monitoring={"serviceMonitor": {"enabled": True, "labels": labels}})
    found = one(diagnose(asked), "Prometheus", "ServiceMonitor")
    assert (found.verdict, found.refused) == ((OK, False) if taken else (NO, True))
    unasked = wants(monitoring={"serviceMonitor": {"enabled": "auto", "labels": labels}})
    assert one(diagnose(unasked), "Prometheus", "ServiceMonitor").verdict == (OK if taken else WARNING)


@pytest.mark.parametrize(
    ("operator", "values", "holds"),
    [
        ("In", ["a"], True),
        ("In", ["b"], False),
        ("NotIn", ["b"], True),
        ("NotIn", ["a"], False),
        ("Exists", [], True),
        ("DoesNotExist", [], False),
    ],
)
def test_label_selectors_mean_what_they_mean_to_kubernetes(operator, values, holds) -> None:
    assert (
        matches({"matchExpressions": [{"key": "team", "operator": operator, "values": values}]}, {"team": "a"}) is holds
    )
    assert (matches({}, {}), matches(None, {})) == (True, False)


@pytest.mark.parametrize(
    ("classes", "verdict", "words"),
    [
        ([], NO, "waits for ever"),
        ([("a", False)], NO, "waits for ever"),
        ([("a", True)], OK, "a"),
        ([("a", True), ("b", True)], WARNING, "a and b"),
    ],
)
def test_who_makes_volumes(classes, verdict, words, api, diagnose, one) -> None:
    default = "storageclass.kubernetes.io/is-default-class"
    made = [{"metadata": {"name": name, "annotations": {default: str(on).lower()}}} for name, on in classes]
    api.paths["/apis/storage.k8s.io/v1/storageclasses"]["items"] = made
    findings = diagnose(wants())
    found = one(findings, "volumes", "default class")
    assert (found.verdict, words in found.found) == (verdict, True)
    assert exit_code(findings) == (verdict == NO)


def test_a_class_that_a_claim_names_must_exist(diagnose, one) -> None:
    claim = thing("PersistentVolumeClaim", storageClassName="fast")
    assert one(diagnose(Wants("team-a", objects=(claim,))), "volumes", "PersistentVolumeClaim x").refused


def test_rights_are_asked_verb_by_verb_and_what_is_denied_is_named(api, diagnose, one) -> None:
    assert one(diagnose(), "permissions", "to install").verdict == OK
    api.denied = {("create", "roles"), ("patch", "roles"), ("create", "deployments")}
    found = one(diagnose(), "permissions", "to install")
    assert found.found == "you may not create deployments.apps; create, patch roles.rbac.authorization.k8s.io"
    assert found.do.startswith("kubectl auth can-i create deployments.apps -n team-a")


def test_what_the_engine_gets_follows_its_settings(api, diagnose, one) -> None:
    base = Wants().settings
    for how in ("create", "follow"):
        count = sum(len(need.verbs) for need in needs_of("rollout", how))
        assert count > 1
        rollout = base.rollout.model_copy(update={"predictors": "kserve", "kserve": how})
        asked = Wants("team-a", settings=base.model_copy(update={"rollout": rollout}))
        assert one(diagnose(asked), "permissions", "what the rollout engine gets").found == f"all {count} rights"


def test_images_pull_secrets_and_pulls_that_fail_now(api, diagnose, one) -> None:
    asked = wants(image={"registry": "registry.local:5000/mirror", "pullSecrets": ["regcred"]})
    api.paths["/api/v1/nodes"]["items"][0]["status"]["images"] = [
        {"names": ["registry.local:5000/mirror/everloop/serving:0.1.0"]}
    ]
    waiting = {"image": "everloop/steps:0.1.0", "state": {"waiting": {"reason": "ImagePullBackOff"}}}
    api.add("/api/v1/namespaces/team-a/pods", {"metadata": {"name": "p"}, "status": {"containerStatuses": [waiting]}})
    findings = diagnose(asked)
    assert one(findings, "images", "pull Secret regcred").refused
    assert one(findings, "images", "registry.local:5000/mirror/everloop/serving:0.1.0").verdict == OK
    assert one(findings, "images", "registry.local:5000/mirror/everloop/monitoring:0.1.0").verdict == UNKNOWN
    assert one(findings, "images", "everloop/steps:0.1.0").verdict == WARNING
    api.add("/api/v1/namespaces/team-a/secrets", {"metadata": {"name": "regcred"}})
    assert one(diagnose(asked), "images", "pull Secret regcred").verdict == OK


def test_kinds_that_the_cluster_does_not_know_are_named_once(api, diagnose) -> None:
    objects = (thing("ConfigMap"), thing("Widget", "example.com/v1"), thing("Widget", "example.com/v1"))
    refused = [each for each in diagnose(Wants("team-a", objects=objects)) if each.area == "manifests"]
    assert [each.looked_at for each in refused] == ["Widget (example.com/v1)"]
    defined = {**thing("CustomResourceDefinition", "apiextensions.k8s.io/v1"), "spec": {"names": {"kind": "Widget"}}}
    api.serve("apiextensions.k8s.io/v1", "CustomResourceDefinition")
    assert exit_code(diagnose(Wants("team-a", objects=(*objects, defined)))) == 0
