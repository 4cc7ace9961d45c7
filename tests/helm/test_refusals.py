"""Values that contradict each other are refused with one sentence that says what to do."""

from typing import Any

import pytest

from tests.helm.charts import HOME, Refused, template

REDIS = {"history": {"existingSecret": "redis"}}


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ({"home": ""}, "home is not set: give the bucket"),
        ({"gateway": {"replicas": 2}}, "gateway.replicas is 2, but each gateway would have a sqlite history of its own"),
        (
            {"gateway": {"replicas": 3}, "settings": {"serving": {"history": "memory://"}}},
            "gateway.replicas is 3, but each gateway would have a memory history of its own",
        ),
        ({"gateway": {"autoscaling": {"kind": "hpa"}}}, "gateway.autoscaling.kind is hpa, but each gateway"),
        ({"gateway": {"autoscaling": {"kind": "keda"}}}, "gateway.autoscaling.kind is keda, but each gateway"),
        (
            {"gateway": {**REDIS, "autoscaling": {"kind": "hpa", "minReplicas": 9}}},
            "gateway.autoscaling.minReplicas (9) is more than maxReplicas (6)",
        ),
        (
            {"monitor": {"resources": {"limits": {"memory": "500M"}}}},
            "monitor.resources asks for 512Mi of memory, and may have 500M at most; raise limits.memory or ask for less",
        ),
        (
            {"rollout": {"resources": {"requests": {"cpu": 2}, "limits": {"cpu": "1500m"}}}},
            "rollout.resources asks for 2 of cpu, and may have 1500m at most",
        ),
        ({"gateway": {"httpRoute": {"enabled": True}}}, "gateway.httpRoute.enabled needs gateway.httpRoute.parentRefs"),
        ({"gateway": {"ingress": {"enabled": True}}}, "gateway.ingress.enabled needs gateway.ingress.hosts"),
        ({"settings": {"gateway": {"port": 0}}}, "settings.gateway.port is 0: the Service of the gateway must know"),
        ({"settings": {"drift": {"port": 80}}}, "settings.drift.port is 80: the Service of the monitor must know"),
        ({"settings": {"retrain": {"host": "127.0.0.1"}}}, "settings.retrain.host is 127.0.0.1, which nothing outside"),
        ({"settings": {"rollout": {"predictors": "local"}}}, "take kserve, or urls with settings.rollout.predictor_url"),
        ({"settings": {"rollout": {"predictors": "urls"}}}, "say where releases answer with settings.rollout.predictor_url"),
        ({"settings": {"retrain": {"runner": "local"}}}, "runs go to Kubeflow (controller.kubeflow.endpoint)"),
        ({"controller": {"kubeflow": {"endpoint": ""}}}, "controller.kubeflow.endpoint is empty: name Kubeflow"),
        (
            {"gateway": REDIS, "settings": {"serving": {"history": "redis://cache:6379/0"}}},
            "settings.serving.history and gateway.history.existingSecret are both given; keep one",
        ),
        (
            {"settings": {"serving": {"history": "redis://:hunter2@cache:6379/0"}}},
            "settings.serving.history holds a password, and values are no place for one",
        ),
        (
            {"settings": {"retrain": {"database": "postgresql://me:hunter2@db/everloop"}}},
            "give it by controller.database.existingSecret",
        ),
        ({"settings": {"tracking": {"uri": "https://me:hunter2@mlflow"}}}, "settings.tracking.uri holds a password"),
        (
            {"monitor": {"extraEnv": [{"name": "EVERLOOP_HOME", "value": "x"}]}},
            "monitor.extraEnv sets EVERLOOP_HOME, which the chart sets",
        ),
        (
            {"gateway": {"extraEnv": [{"name": "AWS_REGION", "value": "x"}]}},
            "use home, settings or store.existingSecret",
        ),
        (
            {"rollout": {"extraVolumes": [{"name": "tmp", "emptyDir": {}}]}},
            "rollout.extraVolumes has one named tmp, as the chart's own",
        ),
        (
            {"controller": {"extraVolumeMounts": [{"name": "x", "mountPath": "/tmp/"}]}},
            "controller.extraVolumeMounts has /tmp/, where the chart mounts its own",
        ),
    ],
)  # fmt: skip
def test_a_contradiction_is_told_in_one_sentence(newest: str, values: dict[str, Any], sentence: str) -> None:
    with pytest.raises(Refused) as refused:
        template(newest, {"home": HOME, **values})
    assert sentence in str(refused.value)
    assert "hunter2" not in str(refused.value)


def test_helm_3_says_the_same(tool: Any) -> None:
    tool("helm3")
    with pytest.raises(Refused, match="each gateway would have a sqlite history of its own"):
        template("helm3", {"home": HOME, "gateway": {"replicas": 2}})
