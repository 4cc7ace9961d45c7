"""The Open Inference Protocol, KServe's V2 (https://github.com/kserve/open-inference-protocol).

>>> tensor = {"name": "user_id", "shape": [1], "datatype": "BYTES", "data": ["42"]}
>>> read_tensors({"inputs": [tensor]}, ServingSettings())
[Ask(user='42', k=10, ...)]

One row a list. Inputs: user_id (BYTES or a whole-number type), k (whole number), and history, context, filters as BYTES
holding the JSON that a V1 instance has there. A tensor of one value counts for all rows.
"""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import orjson

from components.recsys.errors import InputError
from components.recsys.settings import ServingSettings
from serving.asks import Ask, checked, described, read_ask, shortened

Json = dict[str, Any]
WHOLE = frozenset({"INT8", "INT16", "INT32", "INT64", "UINT8", "UINT16", "UINT32", "UINT64"})
TAKEN: dict[str, frozenset[str]] = {
    "user_id": WHOLE | {"BYTES"},
    "k": WHOLE,
    "history": frozenset({"BYTES"}),
    "context": frozenset({"BYTES"}),
    "filters": frozenset({"BYTES"}),
}
JSON_INPUTS = ("history", "context", "filters")

INPUTS = [
    {"name": "user_id", "datatype": "BYTES", "shape": [-1]},
    {"name": "k", "datatype": "INT32", "shape": [-1]},
    *({"name": name, "datatype": "BYTES", "shape": [-1]} for name in JSON_INPUTS),
]


def _texts(value: Callable[[Json], str]) -> Callable[[list[Json], int], Json]:
    return lambda answers, longest: {
        "datatype": "BYTES",
        "shape": [len(answers)],
        "data": [value(answer) for answer in answers],
    }


def _cells(datatype: str, name: str, padding: Any) -> Callable[[list[Json], int], Json]:
    def tensor(answers: list[Json], longest: int) -> Json:
        data = [
            answer["items"][rank][name] if rank < len(answer["items"]) else padding
            for answer in answers
            for rank in range(longest)
        ]
        return {"datatype": datatype, "shape": [len(answers), longest], "data": data}

    return tensor


# ids and the like: (rows, longest list), padded; lengths: how much of each row counts.
OUTPUTS: dict[str, Callable[[list[Json], int], Json]] = {
    "ids": _cells("BYTES", "id", ""),
    "scores": _cells("FP32", "score", np.float32(0)),
    "propensities": _cells("FP32", "propensity", 0.0),
    "reasons": _cells("BYTES", "reason", ""),
    "lengths": lambda answers, longest: {
        "datatype": "INT32",
        "shape": [len(answers)],
        "data": [len(answer["items"]) for answer in answers],
    },
    "request_ids": _texts(lambda answer: str(answer["request_id"])),
    "fallbacks": _texts(lambda answer: str(answer.get("fallback", ""))),
    # Behind a gateway the rows of one request may come from two releases.
    "variants": _texts(lambda answer: str(answer["variant"])),
    "releases": _texts(lambda answer: str(answer["release"])),
}


def metadata(name: str, version: str) -> Json:
    one = [
        {
            "request_id": "",
            "variant": "",
            "release": "",
            "items": [{"id": "", "score": 0.0, "propensity": 1.0, "reason": ""}],
        }
    ]
    shapes = {output: make(one, 1) for output, make in OUTPUTS.items()}
    return {
        "name": name,
        "versions": [version],
        "platform": "everloop",
        "inputs": INPUTS,
        "outputs": [{"name": o, "datatype": t["datatype"], "shape": [-1] * len(t["shape"])} for o, t in shapes.items()],
    }


