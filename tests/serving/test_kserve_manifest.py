"""The InferenceService in the docs is one that KServe and our image would take."""

import re
from pathlib import Path

import kubernetes_validate
import pytest
import yaml
from typer.testing import CliRunner

from components.recsys.release import load_folder
from components.recsys.settings import load_settings
from components.recsys.version import VERSION
from serving.app import App
from serving.measures import Measures
from serving.service import Service

DOCS = Path(__file__).parents[2] / "docs" / "serving.md"


@pytest.fixture(scope="module")
def text():
    [block] = re.findall(r"```yaml\n(.*?)```", DOCS.read_text(), re.DOTALL)
    return block


@pytest.fixture(scope="module")
def service(text):
    return yaml.safe_load(text)


@pytest.fixture(scope="module")
def container(service):
    [container] = service["spec"]["predictor"]["containers"]
    return container


def test_kserves_own_types_know_every_field(service):
    """The rest of the pod is Kubernetes' and checked below."""
    from kserve.models import V1beta1InferenceService, V1beta1InferenceServiceSpec, V1beta1PredictorSpec

    for kind, given in (
        (V1beta1InferenceService, service),
        (V1beta1InferenceServiceSpec, service["spec"]),
        (V1beta1PredictorSpec, service["spec"]["predictor"]),
    ):
        assert set(given) <= set(kind.attribute_map.values())


def test_its_pod_is_valid_kubernetes(service):
    predictor = dict(service["spec"]["predictor"])
    for name in ("minReplicas", "maxReplicas", "containerConcurrency", "timeout"):
        predictor.pop(name)
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "everloop-predictor"}, "spec": predictor}
    kubernetes_validate.validate(pod, "1.37", strict=True)


def test_it_runs_the_image_of_this_version_under_the_restricted_profile(service, container):
    assert container["image"] == f"everloop/serving:{VERSION}"
    assert container["name"] == "kserve-container"  # the name by which KServe finds the predictor among containers
    assert service["spec"]["predictor"]["securityContext"]["runAsNonRoot"] is True
    assert container["securityContext"]["capabilities"] == {"drop": ["ALL"]}
    assert container["securityContext"]["allowPrivilegeEscalation"] is False


def test_its_arguments_are_options_and_settings_that_exist(container):
    from pipelines.cli import app

    known = CliRunner().invoke(app, ["serve", "--help"], env={"COLUMNS": "200", "NO_COLOR": "1"}).stdout
    overrides = []
    for argument in container["args"]:
        option, _, value = argument.partition("=")
        assert option in known
        if option == "--set":
            overrides.append(value)
    settings = load_settings(None, overrides).serving
    assert settings.drain_seconds == 5
    assert DOCS.read_text().count(f"  name: {settings.name}\n") >= 1


def test_its_probes_ask_where_the_server_answers(container, small_world):
    settings = load_settings().serving
    app = App(Service(settings, None, Measures()))
    for probe in ("readinessProbe", "livenessProbe"):
        assert container[probe]["httpGet"]["path"] in app.routes
        assert container[probe]["httpGet"]["port"] == container["ports"][0]["containerPort"]


def test_what_the_storage_initializer_mounts_is_what_the_server_reads(container, small_world):
    """It copies what lies under STORAGE_URI to /mnt/models, without the digest in the path."""
    assert "--model-dir=/mnt/models" in container["args"]
    [uri] = [one["value"] for one in container["env"] if one["name"] == "STORAGE_URI"]
    assert re.fullmatch(r"s3://[^/]+/.*releases/[0-9a-f]{64}", uri)
    assert load_folder(small_world.home / "releases" / small_world.digest).digest == small_world.digest
