"""Every rendered object: a kind that the cluster knows, and no field that its definition would drop without a word."""

from collections.abc import Iterator

from pipelines.doctor import kinds
from pipelines.doctor.cluster import Cluster, Json
from pipelines.doctor.findings import NO, OK, UNKNOWN, Finding, Unanswered
from pipelines.doctor.wants import Wants, title

AREA = "manifests"


def check(cluster: Cluster, wants: Wants) -> Iterator[Finding]:
    made_here = {  # a definition applied with its objects
        ((each.get("spec") or {}).get("names") or {}).get("kind") for each in wants.of_kind("CustomResourceDefinition")
    }
    unknown = sorted(
        {(str(each["apiVersion"]), str(each["kind"])) for each in wants.objects if each["kind"] not in made_here}
    )
    missing: list[tuple[str, str]] = []
    for api_version, kind in unknown:
        try:
            if not kinds.serves(cluster, api_version, kind):
                missing.append((api_version, kind))
                found = "the cluster does not know this kind: kubectl and helm refuse the whole"
                yield Finding(AREA, f"{kind} ({api_version})", NO, found, "install what defines it, or leave it out")
        except Unanswered as why:
            yield Finding(AREA, f"{kind} ({api_version})", UNKNOWN, str(why))
    for each in wants.objects:
        if (each["apiVersion"], each["kind"]) not in missing:
            yield from _fields(cluster, each)
    if wants.objects and not missing:
        yield Finding(AREA, "kinds", OK, f"all {len(unknown)} kinds of {len(wants.objects)} objects are known")


def _fields(cluster: Cluster, thing: Json) -> Iterator[Finding]:
    group, _, version = str(thing["apiVersion"]).rpartition("/")
    if "." not in group or (group.endswith(".k8s.io") and not group.startswith("gateway.")):
        return  # built in: kubectl and helm check these fields themselves
    try:
        plural = _plural(cluster, str(thing["apiVersion"]), str(thing["kind"]))
        lost = kinds.dropped(thing, kinds.schema_of(cluster, f"{plural}.{group}", version))
    except Unanswered as why:
        yield Finding(AREA, f"fields of {title(thing)}", UNKNOWN, str(why))
        return
    if lost:
        found = f"this cluster's definition drops {', '.join(lost[:5])}{' and more' if len(lost) > 5 else ''}"
        yield Finding(AREA, title(thing), NO, found, f"upgrade the definition {plural}.{group}, or leave the field out")


def _plural(cluster: Cluster, api_version: str, kind: str) -> str:
    for each in cluster.get(f"/apis/{api_version}").must().get("resources") or ():
        if each.get("kind") == kind and "/" not in each["name"]:
            return str(each["name"])
    raise Unanswered(f"{kind} is not served")
