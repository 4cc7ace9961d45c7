"""Kubeflow Pipelines: reached at its endpoint, or through the API server; its version, and who it serves."""

import os
from collections.abc import Iterator

from components.recsys.errors import EverloopError
from pipelines.doctor import kinds
from pipelines.doctor.cluster import Cluster
from pipelines.doctor.findings import NO, OK, UNKNOWN, WARNING, Finding, Unanswered
from pipelines.doctor.versions import Version, parse
from pipelines.doctor.wants import Wants
from pipelines.doctor.workloads import KUBEFLOW, running

AREA = "Kubeflow Pipelines"
OLDEST = Version(2, 0)  # the v2beta1 API
TRIED = Version(2, 17)
PROXY = "/api/v1/namespaces/{namespace}/services/ml-pipeline:8888/proxy/apis/v1beta1/healthz"


def check(cluster: Cluster, wants: Wants) -> Iterator[Finding]:
    if wants.kubeflow_endpoint:
        yield _endpoint(wants)
    yield from _installed(cluster, wants)
    asked = wants.asks("PipelineVersion")
    if kinds.serves(cluster, "pipelines.kubeflow.org/v2beta1", "PipelineVersion"):
        yield Finding(AREA, "PipelineVersion", OK, "pipelines can be applied as objects", asked=asked)
    else:
        yield Finding(
            AREA,
            "PipelineVersion",
            NO,
            "pipelines cannot be applied as objects, only submitted",
            "everloop submit",
            asked,
        )


def _installed(cluster: Cluster, wants: Wants) -> Iterator[Finding]:
    namespace = wants.kubeflow_namespace
    health = cluster.get(PROXY.format(namespace=namespace))
    try:
        program = running(cluster, KUBEFLOW)
    except Unanswered:
        program = None
    version = parse(str(health.body.get("tag_name") or "")) or (program.version if program else None)
    if health.ok or (program and program.ready):
        yield _version(version, wants)
        if health.body.get("multi_user"):
            yield Finding(
                AREA, "users", OK, "serves several users: runs need your profile's --namespace", asked=wants.kubeflow
            )
    elif program:
        do = f"kubectl -n {program.namespace} get pods"
        yield Finding(
            AREA, "API server", NO, f"{program.namespace}/{program.name} has no ready pod", do, wants.kubeflow
        )
    elif health.missing:
        found = f"not in namespace {namespace}"
        do = "https://www.kubeflow.org/docs/components/pipelines/operator-guides/installation/"
        yield Finding(AREA, "API server", NO, found, do, wants.kubeflow and not wants.kubeflow_endpoint)
    else:
        yield Finding(
            AREA,
            "API server",
            UNKNOWN,
            health.why,
            f"kubectl -n {namespace} get deployment ml-pipeline",
            wants.kubeflow,
        )


def _version(version: Version | None, wants: Wants) -> Finding:
    if version is None:
        return Finding(AREA, "version", UNKNOWN, "installed; the version is not told", asked=wants.kubeflow)
    if version < OLDEST:
        return Finding(
            AREA, "version", NO, f"{version} has no v2 API", "upgrade Kubeflow Pipelines to 2.17", wants.kubeflow
        )
    if version[:2] != TRIED[:2]:
        return Finding(
            AREA, "version", WARNING, f"{version}; we test {TRIED.major}.{TRIED.minor}", asked=wants.kubeflow
        )
    return Finding(AREA, "version", OK, str(version), asked=wants.kubeflow)


def _endpoint(wants: Wants) -> Finding:
    from pipelines.kubeflow import Kubeflow

    looked_at = f"{wants.kubeflow_endpoint}, from here"
    try:
        Kubeflow(wants.kubeflow_endpoint, os.environ.get("KUBEFLOW_TOKEN", ""), wants.namespace, timeout_seconds=5)
    except EverloopError as error:
        return Finding(
            AREA,
            looked_at,
            NO,
            str(error),
            f"kubectl -n {wants.kubeflow_namespace} port-forward service/ml-pipeline 8888",
        )
    return Finding(AREA, looked_at, OK, "answers")
