"""Schemas of the cluster's own kinds, strictly; a digest; settings."""

from pathlib import Path
from typing import Any

import pytest
import yaml
from jsonschema import Draft202012Validator

from components.recsys.settings import Settings, load_settings


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
