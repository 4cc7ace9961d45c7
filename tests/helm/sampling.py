"""Random values of the chart, drawn from its schema.

>>> sample(random.Random(7), schema)
{'home': 's3://x9', 'gateway': {'replicas': 1000, 'serviceAccount': {'annotations': {'a.b/C': 'a: b\\n# c'}}}, ...}

Bounds come more often than what lies between them, and free texts are those on which quoting breaks.
"""

import random
import re
import sys
from typing import Any

Json = dict[str, Any]
TEXTS = (
    "",
    "x",
    "yes",
    "1",
    "1.0",
    "null",
    "~",
    "a: b # c",
    "- a",
    "{{ .Values.home }}",
    "'\"",
    "é\u2028🎬",
    "a\n\nb\n",
    "@%*&!",
    "[",
    "${x}",
)
WORDS = ("a", "b-1", "c.d", "train", "x" * 63)
MOST = 3


def sample(draw: random.Random, schema: Json, whole: Json | None = None, depth: int = 0) -> Any:
    """A value that the schema takes."""
    whole = schema if whole is None else whole
    if "$ref" in schema:
        return sample(draw, whole["definitions"][schema["$ref"].removeprefix("#/definitions/")], whole, depth)
    if "const" in schema:
        return schema["const"]
    if "enum" in schema:
        return draw.choice(schema["enum"])
    if "anyOf" in schema:
        return sample(draw, draw.choice(schema["anyOf"]), whole, depth)
    match schema.get("type", "object"):
        case "object":
            return _object(draw, schema, whole, depth)
        case "array":
            return _array(draw, schema, whole, depth)
        case "string":
            return text(draw, schema)
        case "integer":
            return _integer(draw, schema)
        case "number":
            return _number(draw, schema)
        case "boolean":
            return draw.random() < 0.5
        case "null":
            return None
    raise AssertionError(f"no rule for {schema}")


def _object(draw: random.Random, schema: Json, whole: Json, depth: int) -> Json:
    chance = 0.6 if depth < 4 else 0.3
    value = {
        name: sample(draw, one, whole, depth + 1)
        for name, one in schema.get("properties", {}).items()
        if name in schema.get("required", ()) or draw.random() < chance
    }
    for pattern, one in schema.get("patternProperties", {}).items():
        for _ in range(draw.randrange(MOST)):
            value[text(draw, {"pattern": pattern})] = sample(draw, one, whole, depth + 1)
    more = schema.get("additionalProperties")
    if isinstance(more, dict):
        names = schema.get("propertyNames", {}).get("enum", WORDS)
        for name in draw.sample(names, draw.randrange(min(MOST, len(names)))):
            value[name] = sample(draw, more, whole, depth + 1)
    return value


def _array(draw: random.Random, schema: Json, whole: Json, depth: int) -> list[Any]:
    items = schema["items"]
    if isinstance(items, list):
        return [sample(draw, one, whole, depth + 1) for one in items]
    least, most = schema.get("minItems", 0), min(schema.get("maxItems", MOST), MOST)
    return [sample(draw, items, whole, depth + 1) for _ in range(draw.randint(least, max(least, most)))]


def _integer(draw: random.Random, schema: Json) -> int:
    least, most = schema.get("minimum", 0), schema.get("maximum", schema.get("minimum", 0) + 1_000_000)
    return draw.choice([least, most, draw.randint(least, most)])


def _number(draw: random.Random, schema: Json) -> float:
    least = schema.get("minimum", schema.get("exclusiveMinimum", 0))
    most = schema.get("maximum", schema.get("exclusiveMaximum", least + 1e6))
    between = least + (most - least) * draw.uniform(0.01, 0.99)
    return draw.choice([between, *(schema[bound] for bound in ("minimum", "maximum") if bound in schema)])


def text(draw: random.Random, schema: Json) -> str:
    """Of the schema's pattern, or one of TEXTS."""
    least, most = schema.get("minLength", 0), schema.get("maxLength", sys.maxsize)
    while True:
        value = _matching(draw, schema["pattern"]) if "pattern" in schema else draw.choice(TEXTS)
        if least <= len(value) <= most:
            return value


def _matching(draw: random.Random, pattern: str) -> str:
    value = "".join(_part(draw, part) for part in re._parser.parse(pattern))  # type: ignore[attr-defined]
    assert re.fullmatch(pattern, value), (pattern, value)
    return value


def _part(draw: random.Random, part: tuple[Any, Any]) -> str:
    name, value = str(part[0]), part[1]
    match name:
        case "LITERAL":
            return chr(value)
        case "ANY":
            return draw.choice("aZ0-_.")
        case "IN":
            return _one_of(draw, value)
        case "AT":
            return ""
        case "SUBPATTERN":
            return "".join(_part(draw, one) for one in value[-1])
        case "BRANCH":
            return "".join(_part(draw, one) for one in draw.choice(value[1]))
        case "MAX_REPEAT":
            least, most, parts = value
            many = draw.choice([least, min(int(most), least + 4), min(int(most), 61 if draw.random() < 0.1 else 8)])
            return "".join(_part(draw, one) for _ in range(max(least, many)) for one in parts)
    raise AssertionError(f"no rule for {name} of a pattern")


def _one_of(draw: random.Random, options: list[tuple[Any, Any]]) -> str:
    if str(options[0][0]) == "NEGATE":
        return draw.choice([char for char in "abzAZ09-_~" if not any(_holds(one, char) for one in options[1:])])
    name, value = draw.choice(options)
    match str(name):
        case "LITERAL":
            return chr(value)
        case "RANGE":
            return chr(draw.randint(*value))
    return draw.choice("0123456789")  # \d


def _holds(option: tuple[Any, Any], char: str) -> bool:
    name, value = str(option[0]), option[1]
    return (name == "LITERAL" and ord(char) == value) or (name == "RANGE" and value[0] <= ord(char) <= value[1])
