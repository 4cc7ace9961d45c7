"""Whether a NetworkPolicy does anything: without a network plugin that enforces it, it is stored and ignored."""

from collections.abc import Iterator

from pipelines.doctor.cluster import Cluster
from pipelines.doctor.findings import NO, OK, UNKNOWN, Finding, Unanswered
from pipelines.doctor.wants import Wants

AREA = "network"
NAMESPACES = ("kube-system", "calico-system", "cilium", "kube-flannel", "kube-router", "tigera-operator")
ENFORCING = {  # the beginning of a DaemonSet's name -> the plugin
    "calico-node": "Calico",
    "canal": "Canal",
    "cilium": "Cilium",
    "anetd": "GKE Dataplane V2",
    "antrea-agent": "Antrea",
    "kube-router": "kube-router",
    "weave-net": "Weave Net",
    "azure-npm": "Azure Network Policy Manager",
    "ovnkube-node": "OVN-Kubernetes",
    "kube-network-policies": "kube-network-policies",
}
IGNORING = {"kube-flannel": "Flannel"}
AWS_AGENT = ("aws-eks-nodeagent", "aws-network-policy-agent")


def check(cluster: Cluster, wants: Wants) -> Iterator[Finding]:
    asked = wants.asks("NetworkPolicy")
    found: dict[str, dict[str, object]] = {}
    refused = ""
    for namespace in NAMESPACES:
        try:
            for each in cluster.items(f"/apis/apps/v1/namespaces/{namespace}/daemonsets"):
                found[str(each["metadata"]["name"])] = each
        except Unanswered as why:
            refused = str(why)
    enforcing = [plugin for begin, plugin in ENFORCING.items() if any(name.startswith(begin) for name in found)]
    if any(agent in str(found.get("aws-node")) for agent in AWS_AGENT):
        enforcing.append("AWS VPC CNI with its policy agent")
    ignoring = [plugin for begin, plugin in IGNORING.items() if any(name.startswith(begin) for name in found)]
    if enforcing:
        yield Finding(AREA, "NetworkPolicy", OK, f"enforced by {', '.join(enforcing)}", asked=asked)
    elif ignoring:
        do = "install a plugin that enforces policies, such as Calico or Cilium"
        yield Finding(AREA, "NetworkPolicy", NO, f"{ignoring[0]} stores it and does nothing", do, asked=False)
    else:
        unseen = refused or "no plugin is known to us under the names of this cluster's DaemonSets"
        yield Finding(
            AREA,
            "NetworkPolicy",
            UNKNOWN,
            f"whether it is enforced cannot be seen: {unseen}",
            "docs/kubernetes/doctor.md says how to try it",
            asked,
        )
