"""An API server that answers what clusters answered, over real HTTP, and fails as API servers do.

The facts are those of kind, GKE-like and the KServe releases' own installations: paths, kinds, labels, images and the
ConfigMap inferenceservice-config of v0.16.0 to v0.20.0, cut down to what the doctor asks.
"""

import json
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
import yaml

from pipelines.doctor.cluster import Cluster
from pipelines.doctor.examine import examine
from pipelines.doctor.findings import Finding
from pipelines.doctor.wants import Wants

Json = dict[str, Any]
TOKEN = "a-token"
CRDS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"


@dataclass
class Fault:
    """What a path answers instead; times: how often (for ever without)."""

    status: int = 0
    message: str = "made to fail"
    headers: dict[str, str] = field(default_factory=dict)
    seconds: float = 0
    times: int = 10**9


@dataclass
class Api:
    """One cluster: path -> body; everything else is 404. Lists know labelSelector; POSTs are admitted unless `admission` says no."""

    paths: dict[str, Json] = field(default_factory=dict)
    faults: dict[str, Fault] = field(default_factory=dict)  # by the beginning of a path
    denied: set[tuple[str, str]] = field(default_factory=set)  # (verb, resource) that the caller may not
    admission: Callable[[str, Json], tuple[int, str]] = lambda path, body: (201, "")
    asked: list[str] = field(default_factory=list)
    url: str = ""

    def add(self, path: str, *items: Json) -> None:
        """Objects in a list, each also under its own path."""
        self.paths.setdefault(path, {"kind": "List", "items": []})["items"] += items
        for each in items:
            self.paths[f"{path}/{each['metadata']['name']}"] = each

    def serve(self, api_version: str, *kinds: str) -> None:
        root = f"/apis/{api_version}" if "/" in api_version else f"/api/{api_version}"
        resources = self.paths.setdefault(root, {"kind": "APIResourceList", "resources": []})["resources"]
        resources += [{"name": _plural(kind), "kind": kind} for kind in kinds]

    def define(self, name: str, version: str, schema: Json, **metadata: Json) -> None:
        versions = [{"name": version, "served": True, "schema": {"openAPIV3Schema": schema}}]
        self.paths[f"{CRDS}/{name}"] = {"metadata": {"name": name, **metadata}, "spec": {"versions": versions}}

    def run(
        self, namespace: str, name: str, image: str, kind: str = "deployments", ready: int = 1, **labels: str
    ) -> None:
        """A controller's workload, in its namespace's list and in that of all."""
        made = {
            "metadata": {"name": name, "namespace": namespace, "labels": labels},
            "spec": {"template": {"spec": {"containers": [{"name": "manager", "image": image}]}}},
            "status": {"readyReplicas": ready},
        }
        self.add(f"/apis/apps/v1/namespaces/{namespace}/{kind}", made)
        self.add(f"/apis/apps/v1/{kind}", made)

    def answer(self, method: str, url: str, body: Json) -> tuple[int, Json]:
        path, query = urlsplit(url).path, parse_qs(urlsplit(url).query)
        if path.endswith("selfsubjectaccessreviews"):
            wanted = body["spec"]["resourceAttributes"]
            return 201, {**body, "status": {"allowed": (wanted["verb"], wanted["resource"]) not in self.denied}}
        if method == "POST":
            assert query["dryRun"] == ["All"], "the doctor stores nothing"
            status, message = self.admission(path, body)
            return status, body if status < 400 else refusal(status, message)
        if path not in self.paths:
            return (
                (200, {"items": []}) if path.rpartition("/")[2] in LISTS else (404, refusal(404, f"{path} not found"))
            )
        found = self.paths[path]
        for selector in query.get("labelSelector", ()):
            name, _, value = selector.partition("=")
            items = [each for each in found["items"] if each["metadata"].get("labels", {}).get(name) == value]
            found = {**found, "items": items}
        return 200, found


