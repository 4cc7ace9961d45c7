"""Each part's own code does its work with the rights that the table gives it, and needs every one of them.

The life is in life.py, the server that enforces the policies in s3.py.
"""

import pytest

from pipelines.access.policies import policy
from pipelines.access.uses import PARTS, USES, Use, allowed, holds
from tests.access.iam import Request, allows
from tests.access.s3 import BUCKET, Asked

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]  # the life: twenty seconds of an idle machine


def of(part: str, lived: list[Asked]) -> list[Asked]:
    return [one for one in lived if one.part == part]


@pytest.mark.parametrize("part", PARTS)
def test_a_part_does_its_work_with_its_own_rights(part: str, lived: list[Asked]) -> None:
    asked = of(part, lived)
    assert asked, f"nothing was asked by {part}: the life leaves it out"
    assert [one for one in asked if one.refused] == []


@pytest.mark.parametrize("use", USES, ids=lambda use: f"{use.part}-{use.path}")
def test_a_part_uses_every_right_that_it_has(use: Use, lived: list[Asked]) -> None:
    # To be told that there is no such object takes the right to read it, too.
    used = {
        one.action
        for one in of(use.part, lived)
        if holds(use.path, one.key) and one.status in (200, 204, 206, 404, 412)
    }
    assert set(use.actions) - used == set()


@pytest.mark.parametrize("part", PARTS)
def test_the_table_and_aws_would_have_allowed_every_request(part: str, lived: list[Asked]) -> None:
    """AWS's documents have conditions that the server here does not know; they let the same requests through."""
    document = policy(part, BUCKET)
    for one in of(part, lived):
        assert allowed(part, one.action, one.key), one  # type: ignore[arg-type]
        assert allows(document, request(one)), one


def request(one: Asked) -> Request:
    bucket = f"arn:aws:s3:::{BUCKET.name}"
    if one.action == "list":
        return Request("s3:ListBucket", bucket, {"s3:prefix": BUCKET.key(one.key)})
    name = {"read": "s3:GetObject", "delete": "s3:DeleteObject"}.get(one.action, "s3:PutObject")
    context = {"s3:if-none-match": "*"} if one.action == "create" else {}
    return Request(name, f"{bucket}/{BUCKET.key(one.key)}", context)
