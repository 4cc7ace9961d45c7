"""Each part's own code does its work with the rights that the table gives it, and needs every one of them."""

import pytest

from pipelines.access.uses import PARTS, USES, Use, allowed, holds
from tests.access.s3 import Place

pytestmark = pytest.mark.timeout(600)


@pytest.mark.parametrize("part", PARTS)
def test_a_part_does_its_work_with_its_own_rights(part: str, lived: Place) -> None:
    asked = lived.of(part)
    assert asked, f"nothing was asked by {part}: the life leaves it out"
    assert [one for one in asked if one.refused] == []


@pytest.mark.parametrize("use", USES, ids=lambda use: f"{use.part}-{use.path}")
def test_a_part_uses_every_right_that_it_has(use: Use, lived: Place) -> None:
    used = {one.action for one in lived.of(use.part) if holds(use.path, one.key) and one.status < 400}
    if "read" in use.actions and "read" not in used:  # asking whether something is there is a use too
        used |= {one.action for one in lived.of(use.part) if holds(use.path, one.key) and one.status == 404}
    assert set(use.actions) - used == set()


def test_the_table_says_what_the_server_enforces(lived: Place) -> None:
    assert [one for one in lived.asked if one.part in PARTS and not allowed(one.part, one.action, one.key)] == []  # type: ignore[arg-type]
