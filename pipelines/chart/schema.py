"""The closed JSON Schema of the chart's values: `helm/everloop/values.schema.json`.

>>> schema()["properties"]["home"]["pattern"]
'^(s3://[a-z0-9]...'

Draft 7, which both helm 3 and helm 4 read in the same way. The section `settings` is the schema of the settings
themselves, with nothing required: what is not named keeps its default.
"""

from collections.abc import Callable
from typing import Any

from components.recsys.settings import Settings
from pipelines.chart.values import Chart

Json = dict[str, Any]
DRAFT = "http://json-schema.org/draft-07/schema#"
NAMED = ("properties", "patternProperties", "definitions")  # keywords whose keys are names of ours, not keywords


def schema() -> Json:
    """For helm. Any name that is not in it is refused."""
    whole = _draft7(Chart.model_json_schema(by_alias=True, mode="validation"))
    settings = _draft7(_everywhere(Settings.model_json_schema(), lambda one: _without(one, "required", "default")))
    whole["definitions"] |= {f"settings.{name}": one for name, one in settings.pop("definitions").items()}
    whole["properties"]["settings"] = _everywhere(settings, _moved)
    for name, one in whole["definitions"].items():
        if name.startswith("settings."):
            whole["definitions"][name] = _everywhere(one, _moved)
    # helm gives a chart that is part of another one the values that are for all.
    whole["properties"]["global"] = {
        "type": "object",
        "description": "Of a chart that has this one as a part; not read.",
    }
    return {"$schema": DRAFT, "title": "Values of the chart everloop", **_without(whole, "title")}


def _draft7(given: Json) -> Json:
    def translated(one: Json) -> Json:
        one = _without(one, "title")
        if "default" in one and one["default"] is None:  # may be left out; a null in a list would reach the API server
            arms = [arm for arm in one["anyOf"] if arm != {"type": "null"}]
            one = {**_without(one, "anyOf", "default"), **(arms[0] if len(arms) == 1 else {"anyOf": arms})}
        if "$ref" in one:
            one = _without(one, "default")  # each name within has its own
        if "$defs" in one:
            one = {**_without(one, "$defs"), "definitions": one["$defs"]}
        if "$ref" in one:
            one = {**one, "$ref": one["$ref"].replace("#/$defs/", "#/definitions/")}
        if "prefixItems" in one:
            one = {**_without(one, "prefixItems"), "items": one["prefixItems"], "additionalItems": False}
        if "patternProperties" in one:
            one = {**one, "additionalProperties": False}
        return one

    draft: Json = _everywhere(given, translated)
    return draft


def _moved(one: Json) -> Json:
    if "$ref" not in one:
        return one
    return {**one, "$ref": one["$ref"].replace("#/definitions/", "#/definitions/settings.")}


def _everywhere(given: Any, change: Callable[[Json], Json], names: bool = False) -> Any:
    """`change` applied to every schema within. names: the keys of this mapping are names, and only its values are schemas."""
    if isinstance(given, list):
        return [_everywhere(one, change) for one in given]
    if not isinstance(given, dict):
        return given
    one = given if names else change(given)
    return {
        key: value
        if not names and key in ("default", "enum", "const")
        else _everywhere(value, change, key in NAMED and not names)
        for key, value in one.items()
    }


def _without(one: Json, *keys: str) -> Json:
    return {key: value for key, value in one.items() if key not in keys}
