"""What every section of settings is made of, and how a mistake in one becomes a sentence.

>>> parse(TrainSettings, {"sed": 7})
InputError: unknown setting 'sed'; did you mean 'seed'?
"""

import difflib
import json
from collections.abc import Mapping
from typing import Annotated, Any, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from components.recsys.errors import InputError

Share = Annotated[float, Field(ge=0.0, le=1.0)]
PATH_SEPARATOR = "."


class Section(BaseModel):
    """A group of knobs for one concern. Unknown names are refused, and the nearest known one is suggested."""

    model_config = ConfigDict(extra="forbid", frozen=True, validate_default=True)


Parsed = TypeVar("Parsed", bound=BaseModel)


def parse(kind: type[Parsed], values: Mapping[str, Any], path: str = "") -> Parsed:
    """`values` as a `kind`; a mistake becomes an InputError that names the setting and the nearest known name.

    >>> parse(TrainSettings, {"sed": 7})
    InputError: unknown setting 'sed'; did you mean 'seed'?
    """
    try:
        return kind.model_validate(values)
    except ValidationError as error:
        raise InputError(_sentence(kind, error, path)) from None


def _sentence(kind: type[BaseModel], error: ValidationError, path: str) -> str:
    problem = error.errors()[0]
    where = _spelled(kind, problem["loc"])
    name = PATH_SEPARATOR.join(([path] if path else []) + where)
    if problem["type"] == "extra_forbidden":
        known = _names(kind, where[:-1])
        near = difflib.get_close_matches(where[-1], known, n=1, cutoff=0.5)
        hint = f"did you mean '{near[0]}'?" if near else "known are " + ", ".join(sorted(known))
        return f"unknown setting '{name}'; {hint}"
    given = json.dumps(problem["input"], default=str)
    return f"setting '{name}': {problem['msg'][0].lower()}{problem['msg'][1:]}, not {given[:80]}"


def _spelled(kind: type[BaseModel], location: tuple[int | str, ...]) -> list[str]:
    """A location as people write it: without the names that pydantic gives to the arms of a union."""
    where: list[str] = []
    below: Any = kind
    for part in location:
        inside = isinstance(below, type) and issubclass(below, BaseModel)
        if inside or isinstance(part, int) or getattr(below, "__origin__", None) is dict:
            where.append(str(part))
            below = below.model_fields[part].annotation if inside and part in below.model_fields else None
    return where


def _names(kind: type[BaseModel], where: list[str]) -> list[str]:
    for part in where:
        field = kind.model_fields.get(part)
        if field is None or not (isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel)):
            return []
        kind = field.annotation
    return list(kind.model_fields)
