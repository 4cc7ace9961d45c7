"""The value of an expression at a moment.

>>> evaluate(parse("max(up) == 1"), store, at_ms=1_000)
{(): 1.0}

A number for a scalar expression, else a vector: labels to value. Raises QueryError.
"""

import math

from monitoring.promql.functions import KEEP_NAME, histogram_quantile, range_value
from monitoring.promql.operators import SETS, aggregate, collect, combine, nameless, scalars, with_scalar, with_vector
from monitoring.promql.series import NAME, Labels, SeriesStore, Vector, labels_of
from monitoring.promql.syntax import (
    Aggregate,
    Binary,
    Call,
    Negation,
    Node,
    Number,
    QueryError,
    Selector,
    Text,
)


def evaluate(node: Node, store: SeriesStore, at_ms: int) -> float | Vector:
    match node:
        case Number():
            return node.value
        case Selector():
            if node.range_ms:
                raise QueryError("a range is no value by itself; put rate() or another function around it")
            return store.newest(node, at_ms)
        case Negation():
            value = evaluate(node.operand, store, at_ms)
            if isinstance(value, float):
                return -value
            return collect([(nameless(labels), -number) for labels, number in value.items()])
        case Aggregate():
            return aggregate(node.op, _vector(node.operand, store, at_ms), node.labels, node.without)
        case Binary():
            return _binary(node, store, at_ms)
        case Call():
            return _call(node, store, at_ms)
        case Text():
            raise QueryError("a string is no value of an expression")


def vector_of(value: float | Vector) -> Vector:
    """A scalar as the vector that an alert or an API answers with."""
    return {(): value} if isinstance(value, float) else value


def _vector(node: Node, store: SeriesStore, at_ms: int) -> Vector:
    value = evaluate(node, store, at_ms)
    assert isinstance(value, dict)  # the parser has checked
    return value


def _scalar(node: Node, store: SeriesStore, at_ms: int) -> float:
    value = evaluate(node, store, at_ms)
    assert isinstance(value, float)
    return value


def _binary(node: Binary, store: SeriesStore, at_ms: int) -> float | Vector:
    left, right = evaluate(node.left, store, at_ms), evaluate(node.right, store, at_ms)
    if isinstance(left, float):
        if isinstance(right, float):
            return scalars(node.op, left, right)
        return with_scalar(node.op, right, left, node.as_bool, number_first=True)
    if isinstance(right, float):
        return with_scalar(node.op, left, right, node.as_bool, number_first=False)
    if node.op in SETS:
        return combine(node.op, left, right, node.matching)
    return with_vector(node.op, left, right, node.matching, node.as_bool)


def _call(node: Call, store: SeriesStore, at_ms: int) -> float | Vector:
    first = node.arguments[0] if node.arguments else None
    match node.function:
        case "time":
            return at_ms / 1000
        case "vector" if first:
            return {(): _scalar(first, store, at_ms)}
        case "scalar" if first:
            values = list(_vector(first, store, at_ms).values())
            return values[0] if len(values) == 1 else math.nan
        case "absent" if first:
            return {} if _vector(first, store, at_ms) else {_absent_labels(first): 1.0}
        case "timestamp" if first:
            # Of a selector when it was scraped, of anything computed when it was computed.
            times = (
                store.newest_times(first, at_ms)
                if isinstance(first, Selector)
                else dict.fromkeys(_vector(first, store, at_ms), at_ms)
            )
            return collect([(nameless(labels), time / 1000) for labels, time in times.items()])
        case "absent_over_time" if isinstance(first, Selector):
            return {} if store.ranges(first, at_ms) else {_absent_labels(first): 1.0}
        case "histogram_quantile" if first:
            return collect(histogram_quantile(_scalar(first, store, at_ms), _vector(node.arguments[1], store, at_ms)))
        case "abs" | "clamp_min" | "clamp_max" if first:
            vector = _vector(first, store, at_ms)
            bound = _scalar(node.arguments[1], store, at_ms) if len(node.arguments) > 1 else 0.0
            return collect([(nameless(labels), _clamped(node.function, v, bound)) for labels, v in vector.items()])
    assert isinstance(first, Selector)
    end = at_ms - first.offset_ms
    pairs: list[tuple[Labels, float]] = []
    for labels, samples in store.ranges(first, at_ms).items():
        value = range_value(node.function, samples, end - first.range_ms, end)
        if value is not None:
            pairs.append((labels if node.function in KEEP_NAME else nameless(labels), value))
    return collect(pairs)


def _clamped(function: str, value: float, bound: float) -> float:
    if function == "abs":
        return abs(value)
    if math.isnan(value) or math.isnan(bound):
        return math.nan
    return max(value, bound) if function == "clamp_min" else min(value, bound)


def _absent_labels(node: Node) -> Labels:
    """What is known of the series that is not there: its equality matchers, unless a label is matched twice."""
    if not isinstance(node, Selector):
        return ()
    names = [matcher.name for matcher in node.matchers]
    return labels_of(
        {
            matcher.name: matcher.value
            for matcher in node.matchers
            if matcher.op == "=" and matcher.name != NAME and names.count(matcher.name) == 1
        }
    )
