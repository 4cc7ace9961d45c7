"""An API server with its faults, over real HTTP; schemas of the cluster's own kinds, strictly; a digest; settings."""

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from jsonschema import Draft202012Validator

from components.recsys.home import Home
from components.recsys.settings import ServingSettings, Settings, load_settings
from serving.kserve.api import Api
from serving.kserve.connection import Connection
from serving.kserve.inference_service import name_of
from serving.kserve.predictors import KServePredictors
from serving.server import running
from tests.serving.kserve.apiserver import ApiServer
from tests.serving.kserve.predicting import Clock, Made


@pytest.fixture
def digest() -> str:
    return "9f2c4ab0d1e2" + "0" * 52


@pytest.fixture
def other() -> str:
    return "1b7d55aa0c3e" + "f" * 52


@pytest.fixture
def set_() -> Any:
    """Settings with overrides."""

    def made(*overrides: str) -> Settings:
        return load_settings(None, overrides)

    return made


def validator(file: Path, version: str) -> Draft202012Validator:
    """A custom resource's schema, that knows every field: what is not named is refused, as strict clients do."""
    document = yaml.load(file.read_text(), yaml.CSafeLoader)  # in C: it has a megabyte
    served = {one["name"]: one for one in document["spec"]["versions"]}
    schema = served[version]["schema"]["openAPIV3Schema"]
    schema["properties"] |= {
        "apiVersion": {"type": "string"},
        "kind": {"type": "string"},
        "metadata": {"type": "object"},
    }
    return Draft202012Validator(strict(schema))


def strict(schema: Any) -> Any:
    if isinstance(schema, list):
        return [strict(part) for part in schema]
    if not isinstance(schema, dict):
        return schema
    made = {key: strict(value) for key, value in schema.items()}
    if schema.get("x-kubernetes-int-or-string"):
        made["anyOf"] = [{"type": "integer"}, {"type": "string"}]
        made.pop("type", None)
    if isinstance(schema.get("properties"), dict) and not schema.get("x-kubernetes-preserve-unknown-fields"):
        made.setdefault("additionalProperties", False)
    return made


@pytest.fixture(scope="session")
def inference_services(crds: Path) -> Draft202012Validator:
    return validator(crds / "kserve/serving.kserve.io_inferenceservices.yaml", "v1beta1")


@pytest.fixture(scope="session")
def http_routes(crds: Path) -> Draft202012Validator:
    return validator(crds / "gateway-api/gateway.networking.k8s.io_httproutes.yaml", "v1")


@pytest.fixture(scope="session")
def knative_services(crds: Path) -> Draft202012Validator:
    return validator(crds / "knative-serving/service.yaml", "v1")


@pytest.fixture
def server() -> Iterator[ApiServer]:
    one = ApiServer()
    yield one
    one.close()


@pytest.fixture
def api(server: ApiServer) -> Api:
    """A client that is patient for as long as a test is."""
    return Api(Connection(server.url, "prod", token=lambda: "secret"), patience=2.0)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def bucket(s3_url: str) -> Home:
    """An empty home that pods can read."""
    return Home(s3_url)


@pytest.fixture
def made(bucket: Home, api: Api, server: ApiServer, clock: Clock, monkeypatch: pytest.MonkeyPatch) -> Iterator[Made]:
    """Predictors of an engine that looks at every turn; again for the engine after it."""
    for name in ("ASK_EVERY", "PODS_EVERY", "AGAIN_SECONDS"):
        monkeypatch.setattr(f"serving.kserve.predictors.{name}", 0.0)
    opened: list[KServePredictors] = []

    def make(*overrides: str) -> KServePredictors:
        settings = load_settings(None, ["rollout.predictors=kserve", *overrides])
        one = KServePredictors(bucket, settings, api, clock)
        opened.append(one)
        return one

    yield make
    for one in opened:
        one.mirror.stop()
        while one.mirror.thread.is_alive():
            server.drop_watches()
            one.mirror.thread.join(0.05)


@pytest.fixture
def pods_of(server: ApiServer) -> Callable[..., None]:
    """What the kubelet says of a release's one pod."""

    def say(digest: str, uid: str = "p1", **container: Any) -> None:
        name = name_of(digest)
        labels = {"serving.kserve.io/inferenceservice": name}
        status = {"containerStatuses": [{"name": "kserve-container", "image": "everloop/serving", **container}]}
        server.put("pods", {"metadata": {"name": f"{name}-{uid}", "labels": labels}, "status": status})

    return say


@pytest.fixture
def answering(small_world: Any, tmp_path: Path) -> Iterator[tuple[str, str]]:
    """A release, and the URL where a real predictor holds it."""
    folder = Path(shutil.copytree(small_world.home / "releases" / small_world.digest, tmp_path / "models"))
    with running("", Settings(serving=ServingSettings(port=0, history="memory://")), str(folder)) as url:
        yield small_world.digest, url