def read_tensors(body: Any, settings: ServingSettings) -> list[Ask]:
    """The asks of a V2 body. Raises InputError."""
    if not isinstance(body, dict) or not isinstance(body.get("inputs"), list) or not body["inputs"]:
        raise InputError(
            'the body must be a JSON object with "inputs", a list of tensors; GET the model\'s address for their names'
        )
    tensors: dict[str, list[Any]] = {}
    for index, tensor in enumerate(body["inputs"]):
        name, values = read_tensor(tensor, f"inputs[{index}]")
        if name in tensors:
            raise InputError(f"inputs[{index}]: '{name}' is there twice")
        tensors[name] = values
    rows = max(len(values) for values in tensors.values())
    if rows > settings.max_instances:
        raise InputError(f"inputs have {rows} rows; at most {settings.max_instances} are answered at once")
    for name, values in tensors.items():
        if len(values) not in (1, rows):
            raise InputError(f"input '{name}' has {len(values)} values for {rows} rows; give one a row, or one for all")
    instances = [
        {name: values[row if len(values) == rows else 0] for name, values in tensors.items()} for row in range(rows)
    ]
    return checked([read_ask(instance, settings, f"row {row}") for row, instance in enumerate(instances)])


def read_tensor(tensor: Any, where: str) -> tuple[str, list[Any]]:
    if not isinstance(tensor, dict) or not isinstance(tensor.get("name"), str):
        raise InputError(f"{where} must be a tensor: an object with name, shape, datatype and data")
    name, kind, shape = tensor["name"], tensor.get("datatype"), tensor.get("shape")
    if name not in TAKEN:
        raise InputError(f"{where}: there is no input '{shortened(name)}'; known are {', '.join(TAKEN)}")
    if not isinstance(kind, str) or kind not in TAKEN[name]:
        raise InputError(f"{where}: '{name}' has datatype {', '.join(sorted(TAKEN[name]))}, not {described(kind)}")
    if "data" not in tensor:
        raise InputError(f"{where}: '{name}' has no data; binary tensors are not taken, send JSON")
    values = flat(tensor["data"], where)
    if not isinstance(shape, list) or not all(isinstance(n, int) and not isinstance(n, bool) and n >= 0 for n in shape):
        raise InputError(f"{where}: shape must be a list of whole numbers, not {described(shape)}")
    if math.prod(shape) != len(values) or not values:
        raise InputError(f"{where}: shape {str(shape)[:60]} does not fit {len(values)} values, or there are none")
    if name in JSON_INPUTS:
        values = [read_json(value, f"{where} '{name}'") for value in values]
    return name, values


def flat(data: Any, where: str) -> list[Any]:
    """A tensor's data in row-major order; it may come flat or nested."""
    if not isinstance(data, list):
        raise InputError(f"{where}: data must be a list, not {described(data)}")
    values, waiting = [], [iter(data)]
    while waiting:
        for value in waiting[-1]:
            if isinstance(value, list):
                waiting.append(iter(value))
                break
            values.append(value)
        else:
            waiting.pop()
    return values


def read_json(value: Any, where: str) -> Any:
    if not isinstance(value, str):
        raise InputError(f"{where} must hold JSON as text, not {described(value)}")
    try:
        return orjson.loads(value) if value else None
    except orjson.JSONDecodeError as error:
        raise InputError(f"{where} holds no JSON: {error}") from None


def wanted_outputs(body: Json) -> list[str]:
    """The names asked for, or all. Raises InputError."""
    outputs = body.get("outputs")
    if outputs is None:
        return list(OUTPUTS)
    if not isinstance(outputs, list):
        raise InputError(f"outputs must be a list, not {described(outputs)}")
    names = []
    for output in outputs:
        name = output.get("name") if isinstance(output, dict) else output
        if not isinstance(name, str) or name not in OUTPUTS:
            raise InputError(f"outputs: there is no output {described(name)}; known are {', '.join(OUTPUTS)}")
        names.append(name)
    return names or list(OUTPUTS)


def write_tensors(answers: list[Json], body: Json, name: str) -> Json:
    longest = max(len(answer["items"]) for answer in answers)
    outputs = [{"name": output, **OUTPUTS[output](answers, longest)} for output in wanted_outputs(body)]
    given = body.get("id")
    return {
        "model_name": name,
        "model_version": answers[0]["release"],
        "id": given if isinstance(given, str) else answers[0]["request_id"],
        "parameters": {"variant": answers[0]["variant"]},
        "outputs": outputs,
    }
