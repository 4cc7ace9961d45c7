"""Where Kubernetes' API is, and who we are there: inside a pod, or through a kubeconfig file.

>>> connect().namespace                     # in a pod its own namespace; outside the current context's
'recommender'

Inside a pod: the token that the kubelet mounts, read anew at every request, since it is replaced before it expires. Outside:
$KUBECONFIG or ~/.kube/config, its current context, with a token, a client certificate, or a program that gives one (as
clouds do). Without the `kubernetes` package: three requests do not need its 30 MB.
Source: https://kubernetes.io/docs/reference/access-authn-authz/authentication (exec plugins: client.authentication.k8s.io/v1).
"""

import base64
import json
import os
import ssl
import subprocess
import tempfile
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

import yaml

from components.recsys.errors import InputError, StoreError

MOUNTED = Path("/var/run/secrets/kubernetes.io/serviceaccount")
EXEC_SECONDS = 30.0
EARLY_SECONDS = 60.0  # a token that ends within this is fetched anew


@dataclass
class Connection:
    """server: https://HOST:PORT. token: gives the bearer token of now, "" for none. namespace: where we are at home."""

    server: str
    namespace: str
    context: ssl.SSLContext | None = None
    token: Callable[[], str] = field(default=lambda: "")
    proxies: bool = False

    def opener(self) -> urllib.request.OpenerDirector:
        handlers: list[urllib.request.BaseHandler] = [urllib.request.HTTPSHandler(context=self.context)]
        if not self.proxies:  # in a cluster the API is a neighbour
            handlers.append(urllib.request.ProxyHandler({}))
        return urllib.request.build_opener(*handlers)


def connect(mounted: Path = MOUNTED) -> Connection:
    """The cluster of this process. $KUBECONFIG wins over the pod's own. Raises InputError where there is neither."""
    files = [Path(part) for part in os.environ.get("KUBECONFIG", "").split(os.pathsep) if part]
    if not files and os.environ.get("KUBERNETES_SERVICE_HOST"):
        return in_pod(mounted)
    usual = Path("~/.kube/config").expanduser()
    for file in files or [usual]:
        if file.exists():
            return from_kubeconfig(file)
    raise InputError(
        "no Kubernetes is known here: set KUBECONFIG, or run in a pod whose service account token is mounted "
        "(automountServiceAccountToken)"
    )


def in_pod(mounted: Path = MOUNTED) -> Connection:
    host, port = os.environ["KUBERNETES_SERVICE_HOST"], os.environ.get("KUBERNETES_SERVICE_PORT", "443")
    try:
        context = ssl.create_default_context(cafile=str(mounted / "ca.crt"))
        namespace = (mounted / "namespace").read_text().strip()
    except OSError:
        raise InputError(
            f"{mounted} is not mounted, so Kubernetes cannot be asked: set automountServiceAccountToken on this pod"
        ) from None
    server = f"https://[{host}]:{port}" if ":" in host else f"https://{host}:{port}"
    return Connection(server, namespace, context, lambda: (mounted / "token").read_text().strip())


def from_kubeconfig(file: Path) -> Connection:
    """Raises InputError for one that is unreadable or names no cluster."""
    try:
        config = yaml.safe_load(file.read_text())
        context = _named(config, "contexts", config["current-context"])["context"]
        cluster = _named(config, "clusters", context["cluster"])["cluster"]
        user = _named(config, "users", context["user"])["user"] if context.get("user") else {}
        server = str(cluster["server"]).rstrip("/")
    except (OSError, ValueError, KeyError, TypeError, yaml.YAMLError) as error:
        raise InputError(f"{file} names no cluster that can be asked ({type(error).__name__}: {error})") from None
    folder = file.parent
    made = _tls(cluster, user, folder) if server.startswith("https") else None
    return Connection(server, context.get("namespace") or "default", made, _token(user, folder), proxies=True)


def _named(config: dict[str, Any], kind: str, name: str) -> dict[str, Any]:
    return (
        next(one for one in config[kind] if one["name"] == name) if _has(config, kind, name) else _missing(kind, name)
    )


def _has(config: dict[str, Any], kind: str, name: str) -> bool:
    return any(one.get("name") == name for one in config.get(kind) or [])


def _missing(kind: str, name: str) -> dict[str, Any]:
    raise KeyError(f"no {name!r} among {kind}")


def _tls(cluster: dict[str, Any], user: dict[str, Any], folder: Path) -> ssl.SSLContext:
    authority = _bytes(cluster, "certificate-authority", folder)
    context = ssl.create_default_context(cadata=authority.decode() if authority else None)
    if cluster.get("insecure-skip-tls-verify"):
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    certificate, key = _bytes(user, "client-certificate", folder), _bytes(user, "client-key", folder)
    if certificate and key:
        with tempfile.NamedTemporaryFile() as both:  # ssl takes files only; 0600, and gone at once
            both.write(certificate.rstrip() + b"\n" + key)
            both.flush()
            context.load_cert_chain(both.name)
    return context


def _bytes(part: dict[str, Any], name: str, folder: Path) -> bytes:
    if part.get(f"{name}-data"):
        return base64.b64decode(part[f"{name}-data"])
    return (folder / part[name]).read_bytes() if part.get(name) else b""


def _token(user: dict[str, Any], folder: Path) -> Callable[[], str]:
    if user.get("exec"):
        return ExecToken(user["exec"], folder)
    if user.get("tokenFile"):
        return lambda: (folder / user["tokenFile"]).read_text().strip()
    return lambda: str(user.get("token") or "")


class ExecToken:
    """A token from a program, kept until shortly before it ends. Raises StoreError when the program fails."""

    def __init__(self, spec: dict[str, Any], folder: Path) -> None:
        self.spec, self.folder = spec, folder
        self.known, self.until = "", 0.0

    def __call__(self) -> str:
        from time import time

        if not self.known or time() > self.until - EARLY_SECONDS:
            self.known, self.until = self._asked()
        return self.known

    def _asked(self) -> tuple[str, float]:
        name = str(self.spec["command"])
        command = str(self.folder / name) if "/" in name and not name.startswith("/") else name
        info = {"apiVersion": self.spec.get("apiVersion"), "kind": "ExecCredential", "spec": {"interactive": False}}
        environment = {one["name"]: one["value"] for one in self.spec.get("env") or []}
        try:
            ended = subprocess.run(
                [command, *(self.spec.get("args") or [])],
                capture_output=True,
                text=True,
                timeout=EXEC_SECONDS,
                check=True,
                env={**os.environ, **environment, "KUBERNETES_EXEC_INFO": json.dumps(info)},
            )
            status = json.loads(ended.stdout)["status"]
            token, ends = str(status["token"]), str(status.get("expirationTimestamp") or "")
            return token, datetime.fromisoformat(ends).timestamp() if ends else float("inf")
        except (OSError, subprocess.SubprocessError, ValueError, KeyError, TypeError) as error:
            said = getattr(error, "stderr", "") or str(error)
            raise StoreError(f"{name} of the kubeconfig gave no token: {' '.join(str(said).split())[:200]}") from None
