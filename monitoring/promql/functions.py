"""The functions of the subset, as Prometheus 2 computes them (promql/functions.go and quantile.go give the rules).

>>> increase([(0, 1.0), (60_000, 3.0)], start_ms=0, end_ms=60_000)
2.0

A range function takes the samples of one series and the range's ends, and gives a value or None for none.
"""

import math
from collections.abc import Callable
from itertools import pairwise

from monitoring.promql.operators import highest, lowest
from monitoring.promql.series import NAME, Labels, Samples, Vector

ARGUMENTS: dict[str, tuple[str, ...]] = {
    **dict.fromkeys(("rate", "increase", "delta"), ("range",)),
    **{f"{name}_over_time": ("range",) for name in ("avg", "max", "min", "sum", "count", "last")},
    "changes": ("range",),
    "resets": ("range",),
    "absent_over_time": ("range",),
    "absent": ("vector",),
    "timestamp": ("vector",),
    "abs": ("vector",),
    "clamp_min": ("vector", "scalar"),
    "clamp_max": ("vector", "scalar"),
    "histogram_quantile": ("scalar", "vector"),
    "scalar": ("vector",),
    "vector": ("scalar",),
    "time": (),
}


def extrapolated(samples: Samples, start_ms: int, end_ms: int, counter: bool) -> float | None:
    """Change over the whole range from the samples in it: resets of a counter added, and stretched to the range's ends
    unless the series seems to begin or end inside; a counter is not stretched below zero."""
    if len(samples) < 2:
        return None
    (first_ms, first), (last_ms, last) = samples[0], samples[-1]
    change = last - first
    if counter:
        change += sum(before for (_, before), (_, after) in pairwise(samples) if after < before)
    sampled = (last_ms - first_ms) / 1000
    to_start, to_end = (first_ms - start_ms) / 1000, (end_ms - last_ms) / 1000
    between = sampled / (len(samples) - 1)
    if counter and change > 0 and first >= 0:
        to_start = min(to_start, sampled * (first / change))
    close = between * 1.1  # a gap wider than this is taken for the series' own beginning or end
    whole = sampled + sum(gap if gap < close else between / 2 for gap in (to_start, to_end))
    return change * (whole / sampled)


def increase(samples: Samples, start_ms: int, end_ms: int) -> float | None:
    return extrapolated(samples, start_ms, end_ms, counter=True)


def rate(samples: Samples, start_ms: int, end_ms: int) -> float | None:
    change = extrapolated(samples, start_ms, end_ms, counter=True)
    return None if change is None else change / ((end_ms - start_ms) / 1000)


def delta(samples: Samples, start_ms: int, end_ms: int) -> float | None:
    return extrapolated(samples, start_ms, end_ms, counter=False)


def _changes(values: list[float]) -> float:
    """NaN after NaN is no change."""
    return float(sum(a != b and not (math.isnan(a) and math.isnan(b)) for a, b in pairwise(values)))


OVER_VALUES: dict[str, Callable[[list[float]], float]] = {
    "avg_over_time": lambda values: sum(values) / len(values),
    "sum_over_time": lambda values: float(sum(values)),
    "count_over_time": lambda values: float(len(values)),
    "last_over_time": lambda values: values[-1],
    "max_over_time": highest,
    "min_over_time": lowest,
    "changes": _changes,
    "resets": lambda values: float(sum(after < before for before, after in pairwise(values))),
}
OVER_RANGE: dict[str, Callable[[Samples, int, int], float | None]] = {
    "rate": rate,
    "increase": increase,
    "delta": delta,
}
KEEP_NAME = {"last_over_time"}


def range_value(function: str, samples: Samples, start_ms: int, end_ms: int) -> float | None:
    if function in OVER_RANGE:
        return OVER_RANGE[function](samples, start_ms, end_ms)
    return OVER_VALUES[function]([value for _, value in samples])


def histogram_quantile(quantile: float, buckets: Vector) -> list[tuple[Labels, float]]:
    """One value for each set of labels besides `le`; linear inside a bucket; series without a readable `le` are left out."""
    groups: dict[Labels, dict[float, float]] = {}
    for labels, count in buckets.items():
        try:
            bound = float(dict(labels)["le"])
        except (KeyError, ValueError):
            continue
        rest = tuple(pair for pair in labels if pair[0] not in ("le", NAME))
        group = groups.setdefault(rest, {})
        group[bound] = group.get(bound, 0.0) + count
    return [(labels, bucket_quantile(quantile, group)) for labels, group in groups.items()]


def bucket_quantile(quantile: float, buckets: dict[float, float]) -> float:
    """buckets: cumulative counts by upper bound. NaN without an infinite bucket, without a second one, or when empty."""
    if math.isnan(quantile) or quantile < 0 or quantile > 1:
        return quantile if math.isnan(quantile) else math.copysign(math.inf, quantile - 0.5)
    bounds = sorted(buckets)
    if bounds[-1] != math.inf or len(bounds) < 2:
        return math.nan
    counts = [buckets[bound] for bound in bounds]
    for index in range(1, len(counts)):  # scrapes of one histogram may disagree by a moment
        counts[index] = counts[index - 1] if counts[index] < counts[index - 1] else counts[index]
    if not counts[-1] > 0:
        return math.nan
    rank = quantile * counts[-1]
    index = next((at for at, count in enumerate(counts[:-1]) if count >= rank), len(counts) - 1)
    if index == len(counts) - 1:
        return bounds[-2]
    if index == 0 and bounds[0] <= 0:
        return bounds[0]
    below_bound, below = (bounds[index - 1], counts[index - 1]) if index else (0.0, 0.0)
    inside = counts[index] - below
    # 0 of 0 is NaN in Go and an error in Python
    share = (rank - below) / inside if inside else math.nan
    return below_bound + (bounds[index] - below_bound) * share
