"""What an IAM policy document says to a request, as AWS decides it for one identity's policy.

>>> allows(policy("predictor", BUCKET), Request("s3:GetObject", "arn:aws:s3:::shop/home/releases/9f2c/card.md"))
True

An explicit Deny wins, else one Allow is enough, else no. Wildcards * and ? in actions and resources; of conditions those that
the policies use. Source: IAM user guide, "Policy evaluation logic" and "IAM JSON policy elements: Condition operators".
"""

import fnmatch
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

Json = dict[str, Any]


@dataclass(frozen=True)
class Request:
    """context: condition keys that the request carries; one that is not in it is absent."""

    action: str
    resource: str
    context: Mapping[str, str] = field(default_factory=dict)


def allows(document: Json, request: Request) -> bool:
    effects = {one["Effect"] for one in document["Statement"] if concerns(one, request)}
    return "Allow" in effects and "Deny" not in effects


def concerns(statement: Json, request: Request) -> bool:
    return (
        any(like(pattern, request.action) for pattern in listed(statement["Action"]))
        and any(like(pattern, request.resource) for pattern in listed(statement["Resource"]))
        and all(
            holds(operator, key, listed(values), request.context)
            for operator, wanted in statement.get("Condition", {}).items()
            for key, values in wanted.items()
        )
    )


def holds(operator: str, key: str, values: list[str], context: Mapping[str, str]) -> bool:
    there = context.get(key)
    if operator == "Null":
        return str(there is None).lower() in values
    if operator.endswith("IfExists") and there is None:
        return True
    if there is None:
        return False
    name = operator.removesuffix("IfExists")
    if name == "StringEquals":
        return there in values
    assert name == "StringLike", operator
    return any(like(value, there) for value in values)


def listed(value: str | list[str]) -> list[str]:
    return [value] if isinstance(value, str) else value


def like(pattern: str, text: str) -> bool:
    return re.fullmatch(fnmatch.translate(pattern.replace("[", "[[]")), text) is not None
