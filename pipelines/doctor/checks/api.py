"""The API server: its version, and whether its clock and this machine's agree."""

from collections.abc import Iterator
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

from pipelines.doctor.cluster import Cluster
from pipelines.doctor.findings import NO, OK, UNKNOWN, WARNING, Finding
from pipelines.doctor.versions import Version, parse
from pipelines.doctor.wants import Wants

AREA = "Kubernetes"
OLDEST = Version(1, 28)  # the chart's kubeVersion
TESTED = (Version(1, 32), Version(1, 37))  # the versions whose schemas our objects are tested against
MOST_SKEW_SECONDS = 60.0  # tokens and leases are signed and compared in seconds; a minute apart they begin to fail


def check(cluster: Cluster, wants: Wants) -> Iterator[Finding]:
    version = parse(str(cluster.version.get("gitVersion", "")))
    yield _version(cluster, version)
    told = cluster.get("/version").headers.get("Date", "")
    if told:
        skew = (parsedate_to_datetime(told) - datetime.now(UTC)).total_seconds()
        if abs(skew) > MOST_SKEW_SECONDS:
            found = f"the API server's differs from this machine's by {abs(skew):.0f} s"
            yield Finding(AREA, "clock", WARNING, found, "set this machine's clock: timedatectl set-ntp true")


def _version(cluster: Cluster, version: Version | None) -> Finding:
    where = f"{cluster.server} (context {cluster.context})"
    if version is None:
        return Finding(AREA, "version", UNKNOWN, f"{where} answers, but does not tell its version", "kubectl version")
    if version < OLDEST:
        do = "upgrade the cluster"
        return Finding(AREA, "version", NO, f"{version}, older than {OLDEST.major}.{OLDEST.minor}; {where}", do)
    if not TESTED[0][:2] <= version[:2] <= TESTED[1][:2]:
        span = f"{TESTED[0].major}.{TESTED[0].minor} to {TESTED[1].major}.{TESTED[1].minor}"
        return Finding(AREA, "version", WARNING, f"{version}; we test {span}; {where}")
    return Finding(AREA, "version", OK, f"{version} at {where}")