LISTS = ("deployments", "statefulsets", "daemonsets", "pods", "resourcequotas")


def refusal(status: int, message: str) -> Json:
    return {"kind": "Status", "apiVersion": "v1", "status": "Failure", "message": message, "code": status}


def _plural(kind: str) -> str:
    lower = kind.lower()
    return (
        lower if lower.endswith("s") and not lower.endswith("ss") else lower + ("es" if lower.endswith("ss") else "s")
    )


@pytest.fixture
def api() -> Iterator[Api]:
    """A bare cluster: Kubernetes 1.32, a labelled namespace `team-a`, a default storage class, and nothing else."""
    made = Api()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        wbufsize = 1 << 16  # one write an answer: two would each wait for the other's acknowledgement

        def do_GET(self) -> None:
            self._do()

        do_POST = do_GET

        def _do(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers.get("Content-Length") or 0)) or b"{}")
            path = urlsplit(self.path).path
            made.asked.append(f"{self.command} {self.path}")
            status, value, headers = 0, {}, {}
            fault = next(
                (each for begin, each in made.faults.items() if path.startswith(begin) and each.times > 0), None
            )
            if fault:
                fault.times -= 1
                time.sleep(fault.seconds)
                status, value, headers = fault.status, refusal(fault.status, fault.message), fault.headers
            if not status:
                if self.headers.get("Authorization") == f"Bearer {TOKEN}":
                    status, value = made.answer(self.command, self.path, body)
                else:
                    status, value = 401, refusal(401, "Unauthorized")
            data = json.dumps(value).encode()
            self.send_response(status)
            for name, text in {"Content-Type": "application/json", "Content-Length": str(len(data)), **headers}.items():
                self.send_header(name, text)
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, *_: Any) -> None:
            """Nothing: requests are not what a test prints."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    made.url = f"http://127.0.0.1:{server.server_port}"
    made.paths["/version"] = {"major": "1", "minor": "32", "gitVersion": "v1.32.4"}
    label = {"pod-security.kubernetes.io/enforce": "restricted"}
    made.add("/api/v1/namespaces", {"metadata": {"name": "team-a", "labels": label}})
    default = {"storageclass.kubernetes.io/is-default-class": "true"}
    made.add("/apis/storage.k8s.io/v1/storageclasses", {"metadata": {"name": "standard", "annotations": default}})
    made.add("/api/v1/nodes", {"metadata": {"name": "node-1"}, "status": {"images": []}})
    made.serve("v1", "ConfigMap", "Service")
    yield made
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def fault() -> type[Fault]:
    return Fault


@pytest.fixture
def kubeconfig(api: Api, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A kubeconfig that names the server, as the environment's KUBECONFIG."""
    file = tmp_path / "kubeconfig"
    file.write_text(yaml.safe_dump(config_of(api.url)))
    for name in ("KUBERNETES_SERVICE_HOST", "EVERLOOP_HOME", "KUBEFLOW_ENDPOINT", "EVERLOOP_REGISTRY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("KUBECONFIG", str(file))
    return file


def config_of(url: str, token: str = TOKEN) -> Json:
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "here",
        "contexts": [{"name": "here", "context": {"cluster": "here", "user": "me", "namespace": "team-a"}}],
        "clusters": [{"name": "here", "cluster": {"server": url}}],
        "users": [{"name": "me", "user": {"token": token}}],
    }


@pytest.fixture
def diagnose(api: Api, kubeconfig: Path) -> Callable[..., list[Finding]]:
    """All findings for what is wanted."""

    def asked(wants: Wants | None = None, **options: Any) -> list[Finding]:
        cluster = Cluster(**options)
        try:
            return examine(cluster, wants or Wants("team-a"))
        finally:
            cluster.close()

    return asked


