"""Arithmetic, comparison, sets and aggregation over vectors.

>>> compare_vectors(">", left, right, Matching(on=True, labels=("kind",)), as_bool=False)

Pairs are one to one. A name does not survive arithmetic; a comparison without bool filters the left side.
"""

import math
from collections.abc import Callable

from monitoring.promql.series import NAME, Labels, Vector
from monitoring.promql.syntax import Matching, QueryError


def _divided(a: float, b: float) -> float:
    if b:
        return a / b
    return math.nan if a == 0 or math.isnan(a) else math.copysign(math.inf, a) * math.copysign(1.0, b)


def _remainder(a: float, b: float) -> float:
    """With the sign of the dividend, as in C and Go."""
    return math.nan if b == 0 or math.isinf(a) or math.isnan(a) or math.isnan(b) else math.fmod(a, b)


def _power(a: float, b: float) -> float:
    try:
        return math.pow(a, b)
    except OverflowError:
        return -math.inf if a < 0 and b % 2 == 1 else math.inf
    except ValueError:  # a root of a negative number, or zero to a negative power
        return math.nan if a else math.copysign(math.inf, a) if b % 2 == 1 else math.inf


ARITHMETIC: dict[str, Callable[[float, float], float]] = {
    "+": lambda a, b: a + b,
    "-": lambda a, b: a - b,
    "*": lambda a, b: a * b,
    "/": _divided,
    "%": _remainder,
    "^": _power,
}
COMPARISONS: dict[str, Callable[[float, float], bool]] = {
    "==": lambda a, b: a == b,
    "!=": lambda a, b: a != b,
    ">": lambda a, b: a > b,
    "<": lambda a, b: a < b,
    ">=": lambda a, b: a >= b,
    "<=": lambda a, b: a <= b,
}
SETS = ("and", "or", "unless")


def nameless(labels: Labels) -> Labels:
    return tuple(pair for pair in labels if pair[0] != NAME)


def collect(pairs: list[tuple[Labels, float]]) -> Vector:
    """Raises QueryError where two values have the same labels."""
    vector = dict(pairs)
    if len(vector) < len(pairs):
        raise QueryError("two series would have the same labels; keep a label that tells them apart")
    return vector


def scalars(op: str, a: float, b: float) -> float:
    return ARITHMETIC[op](a, b) if op in ARITHMETIC else float(COMPARISONS[op](a, b))


def with_scalar(op: str, vector: Vector, number: float, as_bool: bool, number_first: bool) -> Vector:
    def ordered(value: float) -> tuple[float, float]:
        return (number, value) if number_first else (value, number)

    if op in ARITHMETIC or as_bool:
        return collect([(nameless(labels), scalars(op, *ordered(value))) for labels, value in vector.items()])
    return {labels: value for labels, value in vector.items() if COMPARISONS[op](*ordered(value))}


def signature(labels: Labels, matching: Matching) -> Labels:
    """The labels that decide which series belong together."""
    if matching.on:
        return tuple(pair for pair in labels if pair[0] in matching.labels)
    return tuple(pair for pair in labels if pair[0] != NAME and pair[0] not in matching.labels)


def with_vector(op: str, left: Vector, right: Vector, matching: Matching, as_bool: bool) -> Vector:
    if not left or not right:
        return {}
    partners: dict[Labels, float] = {}
    for labels, value in right.items():
        key = signature(labels, matching)
        if key in partners:
            raise QueryError(f"several series on the right of {op} match {dict(key)}; aggregate them first")
        partners[key] = value
    result: Vector = {}
    seen: set[Labels] = set()
    for labels, value in left.items():
        key = signature(labels, matching)
        if key not in partners:
            continue
        if op in COMPARISONS and not as_bool:
            if not COMPARISONS[op](value, partners[key]):
                continue
            outcome = value
        else:
            outcome = scalars(op, value, partners[key])
        if key in seen:
            raise QueryError(f"several series on the left of {op} match {dict(key)}; aggregate them first")
        seen.add(key)
        if matching.on:
            kept = key
        else:
            kept = tuple(pair for pair in labels if pair[0] not in matching.labels)
        result[nameless(kept) if op in ARITHMETIC or as_bool else kept] = outcome
    return result


def combine(op: str, left: Vector, right: Vector, matching: Matching) -> Vector:
    """and, or, unless."""
    if op == "or":
        known = {signature(labels, matching) for labels in left}
        return {**left, **{labels: v for labels, v in right.items() if signature(labels, matching) not in known}}
    known = {signature(labels, matching) for labels in right}
    return {labels: value for labels, value in left.items() if (signature(labels, matching) in known) == (op == "and")}


def highest(values: list[float]) -> float:
    """NaN only when there is nothing else."""
    return max((value for value in values if not math.isnan(value)), default=math.nan)


def lowest(values: list[float]) -> float:
    return min((value for value in values if not math.isnan(value)), default=math.nan)


AGGREGATIONS: dict[str, Callable[[list[float]], float]] = {
    "sum": lambda values: float(sum(values)),
    "avg": lambda values: sum(values) / len(values),
    "count": lambda values: float(len(values)),
    "max": highest,
    "min": lowest,
}


def aggregate(op: str, vector: Vector, labels: tuple[str, ...], without: bool) -> Vector:
    groups: dict[Labels, list[float]] = {}
    for series, value in vector.items():
        if without:
            key = tuple(pair for pair in series if pair[0] not in labels and pair[0] != NAME)
        else:
            key = tuple(pair for pair in series if pair[0] in labels)
        groups.setdefault(key, []).append(value)
    return {key: AGGREGATIONS[op](values) for key, values in groups.items()}
