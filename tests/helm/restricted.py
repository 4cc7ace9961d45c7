"""Pod Security's level "restricted", as its standard words it.

>>> faults({"spec": {"containers": [{"name": "web", "securityContext": {}}]}})
['web: allowPrivilegeEscalation must be false', ...]

Source: https://kubernetes.io/docs/concepts/security/pod-security-standards/, baseline and restricted.
"""

from collections.abc import Iterator
from typing import Any

Json = dict[str, Any]
VOLUMES = {"configMap", "csi", "downwardAPI", "emptyDir", "ephemeral", "persistentVolumeClaim", "projected", "secret"}
SYSCTLS = {
    "kernel.shm_rmid_forced", "net.ipv4.ip_local_port_range", "net.ipv4.ip_unprivileged_port_start",
    "net.ipv4.tcp_syncookies", "net.ipv4.ping_group_range",
}  # fmt: skip


def faults(pod: Json) -> list[str]:
    return [
        *_of_pod(pod["spec"]),
        *(fault for one in containers(pod["spec"]) for fault in _of_container(one, pod["spec"])),
    ]


def containers(spec: Json) -> list[Json]:
    return [*spec["containers"], *spec.get("initContainers", ()), *spec.get("ephemeralContainers", ())]


def _of_pod(spec: Json) -> Iterator[str]:
    context = spec.get("securityContext", {})
    for name in ("hostNetwork", "hostPID", "hostIPC"):
        if spec.get(name):
            yield f"{name} must not be set"
    for volume in spec.get("volumes", ()):
        if not (volume.keys() - {"name"}) <= VOLUMES:
            yield f"volume {volume['name']} is of another kind than {', '.join(sorted(VOLUMES))}"
    if {one["name"] for one in context.get("sysctls", ())} - SYSCTLS:
        yield "sysctls beyond the safe ones"
    if context.get("windowsOptions", {}).get("hostProcess"):
        yield "hostProcess"


def _of_container(one: Json, spec: Json) -> Iterator[str]:
    pod, own, name = spec.get("securityContext", {}), one.get("securityContext", {}), one["name"]
    both = {**pod, **own}
    if own.get("privileged"):
        yield f"{name}: privileged"
    if own.get("allowPrivilegeEscalation") is not False:
        yield f"{name}: allowPrivilegeEscalation must be false"
    capabilities = own.get("capabilities", {})
    if "ALL" not in capabilities.get("drop", ()):
        yield f"{name}: capabilities.drop must hold ALL"
    if set(capabilities.get("add", ())) - {"NET_BIND_SERVICE"}:
        yield f"{name}: adds capabilities"
    if both.get("runAsNonRoot") is not True:
        yield f"{name}: runAsNonRoot must be true"
    if both.get("runAsUser") == 0:
        yield f"{name}: runAsUser is root"
    if both.get("seccompProfile", {}).get("type") not in ("RuntimeDefault", "Localhost"):
        yield f"{name}: seccompProfile must be RuntimeDefault or Localhost"
    if any(port.get("hostPort") for port in one.get("ports", ())):
        yield f"{name}: hostPort"
    if own.get("procMount", "Default") != "Default":
        yield f"{name}: procMount"
    if both.get("seLinuxOptions", {}).get("type", "") not in ("", "container_t", "container_init_t", "container_kvm_t"):
        yield f"{name}: seLinuxOptions.type"
    if both.get("appArmorProfile", {}).get("type") == "Unconfined":
        yield f"{name}: appArmorProfile"
    for probe in ("livenessProbe", "readinessProbe", "startupProbe"):
        if one.get(probe, {}).get("httpGet", {}).get("host"):
            yield f"{name}: {probe} names a host"
