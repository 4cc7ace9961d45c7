"""Kubernetes' quantities in the one spelling that its API server stores.

>>> canonical("1.5"), canonical("2048Mi")
('1500m', '2Gi')

A manifest in git with another spelling is a difference that Argo CD sees for ever, since what lies in the cluster is
always canonical. Source: k8s.io/apimachinery/pkg/api/resource, "canonical form": no fraction digits, the largest
exponent or suffix possible; binary suffixes stay binary.
"""

import re
from fractions import Fraction

from components.recsys.errors import InputError

FORM = re.compile(r"([0-9]+(?:\.[0-9]+)?)([numkMGTPE]|[KMGTPE]i)?")
DECIMAL = {"n": -9, "u": -6, "m": -3, "": 0, "k": 3, "M": 6, "G": 9, "T": 12, "P": 15, "E": 18}
BINARY = {f"{letter}i": 10 * power for power, letter in enumerate("KMGTPE", start=1)}
FINEST = Fraction(1, 10**9)  # Kubernetes rounds finer ones up


def canonical(text: str) -> str:
    """Raises InputError for what is no quantity."""
    number, suffix = _parts(text)
    value = number * _unit(suffix)
    if value % FINEST:
        value = (value // FINEST + 1) * FINEST
    if suffix in BINARY and value.denominator == 1:
        return _largest(value, {"": Fraction(1), **{name: Fraction(2**bits) for name, bits in BINARY.items()}})
    return _largest(value, {name: Fraction(10) ** power for name, power in DECIMAL.items()})


def amount(text: str) -> Fraction:
    """Its value in base units: cores, bytes."""
    number, suffix = _parts(text)
    return number * _unit(suffix)


def _parts(text: str) -> tuple[Fraction, str]:
    found = FORM.fullmatch(text)
    if not found:
        raise InputError(f"'{text}' is no quantity of Kubernetes; write it like 500m, 2 or 512Mi")
    return Fraction(found[1]), found[2] or ""


def _unit(suffix: str) -> Fraction:
    return Fraction(2 ** BINARY[suffix]) if suffix in BINARY else Fraction(10) ** DECIMAL[suffix]


def _largest(value: Fraction, units: dict[str, Fraction]) -> str:
    if not value:
        return "0"
    suffix, unit = max(
        ((suffix, unit) for suffix, unit in units.items() if value % unit == 0), key=lambda pair: pair[1]
    )
    return f"{value / unit}{suffix}"
