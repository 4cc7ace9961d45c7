"""Settings of releases on KServe: how a predictor's InferenceService looks.

>>> KServeSettings().memory_limit
'1Gi'
"""

from typing import Annotated, Any, Literal

from pydantic import Field, ValidationInfo, field_validator
from pydantic_core import PydanticCustomError

from components.recsys.settings.base import Section

# Kubernetes' quantities without exponents, which its API server would rewrite in another spelling than people expect.
Quantity = Annotated[str, Field(pattern=r"^[0-9]+(\.[0-9]+)?([numkMGTPE]|[KMGTPE]i)?$", coerce_numbers_to_str=True)]
Name = Annotated[str, Field(pattern=r"^([a-z0-9]([-a-z0-9]*[a-z0-9])?)?$", max_length=63)]
SecretName = Annotated[str, Field(pattern=r"^([a-z0-9]([-.a-z0-9]*[a-z0-9])?)?$", max_length=253)]

REQUEST_METRICS = ("concurrency", "rps")


class KServeSettings(Section):
    """One InferenceService a release, with `rollout.predictors=kserve`."""

    mode: Literal["standard", "knative", "auto"] = Field(
        default="standard",
        description="standard: plain Deployments. knative: through Knative Serving. auto: what KServe's own configuration says.",
    )
    namespace: Name = Field(
        default="",
        description="Where InferenceServices lie; empty: the engine's own namespace, or kubectl's current one.",
    )
    image: str = Field(
        default="",
        description="The serving image; empty: everloop/serving of this version, from the registry in EVERLOOP_REGISTRY where that is set.",
    )
    image_pull_secrets: tuple[SecretName, ...] = Field(
        default=(), description="Secrets with which the image is pulled."
    )
    service_account: SecretName = Field(
        default="everloop-predictor", description="The predictors' ServiceAccount, which a cloud may give an identity."
    )
    storage: Literal["direct", "initializer"] = Field(
        default="direct",
        description="direct: the predictor reads its release itself. initializer: KServe's does, which restricted namespaces refuse.",
    )
    storage_secret: SecretName = Field(
        default="everloop-store",
        description="Secret with the store's keys; empty: the pods have an identity of their own.",
    )
    min_replicas: int = Field(default=1, ge=1, description="Fewest pods a release; 2 where a node may be drained.")
    max_replicas: int = Field(
        default=3, ge=1, description="Most pods a release; the same as min_replicas: no autoscaler."
    )
    scale_metric: Literal["", "cpu", "memory", "concurrency", "rps"] = Field(
        default="",
        description="What the autoscaler looks at; concurrency and rps exist with Knative only. Empty: cpu, with Knative concurrency.",
    )
    scale_target: int = Field(
        default=70,
        ge=1,
        description="Its target: percent of the request for cpu and memory, requests a pod for concurrency and rps.",
    )
    cpu_request: Quantity = Field(default="250m", description="CPU set aside for a predictor.")
    cpu_limit: Quantity = Field(default="2", description="CPU at which it is slowed; above the request, for loading.")
    memory_request: Quantity = Field(default="384Mi", description="Memory set aside; MovieLens 100K takes 200 MB.")
    memory_limit: Quantity = Field(default="1Gi", description="Memory at which it is stopped.")
    timeout_seconds: int = Field(default=30, ge=1, description="Longest request that the platform waits for.")
    drain_seconds: int = Field(
        default=5,
        ge=0,
        description="A pod that is told to end answers on for this long, until nobody asks it any more.",
    )
    start_seconds: int = Field(
        default=180, ge=10, description="A predictor that does not answer by then is started anew."
    )
    annotations: dict[str, str] = Field(
        default={}, description="More annotations of the InferenceService, and so of its pods."
    )
    labels: dict[str, str] = Field(default={}, description="More labels, likewise.")
    pod: dict[str, Any] = Field(
        default={},
        description="More fields of spec.predictor, such as nodeSelector or tolerations; those that Everloop writes win.",
    )
    gateway: str = Field(
        default="",
        description="NAMESPACE/NAME of the Gateway (Gateway API) for `everloop kserve canary --by httproute`.",
    )

    @field_validator("max_replicas")
    @classmethod
    def _not_fewer(cls, most: int, info: ValidationInfo) -> int:
        if most < info.data.get("min_replicas", most):
            raise PydanticCustomError("max_replicas", "give at least min_replicas")
        return most

    @field_validator("scale_metric")
    @classmethod
    def _known_to_the_mode(cls, metric: str, info: ValidationInfo) -> str:
        """KServe refuses the two in Standard mode; with auto nobody knows which it will be."""
        if metric in REQUEST_METRICS and info.data.get("mode") != "knative":
            raise PydanticCustomError(
                "scale_metric", "concurrency and rps need kserve.mode knative; give cpu or memory"
            )
        return metric

    @field_validator("scale_target")
    @classmethod
    def _percent(cls, target: int, info: ValidationInfo) -> int:
        if info.data.get("scale_metric") not in REQUEST_METRICS and target > 100:
            raise PydanticCustomError("scale_target", "give a percentage from 1 to 100 for cpu and memory")
        return target
