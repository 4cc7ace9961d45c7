"""The namespace: there, its Pod Security label, room under its quotas, and whether it takes our pods.

The last word has the API server: each pod is created as a dry run, which passes through all of admission (Pod Security,
quotas, limit ranges, policy engines) and is then thrown away.
"""

from collections.abc import Iterator
from fractions import Fraction

from pipelines.doctor.cluster import Answer, Cluster
from pipelines.doctor.findings import NO, OK, UNKNOWN, WARNING, Finding, Unanswered
from pipelines.doctor.kinds import labels
from pipelines.doctor.pods import Pod, as_object, pods_of
from pipelines.doctor.wants import Wants
from serving.kserve.quantities import amount

AREA = "namespace"
ENFORCE = "pod-security.kubernetes.io/enforce"
BY_ADMISSION = (" is forbidden: ", "denied the request", "denied request")  # a 403 without them is somebody else's
LEVELS = ("privileged", "baseline", "restricted")


def check(cluster: Cluster, wants: Wants) -> Iterator[Finding]:
    name = wants.namespace
    answer = cluster.get(f"/api/v1/namespaces/{name}")
    if answer.missing:
        do = f"kubectl create namespace {name} && kubectl label namespace {name} {ENFORCE}=restricted"
        yield Finding(AREA, name, WARNING, "does not exist yet", do)
        return
    if answer.ok and (answer.body.get("status") or {}).get("phase") == "Terminating":
        yield Finding(
            AREA, name, NO, "is being deleted: nothing can be made in it", f"kubectl get namespace {name} -o yaml"
        )
        return
    if answer.ok:
        yield _label(name, labels(answer.body))
    else:
        yield Finding(AREA, "Pod Security label", UNKNOWN, answer.why, f"kubectl get namespace {name} --show-labels")
    pods = list(pods_of(wants))
    for pod in pods:
        yield _taken(cluster.create(f"/api/v1/namespaces/{name}/pods", as_object(pod, name)), pod, name)
    try:
        yield from _room(cluster, name, pods)
    except Unanswered as why:
        yield Finding(AREA, "quotas", UNKNOWN, str(why))


def _label(name: str, said: dict[str, str]) -> Finding:
    level = said.get(ENFORCE, "")
    command = f"kubectl label namespace {name} {ENFORCE}=restricted --overwrite"
    if not level:
        found = "no Pod Security label: pods of any rights may run beside ours; ours pass 'restricted'"
        return Finding(AREA, "Pod Security label", WARNING, found, command)
    if level not in LEVELS:
        return Finding(AREA, "Pod Security label", NO, f"'{level}' is no level", command)
    return Finding(AREA, "Pod Security label", OK, level)


def _taken(answer: Answer, pod: Pod, namespace: str) -> Finding:
    if answer.ok:
        return Finding(AREA, pod.name, OK, "would be taken (dry run)")
    said = str(answer.body.get("message") or answer.why)
    if answer.status not in (400, 422) and not (answer.status == 403 and any(word in said for word in BY_ADMISSION)):
        return Finding(AREA, pod.name, UNKNOWN, answer.why)
    if "cannot create resource" in said:
        return Finding(
            AREA,
            pod.name,
            UNKNOWN,
            "a dry run needs the right to create pods",
            f"kubectl auth can-i create pods -n {namespace}",
        )
    if "violates PodSecurity" in said:
        why = said.partition("violates ")[2]
        do = f"run it with less, or: kubectl label namespace {namespace} {ENFORCE}=baseline --overwrite"
        return Finding(AREA, pod.name, NO, f"would be refused by {why}", do)
    if "exceeded quota" in said:
        do = f"kubectl -n {namespace} describe resourcequota"
        return Finding(AREA, pod.name, NO, f"would be refused: {said.partition('is forbidden: ')[2] or said}", do)
    return Finding(
        AREA, pod.name, NO, f"would be refused: {said.splitlines()[0][:300]}", "change the pod, or ask who set the rule"
    )


def _room(cluster: Cluster, namespace: str, pods: list[Pod]) -> Iterator[Finding]:
    """All pods together, which a dry run, one pod at a time, does not see."""
    needed: dict[str, Fraction] = {}
    for pod in pods:
        for resource, number in pod.needs().items():
            needed[resource] = needed.get(resource, Fraction(0)) + number
    quotas = cluster.items(f"/api/v1/namespaces/{namespace}/resourcequotas")
    for quota in quotas:
        if (quota.get("spec") or {}).get("scopes") or (quota.get("spec") or {}).get("scopeSelector"):
            continue  # it counts some pods only; the dry run knows which
        status = quota.get("status") or {}
        short = []
        for resource, most in (status.get("hard") or {}).items():
            left = amount(str(most)) - amount(str((status.get("used") or {}).get(resource, "0")))
            if needed.get(resource, Fraction(0)) > left:
                short.append(f"{resource} {_shown(needed[resource], resource)} of {_shown(left, resource)} left")
        name = f"quota {quota['metadata']['name']}"
        if short:
            do = f"kubectl -n {namespace} describe resourcequota {quota['metadata']['name']}"
            yield Finding(AREA, name, NO, f"leaves no room: {', '.join(short)}", do)
        else:
            yield Finding(AREA, name, OK, "leaves room")
    if not quotas:
        yield Finding(AREA, "quotas", OK, "none")


def _shown(number: Fraction, resource: str) -> str:
    """As people say it: memory in Mi, the rest as it is."""
    if resource.rpartition(".")[2] in ("memory", "storage"):
        return f"{float(number / 2**20):.0f}Mi"
    return f"{float(number):g}"
