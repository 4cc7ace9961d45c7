"""Quantities are spelt as Kubernetes' API server stores them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from components.recsys.errors import InputError
from serving.kserve.quantities import BINARY, DECIMAL, amount, canonical


@pytest.mark.parametrize(
    ("given_", "stored"),  # what kubectl shows after an apply of the first
    [
        ("1.5", "1500m"),
        ("0.1", "100m"),
        ("1000m", "1"),
        ("250m", "250m"),
        ("2", "2"),
        ("1000", "1k"),
        ("2048Mi", "2Gi"),
        ("0.5Gi", "512Mi"),
        ("1.5Gi", "1536Mi"),
        ("384Mi", "384Mi"),
        ("1000M", "1G"),
        ("1024", "1024"),
        ("0", "0"),
        ("0.0Gi", "0"),
        ("0.0000000001", "1n"),
    ],
)
def test_known_spellings(given_: str, stored: str) -> None:
    assert canonical(given_) == stored


numbers = st.one_of(st.integers(0, 10**12).map(str), st.decimals(0, 10**6, places=3).map(str))


@given(number=numbers, suffix=st.sampled_from([*DECIMAL, *BINARY]))
def test_the_spelling_is_stable_and_keeps_the_value(number: str, suffix: str) -> None:
    once = canonical(number + suffix)
    assert canonical(once) == once
    assert "." not in once
    assert 0 <= amount(once) - amount(number + suffix) < amount("1n")


@pytest.mark.parametrize("text", ["", "-1", "1e3", "1 Gi", "1gi", "a", "1Mib", "1.", ".5"])
def test_what_is_no_quantity_is_refused(text: str) -> None:
    with pytest.raises(InputError, match="no quantity"):
        canonical(text)
