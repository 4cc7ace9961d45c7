"""Whatever the schema takes renders, with helm 3 and helm 4 alike, to objects that Kubernetes takes.

24 values in the suite, 500 with `make check-chart` (EVERLOOP_CHART_VALUES). Value N is the same everywhere:
EVERLOOP_CHART_FIRST=N EVERLOOP_CHART_VALUES=1 shows one alone.
"""

import os
import random
import re
from typing import Any

import jsonschema
import pytest

from tests.helm import restricted
from tests.helm.agreement import agreeing
from tests.helm.charts import OPERATOR, parsed, pods, template
from tests.helm.sampling import sample
from tests.helm.validity import Validity

FIRST = int(os.environ.get("EVERLOOP_CHART_FIRST", "0"))
MANY = int(os.environ.get("EVERLOOP_CHART_VALUES", "24"))
BATCHES = 4  # so that several workers share them
MANIFESTS = (
    {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "extra-{{ .Release.Name }}"}, "data": {"home": "{{ .Values.home }}"}},
    "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: text\ndata:\n  home: {{ .Values.home | quote }}\n",
)  # fmt: skip
LABEL = re.compile(r"([A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?)?")
NAME = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")


def values_of(number: int, schema: dict[str, Any]) -> dict[str, Any]:
    draw = random.Random(f"chart-{number}")
    values = sample(draw, schema)
    values.pop("global", None)
    values["extraManifests"] = draw.sample(MANIFESTS, draw.randrange(3))
    return agreeing(values)


@pytest.mark.parametrize("batch", range(BATCHES))
def test_random_values_render_to_sound_objects(
    batch: int, schema: dict[str, Any], validity: Validity, tool: Any
) -> None:
    tool("helm3"), tool("helm4")
    checker = jsonschema.Draft7Validator(schema)
    for number in range(FIRST + batch, FIRST + MANY, BATCHES):
        values = values_of(number, schema)
        assert not list(checker.iter_errors(values)), number
        draw = random.Random(number)
        release = draw.choice(["everloop", "shop", "42", "a" * 53, "everloop-" + "b" * 44])
        apis = OPERATOR if draw.random() < 0.7 else ()
        text = template("helm4", values, release=release, apis=apis)
        objects = list(parsed(text))
        assert list(parsed(template("helm3", values, release=release, apis=apis))) == objects, number
        faults = [fault for one in objects for fault in (*validity.faults(one), *misnamed(one))]
        faults += [f"{name}: {fault}" for name, pod in pods(objects) for fault in restricted.faults(pod)]
        faults += disagreements(objects)
        assert not faults, (number, faults[:10])


def misnamed(one: dict[str, Any]) -> list[str]:
    metadata = one["metadata"]
    told = [] if NAME.fullmatch(metadata["name"]) else [f"{one['kind']} is called {metadata['name']}"]
    for key, value in metadata.get("labels", {}).items():
        if not isinstance(value, str) or not LABEL.fullmatch(value):
            told.append(f"{one['kind']} {metadata['name']} has label {key}={value}")
    return told


def disagreements(objects: list[dict[str, Any]]) -> list[str]:
    """Between objects: names twice, selectors that find nobody, ports and volumes that are not there."""
    told = []
    keys = [(one["kind"], one["metadata"].get("namespace"), one["metadata"]["name"]) for one in objects]
    told += [f"{key} twice" for key in set(keys) if keys.count(key) > 1]
    made = dict(pods(objects))
    for one in objects:
        if one["kind"] == "Deployment":
            labels = one["spec"]["template"]["metadata"]["labels"]
            if not one["spec"]["selector"]["matchLabels"].items() <= labels.items():
                told.append(f"{one['metadata']['name']} does not select its own pods")
        if one["kind"] == "Service":
            found = [p for p in made.values() if one["spec"]["selector"].items() <= p["metadata"]["labels"].items()]
            ports = {port["name"] for pod in found for c in pod["spec"]["containers"] for port in c.get("ports", ())}
            if len(found) != 1 or {port["targetPort"] for port in one["spec"]["ports"]} - ports:
                told.append(f"Service {one['metadata']['name']} finds {len(found)} pods with ports {ports}")
    for name, pod in made.items():
        volumes = [volume["name"] for volume in pod["spec"].get("volumes", ())]
        mounts = {mount["name"] for c in pod["spec"]["containers"] for mount in c.get("volumeMounts", ())}
        if mounts - set(volumes) or len(volumes) != len(set(volumes)):
            told.append(f"{name} mounts {mounts} of {volumes}")
    return told
