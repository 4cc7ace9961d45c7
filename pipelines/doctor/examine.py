"""All checks of one cluster, in the order in which people put things right.

>>> findings = examine(Cluster(), wants)
>>> exit_code(findings)
0

A check that gets no answer becomes a finding of its own; none of them takes another with it.
"""

from collections.abc import Callable, Iterator

from components.recsys.errors import EverloopError
from pipelines.doctor.checks import (
    api,
    gateway_api,
    home,
    images,
    kserve,
    kubeflow,
    namespace,
    network,
    objects,
    permissions,
    platform,
    prometheus,
    storage,
    stores,
)
from pipelines.doctor.cluster import Cluster
from pipelines.doctor.findings import UNKNOWN, Finding, Unanswered
from pipelines.doctor.wants import Wants

Check = Callable[[Cluster, Wants], Iterator[Finding]]
CHECKS: tuple[tuple[str, Check], ...] = (
    (api.AREA, api.check),
    (namespace.AREA, namespace.check),
    (permissions.AREA, permissions.check),
    (kserve.AREA, kserve.check),
    (gateway_api.AREA, gateway_api.check),
    (kubeflow.AREA, kubeflow.check),
    ("neighbours", platform.check),
    (prometheus.AREA, prometheus.check),
    (network.AREA, network.check),
    (storage.AREA, storage.check),
    (home.AREA, home.check),
    ("stores", stores.check),
    (images.AREA, images.check),
    (objects.AREA, objects.check),
)


def examine(cluster: Cluster, wants: Wants, told: Callable[[str], None] = lambda area: None) -> list[Finding]:
    """told: called with the area that is looked at next."""
    findings: list[Finding] = []
    for area, check in CHECKS:
        told(area)
        try:
            findings += check(cluster, wants)  # takes one by one: what came before an unanswered question counts
        except (Unanswered, EverloopError) as why:
            findings.append(Finding(area, "", UNKNOWN, str(why)))
    return findings
