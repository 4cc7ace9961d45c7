"""A repository of its own that Argo CD follows: this checkout's chart and manifests, with one environment.

>>> deployed = Deployed.pushed(kubectl, outside, inside, home, folder)
>>> deployed.application()["status"]["sync"]["status"]
'Synced'
"""

import json
import shutil
import subprocess
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from pipelines.gitops.environments import Environment, model_path
from pipelines.gitops.model import Model, parsed, rendered

ROOT = Path(__file__).parents[2]
Json = dict[str, Any]
Kubectl = Callable[..., "subprocess.CompletedProcess[str]"]
# Small enough for a cluster of two cores that does other things too; the store and the API server may be anywhere.
VALUES: Json = {
    "settings": {
        "rollout": {"kserve": "follow", "interval_seconds": 1},
        "kserve": {"cpu_request": "20m", "memory_request": "192Mi", "max_replicas": 1},
        "gateway": {"poll_seconds": 0.5},
    },
    "gateway": {"resources": {"requests": {"cpu": "20m", "memory": "192Mi"}}},
    "rollout": {"resources": {"requests": {"cpu": "20m", "memory": "128Mi"}}},
    "monitor": {"resources": {"requests": {"cpu": "20m", "memory": "192Mi"}}},
    "controller": {"resources": {"requests": {"cpu": "20m", "memory": "128Mi"}}},
    "networkPolicy": {"egress": {"store": {"ports": [443, 80, 9000, 8333]}}},
}


def git(folder: Path, *arguments: str) -> str:
    named = ("-c", "user.name=Everloop tests", "-c", "user.email=tests@example.com")
    done = subprocess.run(["git", *named, *arguments], cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@dataclass(frozen=True)
class Deployed:
    """url, inside: of the repository as this machine and as pods reach it. env: a name that no other environment has."""

    kubectl: Kubectl
    work: Path
    url: str
    inside: str
    env: str
    home: str

    @classmethod
    def pushed(cls, kubectl: Kubectl, outside: str, inside: str, home: str, folder: Path) -> "Deployed":
        """The repository on the server. outside, inside: its URL here and in the cluster, without its name."""
        name = f"everloop-test-{uuid.uuid4().hex[:6]}"
        work = folder / "work"
        for part in ("helm", "manifests"):
            shutil.copytree(ROOT / part, work / part)
        overlays = work / "manifests" / "overlays"
        shutil.rmtree(overlays)
        env = name.removeprefix("everloop-")
        url, within = (f"{server.rstrip('/')}/{name}.git" for server in (outside, inside))
        deployed = cls(kubectl, work, url, within, env, home)
        (overlays / env).mkdir(parents=True)
        deployed.write("environment.yaml", {
            "namespace": name, "cluster": "https://kubernetes.default.svc", "promotion": "direct",
        })  # fmt: skip
        deployed.write("values.yaml", {"home": home, **VALUES})
        resources = ["../../base", "model.yaml"]
        deployed.write("kustomization.yaml", {"namespace": name, "resources": resources})
        environment = Environment(env, name, "direct", home, {"home": home, **VALUES})
        (overlays / env / "model.yaml").write_text(rendered(Model(home=home), environment))
        argocd = work / "manifests" / "argocd"
        # The pipelines are left out: other tests have theirs in Kubeflow's namespace.
        kustomization = yaml.safe_load((argocd / "kustomization.yaml").read_text())
        kustomization["resources"].remove("pipelines.yaml")
        for replacement in kustomization["replacements"]:
            replacement["targets"] = [one for one in replacement["targets"] if one["select"]["kind"] != "Application"]
        (argocd / "kustomization.yaml").write_text(yaml.safe_dump(kustomization))
        root = yaml.safe_load((argocd / "root.yaml").read_text())
        root["spec"]["source"]["repoURL"] = within
        (argocd / "root.yaml").write_text(yaml.safe_dump(root))
        git(work, "init", "-q", "-b", "main")
        deployed.commit("One environment")
        return deployed

    @property
    def namespace(self) -> str:
        return f"everloop-{self.env}"

    @property
    def overlay(self) -> Path:
        return self.work / "manifests" / "overlays" / self.env

    def write(self, file: str, value: Any) -> None:
        (self.overlay / file).write_text(yaml.safe_dump(value, sort_keys=False))

    def commit(self, message: str) -> None:
        git(self.work, "add", "-A")
        git(self.work, "commit", "-q", "-m", message)
        self.push()

    def push(self) -> None:
        git(self.work, "push", "-q", self.url, "HEAD:main")

    def pull(self) -> None:
        git(self.work, "pull", "-q", "--ff-only", self.url, "main")

    def model(self) -> Model:
        self.pull()
        return parsed((self.work / model_path(self.env)).read_text(), model_path(self.env))

    def get(self, *what: str, namespace: str = "") -> Any:
        """An object or a list; None when it is not there."""
        done = self.kubectl("-n", namespace or self.namespace, "get", *what, "-o", "json")
        return json.loads(done.stdout) if done.returncode == 0 else None

    def names(self, kind: str) -> set[str]:
        return {one["metadata"]["name"] for one in (self.get(kind) or {"items": []})["items"]}

    def application(self, name: str = "") -> Json:
        return self.get("application", name or self.namespace, namespace="argocd") or {}

    def at(self, *wanted: str, name: str = "") -> bool:
        """Whether the application is as wanted, at the branch's newest commit: Synced, Healthy, Degraded ..."""
        status = self.application(name).get("status", {})
        revisions = status.get("sync", {}).get("revisions") or [status.get("sync", {}).get("revision")]
        found = {status.get("sync", {}).get("status"), status.get("health", {}).get("status")}
        return set(wanted) <= found and set(revisions) == {git(self.work, "rev-parse", "HEAD")}

    def done(self) -> bool:
        """Synced and healthy at the newest commit, hooks and all."""
        phase = self.application().get("status", {}).get("operationState", {}).get("phase")
        return self.at("Synced", "Healthy") and phase == "Succeeded"

    def refresh(self, kind: str = "normal") -> None:
        self.kubectl(
            "-n",
            "argocd",
            "annotate",
            "application",
            self.namespace,
            f"argocd.argoproj.io/refresh={kind}",
            "--overwrite",
        )

    def told(self, name: str = "") -> str:
        """What Argo CD says of it, for a failed test."""
        status = self.application(name).get("status", {})
        kept = {key: status.get(key) for key in ("sync", "health", "conditions", "operationState")}
        unwell = [
            {key: one.get(key) for key in ("kind", "name", "status", "health")}
            for one in status.get("resources", [])
            if one.get("status") != "Synced" or (one.get("health") or {}).get("status", "Healthy") != "Healthy"
        ]
        pods = self.kubectl("-n", self.namespace, "get", "pods").stdout
        labels = ("app.kubernetes.io/component=smoke-test", "app.kubernetes.io/component=rollout")
        logs = [self.kubectl("-n", self.namespace, "logs", "--prefix", "--tail=8", "-l", one).stdout for one in labels]
        return f"{json.dumps(kept)[:2000]}\n{unwell}\n{pods}\n{''.join(logs)}"