@pytest.fixture
def service() -> Callable[..., Json]:
    """An InferenceService that asks for a split of its own."""

    def made(mode: str = "", **predictor: Any) -> Json:
        canary = predictor.pop("canary", None)
        annotations = {"serving.kserve.io/deploymentMode": mode} if mode else {}
        spec: Json = {"predictor": {"model": {"modelFormat": {"name": "sklearn"}}, **predictor}}
        if canary:
            spec["canary"] = canary
        return {
            "apiVersion": "serving.kserve.io/v1beta1",
            "kind": "InferenceService",
            "metadata": {"name": "m", "annotations": annotations},
            "spec": spec,
        }

    return made


@pytest.fixture
def one() -> Callable[..., Finding]:
    """The finding whose area and object begin with these words."""

    def found(findings: list[Finding], area: str, looked_at: str) -> Finding:
        named = [each for each in findings if each.area == area and each.looked_at.startswith(looked_at)]
        assert len(named) == 1, [(each.area, each.looked_at) for each in findings]
        return named[0]

    return found


@pytest.fixture
def installed(api: Api) -> Callable[..., None]:
    """KServe as its own manifests install it, with or without Knative and Gateway API."""

    def install(
        version: str = "0.20.0",
        mode: str = "Standard",
        knative: bool = False,
        gateway_api: bool = False,
        definition: str = "",
        image: str = "",
    ) -> None:
        api.serve("serving.kserve.io/v1beta1", "InferenceService")
        api.define("inferenceservices.serving.kserve.io", "v1beta1", inference_service_schema(definition or version))
        tag = image or f"kserve/kserve-controller:v{version}"
        api.run("kserve", "kserve-controller-manager", tag, **{"control-plane": "kserve-controller-manager"})
        config = {
            "deploy": json.dumps({"defaultDeploymentMode": mode}),
            "ingress": json.dumps(
                {"enableGatewayApi": gateway_api, "kserveIngressGateway": "kserve/kserve-ingress-gateway"}
            ),
            "agent": json.dumps({"image": f"kserve/agent:v{version}"}),
            "_example": "{ # a comment }",
        }
        api.add(
            "/api/v1/namespaces/kserve/configmaps", {"metadata": {"name": "inferenceservice-config"}, "data": config}
        )
        if knative:
            api.serve("serving.knative.dev/v1", "Service")
            api.run(
                "knative-serving",
                "controller",
                "gcr.io/knative-releases/controller@sha256:0",
                **{"app.kubernetes.io/version": "1.20.0"},
            )
        if gateway_api:
            gateway_api_of(api)

    return install


def gateway_api_of(api: Api, accepted: bool = True) -> None:
    said = {"gateway.networking.k8s.io/bundle-version": "v1.4.0", "gateway.networking.k8s.io/channel": "standard"}
    api.serve("gateway.networking.k8s.io/v1", "Gateway", "GatewayClass", "HTTPRoute")
    api.define("httproutes.gateway.networking.k8s.io", "v1", {}, annotations=said)
    status = {"conditions": [{"type": "Accepted", "status": str(accepted)}]}
    api.add("/apis/gateway.networking.k8s.io/v1/gatewayclasses", {"metadata": {"name": "envoy"}, "status": status})


def inference_service_schema(version: str) -> Json:
    """The fields by which the definitions of KServe's releases differ, and no other."""
    minor = int(version.split(".")[1])
    logger = {"mode": {}, "url": {}}
    if minor >= 16:
        logger["storage"] = {}
    if minor >= 17:
        logger |= {"batchSize": {}, "batchInterval": {}, "marshallerUrl": {}}
    model = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    predictor = {
        "properties": {"canaryTrafficPercent": {}, "model": model, "name": {}, "logger": {"properties": logger}}
    }
    spec = {"predictor": predictor}
    if minor >= 20:
        spec["canary"] = {"type": "array", "items": {"properties": {"predictor": predictor, "trafficPercent": {}}}}
    return {"type": "object", "properties": {"spec": {"properties": spec}}}
