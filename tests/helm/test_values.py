"""values.yaml, its schema and the settings agree, and nothing that is not in them is taken."""

import json
import tomllib
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from components.recsys.settings import Settings, parse
from pipelines.chart.schema import schema as generated
from pipelines.chart.values import Chart
from pipelines.chart.writing import write_chart
from tests.helm.charts import CHART, HOME, Refused, helm, named, render, template

ROOT = CHART.parents[1]


def test_the_chart_is_of_the_products_version() -> None:
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text())
    product = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    assert chart["version"] == chart["appVersion"] == product


def test_what_is_generated_is_what_is_committed(tmp_path: Path) -> None:
    stale = [
        path.name
        for path in write_chart(tmp_path)
        if path.read_text() != (CHART / path.relative_to(tmp_path)).read_text()
    ]
    assert not stale, "run make compile"


def test_the_default_values_are_those_of_the_models_and_pass_the_schema(schema: dict[str, Any]) -> None:
    values = yaml.safe_load((CHART / "values.yaml").read_text())
    assert not list(jsonschema.Draft7Validator(schema).iter_errors(values))
    assert Chart.model_validate(values) == Chart()


def test_every_value_says_what_it_is(schema: dict[str, Any]) -> None:
    lines = (CHART / "values.yaml").read_text().splitlines()
    silent = [
        line for before, line in zip(["", *lines], lines, strict=False) if line and before == "" and line[0] != "#"
    ]
    assert silent == []


def test_the_schema_is_closed_everywhere() -> None:
    """But for the settings of a model, which the model itself checks, and for objects of one's own."""
    open_: list[str] = []

    def walk(one: Any, path: str) -> None:
        if isinstance(one, dict):
            closed = one.get("additionalProperties", None)
            if one.get("type") == "object" and closed in (None, True):
                open_.append(path)
            for key, below in one.items():
                if key != "default":
                    walk(below, f"{path}.{key}")
        elif isinstance(one, list):
            for number, below in enumerate(one):
                walk(below, f"{path}.{number}")

    walk(generated(), "")
    allowed = {
        ".properties.global",
        ".properties.extraManifests.items.anyOf.0",
        ".definitions.settings.TrainSettings.properties.models.additionalProperties",
        ".definitions.settings.KServeSettings.properties.pod",
    }
    assert set(open_) <= allowed, set(open_) - allowed


@pytest.mark.parametrize("section", list(Settings.model_fields))
def test_every_setting_can_be_given_alone(section: str, schema: dict[str, Any]) -> None:
    """A section of settings may be given in part, as in a settings file."""
    checker = jsonschema.Draft7Validator(schema)
    for name, value in Settings().model_dump(mode="json")[section].items():
        assert not list(checker.iter_errors({"settings": {section: {name: value}}})), name


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"settings": {"trian": {"seed": 1}}}, "trian"),
        ({"settings": {"train": {"sed": 1}}}, "sed"),
        ({"settings": {"rollout": {"alpha": 2}}}, "alpha"),
        ({"gatway": {}}, "gatway"),
        ({"gateway": {"replica": 2}}, "replica"),
        ({"gateway": {"replicas": 0}}, "replicas"),
        ({"home": "gs://bucket"}, "home"),
        ({"home": "s3://"}, "home"),
        ({"image": {"serving": {"digest": "sha256:abc"}}}, "digest"),
        ({"image": {"serving": {"digest": "a" * 64}}}, "digest"),
        ({"image": {"serving": {"tag": "a b"}}}, "tag"),
        ({"image": {"pullPolicy": "Sometimes"}}, "pullPolicy"),
        ({"gateway": {"podSecurityContext": {"runAsUser": 0}}}, "runAsUser"),
        ({"gateway": {"podSecurityContext": {"runAsNonRoot": False}}}, "runAsNonRoot"),
        ({"gateway": {"securityContext": {"privileged": True}}}, "privileged"),
        ({"gateway": {"securityContext": {"readOnlyRootFilesystem": False}}}, "readOnlyRootFilesystem"),
        ({"gateway": {"extraVolumes": [{"name": "x", "hostPath": {"path": "/"}}]}}, "extraVolumes"),
        ({"gateway": {"resources": {"requests": {"memory": "1 GB"}}}}, "memory"),
        ({"gateway": {"autoscaling": {"kind": "both"}}}, "kind"),
        ({"commonLabels": {"team": "a b"}}, "commonLabels"),
        ({"commonLabels": {"-team": "a"}}, "team"),
        ({"fullnameOverride": "Everloop"}, "fullnameOverride"),
        ({"fullnameOverride": "x" * 64}, "fullnameOverride"),
        ({"store": {"existingSecret": "a_b"}}, "existingSecret"),
        ({"monitoring": {"serviceMonitor": {"interval": "often"}}}, "interval"),
    ],
)  # fmt: skip
def test_a_value_that_cannot_be_is_refused_by_name(program: str, values: dict[str, Any], words: str) -> None:
    with pytest.raises(Refused, match=words) as refused:
        template(program, {"home": HOME, **values})
    assert "meet the specifications" in str(refused.value)


def test_the_parts_take_the_settings_that_the_chart_gives_them(program: str) -> None:
    values = {"home": HOME, "settings": {"train": {"seed": 7}, "rollout": {"steps": [0.1, 1.0]}}}
    told = json.loads(named(render(program, values), "ConfigMap", "everloop-settings")["data"]["settings.json"])
    settings = parse(Settings, told)
    assert (settings.train.seed, settings.rollout.steps, settings.rollout.predictors) == (7, (0.1, 1.0), "kserve")
    assert {settings.gateway.host, settings.drift.host, settings.rollout.host, settings.retrain.host} == {"0.0.0.0"}
    assert settings.kserve.image.endswith(
        f"everloop/serving:{yaml.safe_load((CHART / 'Chart.yaml').read_text())['version']}"
    )


def test_helm_finds_nothing_to_say(program: str) -> None:
    said = helm(program, "lint", "--strict", "--set", f"home={HOME}", str(CHART))
    assert "0 chart(s) failed" in said
    assert "WARNING" not in said
