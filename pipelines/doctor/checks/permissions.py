"""Who asks may do what installing and running takes; asked of the API server, verb by verb (SelfSubjectAccessReview).

Who installs needs what the parts need, too: the API server lets nobody grant what he does not hold
(kubernetes.io/docs/reference/access-authn-authz/rbac/#privilege-escalation-prevention-and-bootstrapping).
"""

from collections import defaultdict
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

from pipelines.doctor.cluster import Answer, Cluster, Json
from pipelines.doctor.findings import NO, OK, UNKNOWN, Finding
from pipelines.doctor.rights import Right, rights_of
from pipelines.doctor.wants import Wants

AREA = "permissions"
REVIEW = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"


def check(cluster: Cluster, wants: Wants) -> Iterator[Finding]:
    rights = rights_of(wants)
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda right: cluster.create(REVIEW, _review(right), dry_run=False), rights))
    by_purpose: dict[str, list[tuple[Right, Answer]]] = defaultdict(list)
    for right, answer in zip(rights, answers, strict=True):
        by_purpose[right.purpose].append((right, answer))
    for purpose, asked in by_purpose.items():
        yield _verdict(purpose, asked)


def _verdict(purpose: str, asked: list[tuple[Right, Answer]]) -> Finding:
    denied: dict[str, list[Right]] = defaultdict(list)
    for right, answer in asked:
        if answer.ok and not (answer.body.get("status") or {}).get("allowed"):
            denied[f"{right.resource}.{right.group}".rstrip(".")].append(right)
    if denied:
        said = [f"{', '.join(each.verb for each in rights)} {resource}" for resource, rights in denied.items()]
        resource, first = next(iter(denied)), next(iter(denied.values()))[0]
        do = f"kubectl auth can-i {first.verb} {resource} -n {first.namespace}   (then ask who administers the cluster)"
        return Finding(AREA, purpose, NO, f"you may not {'; '.join(said)}", do)
    unanswered = [answer.why for _, answer in asked if not answer.ok]
    if unanswered:
        return Finding(
            AREA, purpose, UNKNOWN, f"{len(unanswered)} of {len(asked)} questions got no answer: {unanswered[0]}"
        )
    return Finding(AREA, purpose, OK, f"all {len(asked)} rights")


def _review(right: Right) -> Json:
    attributes = {"namespace": right.namespace, "verb": right.verb, "group": right.group, "resource": right.resource}
    return {
        "apiVersion": "authorization.k8s.io/v1",
        "kind": "SelfSubjectAccessReview",
        "spec": {"resourceAttributes": attributes},
    }
