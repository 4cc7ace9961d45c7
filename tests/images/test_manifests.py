"""Images are found wherever an object names one, and nothing else is taken for one."""

import json
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from components.recsys.errors import InputError
from pipelines.images.manifests import images_in, outside, parsed

POD = """
apiVersion: v1
kind: Pod
spec:
  initContainers: [{name: a, image: "one:1"}]
  containers: [{name: b, image: "two@sha256:00"}, {name: c, image: "one:1"}]
  volumes: [{name: d, image: {reference: "three:3", pullPolicy: IfNotPresent}}]
status:
  containerStatuses: [{image: "docker.io/library/two:latest"}]
"""


def test_containers_and_volumes_of_a_pod_each_once() -> None:
    assert images_in(parsed(POD, "pod")) == ["one:1", "three:3", "two@sha256:00"]


def test_lists_custom_resources_and_settings_held_as_json() -> None:
    objects = [
        {"kind": "List", "items": [{"spec": {"predictor": {"containers": [{"image": "predictor:1"}]}}}]},
        {"spec": {"pipelineSpec": {"deploymentSpec": {"executors": {"a": {"container": {"image": "steps:1"}}}}}}},
        {"kind": "ConfigMap", "data": {"settings.json": json.dumps({"kserve": {"image": "held:1"}})}},
    ]
    assert images_in(objects) == ["held:1", "predictor:1", "steps:1"]


def test_schemas_empty_values_and_prose_name_no_image() -> None:
    objects = [
        None,
        {"properties": {"image": {"type": "string"}}},
        {"kserve": {"image": ""}},
        {"data": {"text": '{ "image" is a word here'}},
    ]
    assert images_in(objects) == []


def test_templates_are_refused_with_the_line() -> None:
    with pytest.raises(InputError, match=r"x\.yaml is neither YAML nor JSON, line 2"):
        parsed("a: 1\nb: {{ .Values.b }}: c\n", "x.yaml")


def test_a_registry_is_a_prefix_of_whole_parts() -> None:
    images = ["r.example/ml/a:1", "r.example/mlops/a:1", "a:1", "r.example.evil/ml/a:1"]
    assert outside(images, "r.example/ml") == outside(images, "r.example/ml/") == images[1:]


NAMES = st.from_regex(r"[a-z]{1,8}(/[a-z]{1,8})?:[0-9]{1,3}", fullmatch=True)
KEYS = st.sampled_from(["spec", "containers", "items", "x"])


@given(st.lists(NAMES, min_size=1), st.lists(st.one_of(KEYS, st.none()), max_size=8))
def test_however_deep_they_lie(names: list[str], path: list[str | None]) -> None:
    value: Any = [{"name": "c", "image": name} for name in names]
    for key in path:
        value = {key: value} if key else [value]
    assert images_in(parsed(yaml.safe_dump(value), "made")) == sorted(set(names))
