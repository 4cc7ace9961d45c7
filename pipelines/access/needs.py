"""Which part asks what of the cluster's API: the one table behind the chart's Roles and the doctor's questions.

>>> [need for need in NEEDS if need.part == "rollout" and need.when == "create"][0].verbs
('create', 'delete', 'get', 'list', 'patch', 'watch')

Whoever is not in it asks nothing: the gateway, the monitor, the controller and predictors mount no token at all, nor do the
helm test and the smoke test; `everloop gitops` speaks with git, recurring runs and the controller with Kubeflow's own API.

tests/access/test_roles.py compares the rendered Roles with it; test_calls.py lets the engine work against an API server that
enforces them, and finds a verb that is missing and one that nothing uses.
"""

from dataclasses import dataclass
from typing import Literal

When = Literal["create", "follow", "always", "profile"]


@dataclass(frozen=True)
class Need:
    """when: create or follow, of the setting rollout.kserve; profile: where Kubeflow serves several users. where: in the code.

    names: only objects of these names; empty: all. namespace: releases (setting kserve.namespace, else the installation's), steps
    (where Kubeflow runs its pods) or profile (controller.kubeflow.namespace).
    """

    part: str
    group: str
    resource: str
    verbs: tuple[str, ...]
    when: When
    where: str
    why: str
    names: tuple[str, ...] = ()
    namespace: Literal["releases", "steps", "profile"] = "releases"


_KSERVE, _ISVC = "serving.kserve.io", "inferenceservices"

NEEDS: tuple[Need, ...] = (
    Need(
        "rollout",
        _KSERVE,
        _ISVC,
        ("create", "delete", "get", "list", "patch", "watch"),
        "create",
        "serving.kserve.predictors",
        "an InferenceService for each release in use, made, followed, brought up to the settings, deleted",
    ),
    Need(
        "rollout",
        "policy",
        "poddisruptionbudgets",
        ("create",),
        "create",
        "serving.kserve.predictors",
        "with kserve.min_replicas of 2 or more; deleted with its InferenceService, which owns it",
    ),
    Need(
        "rollout",
        _KSERVE,
        _ISVC,
        ("list", "watch"),
        "follow",
        "serving.kserve.mirror",
        "the InferenceServices that git brought",
    ),
    Need(
        "rollout",
        "",
        "configmaps",
        ("get",),
        "follow",
        "serving.kserve.orders",
        "what git says: which release leads, which is tried",
        names=("everloop-model",),
    ),
    Need(
        "rollout",
        "",
        "pods",
        ("list",),
        "always",
        "serving.kserve.predictors",
        "why a release does not start, in its pods' own words",
    ),
    # Kubeflow's own containers in a step's pod use its account: Argo's executor reports outputs, the launcher reads where
    # artifacts go. Our code asks nothing. Sources: Argo Workflows, "Workflow RBAC" (from 3.4 on); Kubeflow Pipelines,
    # backend/src/v2 (driver, launcher), its configmap kfp-launcher and its default secret of the artifact store.
    Need(
        "steps",
        "argoproj.io",
        "workflowtaskresults",
        ("create", "patch"),
        "always",
        "Argo's executor",
        "what a step gave back",
        namespace="steps",
    ),
    Need(
        "steps",
        "",
        "configmaps",
        ("get",),
        "always",
        "Kubeflow's driver and launcher",
        "where artifacts go",
        names=("kfp-launcher",),
        namespace="steps",
    ),
    Need(
        "steps",
        "",
        "secrets",
        ("get",),
        "always",
        "Kubeflow's driver and launcher",
        "the keys of the artifact store",
        names=("mlpipeline-minio-artifact",),
        namespace="steps",
    ),
    # Kubeflow for several users asks the API server whether a caller may do this to resources of its own, which nobody stores.
    # Source: Kubeflow Pipelines, backend/src/apiserver: common/const.go and the servers' calls of isAuthorized.
    *(
        Need(
            "controller",
            "pipelines.kubeflow.org",
            resource,
            verbs,
            "profile",
            "pipelines.kubeflow",
            f"{resource} of a profile",
            namespace="profile",
        )
        for resource, verbs in (
            ("experiments", ("create", "get", "list")),
            ("pipelines", ("create", "get", "list")),
            ("runs", ("create", "get", "list", "terminate")),
        )
    ),
)


def needs_of(part: str, when: When = "create") -> tuple[Need, ...]:
    """What a part needs, with this setting of rollout.kserve."""
    return tuple(need for need in NEEDS if need.part == part and need.when in (when, "always"))


def parts_with_needs() -> tuple[str, ...]:
    """The parts that mount a token for the API server. The controller's, in a profile, is for Kubeflow's audience alone."""
    return tuple(dict.fromkeys(need.part for need in NEEDS if need.when != "profile"))
