"""The images that Kubernetes objects name, whatever their kind: also inside custom resources and settings held as JSON.

>>> images_in(yaml.safe_load_all(rendered))
['everloop/monitoring:0.1.0', 'everloop/serving:0.1.0']
>>> outside(["everloop/steps:0.1.0", "registry.example:5000/ml/everloop/serving:0.1.0"], "registry.example:5000/ml")
['everloop/steps:0.1.0']

A container says `image: NAME` in pods, in InferenceServices and in a compiled pipeline's executors alike; a volume made
from an image says `image: {reference: NAME}`. The status is left out: it repeats the names as a node spells them.
"""

import json
from collections.abc import Iterable, Iterator
from typing import Any

import yaml

from components.recsys.errors import InputError

Json = dict[str, Any]


def images_in(documents: Iterable[Any]) -> list[str]:
    """All of them, each once, sorted."""
    return sorted({image for document in documents for image in _images(document)})


def outside(images: Iterable[str], registry: str) -> list[str]:
    """Those that do not come from a registry, or a prefix in one."""
    prefix = registry.rstrip("/") + "/"
    return [image for image in images if not image.startswith(prefix)]


def parsed(text: str, name: str) -> list[Any]:
    """YAML or JSON documents. Raises InputError, with `name` for what was read."""
    try:
        return list(yaml.load_all(text, yaml.CSafeLoader))
    except yaml.YAMLError as error:
        where = getattr(error, "problem_mark", None)
        line = f", line {where.line + 1}" if where else ""
        raise InputError(f"{name} is neither YAML nor JSON{line}; give rendered manifests, not templates") from None


def _images(value: Any) -> Iterator[str]:
    match value:
        case {"image": str(image), **rest}:
            if image:
                yield image
            yield from _images(rest)
        case {"image": {"reference": str(image)}, **rest}:
            yield image
            yield from _images(rest)
        case dict():
            for key, each in value.items():
                if key != "status":
                    yield from _images(each)
        case list():
            for each in value:
                yield from _images(each)
        case str() if value.startswith("{") and '"image"' in value:
            try:
                yield from _images(json.loads(value))
            except ValueError:  # some other text
                return
