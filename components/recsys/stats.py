"""How sure a number is: intervals, paired comparisons, corrections for many questions.

>>> value, low, high = mean_intervals(per_user, resamples=1000, seed=42)      # per_user: (users, metrics)
>>> beaten = compare(challengers - champion, alpha=0.05, resamples=5000, seed=42)

The unit is always the user: lists of one user depend on each other, users do not. All is drawn from the seed given.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.special import ndtr, ndtri, stdtr, stdtrit

Doubles = npt.NDArray[np.float64]

LEVEL = 0.95
MOST_UNITS = 20_000  # above it users are pooled at random into this many blocks; the interval's own error is then 0.5 %
CELLS = 4_000_000  # draws held at once: 32 MB
GROUPS = 100  # of users, left out in turn; the error of an interval's width is then 7 %
TINY = 1e-12


@dataclass(frozen=True)
class Comparison:
    """Means of differences and what can be said of them at once. All arrays: (columns,).

    low, high: bounds, each wrong at most `alpha` of the time; `low` holds for all columns together, so the column with
    the largest mean may be picked afterwards. p: one-sided, for a mean above 0, corrected in the same way.
    """

    difference: Doubles
    low: Doubles
    high: Doubles
    p: Doubles


def resamples_of(n: int, resamples: int, rng: np.random.Generator) -> Iterator[Doubles]:
    """Bootstrap weights in pieces: (piece, n), how often each unit was drawn; each row sums to n."""
    piece = max(1, min(resamples, CELLS // max(n, 1)))
    for start in range(0, resamples, piece):
        rows = min(piece, resamples - start)
        drawn = rng.integers(0, n, size=(rows, n)) + np.arange(rows)[:, None] * n
        yield np.bincount(drawn.ravel(), minlength=rows * n).reshape(rows, n).astype(np.float64)


def mean_intervals(
    values: Doubles, resamples: int, seed: int, level: float = LEVEL
) -> tuple[Doubles, Doubles, Doubles]:
    """(columns,) means of (users, columns) and the bounds of their intervals; NaN bounds below two users.

    BCa bootstrap over users: corrected for bias and skewness (Efron, JASA 1987), which per-user metrics have plenty of.
    """
    mean = values.mean(axis=0) if len(values) else np.full(values.shape[1], np.nan)
    if len(values) < 2:
        return mean, np.full_like(mean, np.nan), np.full_like(mean, np.nan)
    rng = np.random.default_rng(seed)
    units = pooled(values, rng)
    drawn = np.concatenate([weights @ units / len(units) for weights in resamples_of(len(units), resamples, rng)])
    low, high = _bca(drawn, mean, acceleration=_skewness(units) / 6, level=level)
    return mean, low, high


def ratio_interval(
    above: Doubles, below: Doubles, resamples: int, seed: int, level: float = LEVEL
) -> tuple[float, float, float]:
    """mean(above) / mean(below) of paired (users,) with its percentile interval; NaN where nothing lies below."""
    if len(below) < 2 or below.sum() == 0:
        return (float(above.sum() / below.sum()) if below.sum() else np.nan), np.nan, np.nan
    rng = np.random.default_rng(seed)
    units = pooled(np.column_stack([above, below]), rng)
    drawn = np.concatenate([weights @ units for weights in resamples_of(len(units), resamples, rng)])
    drawn = drawn[drawn[:, 1] > 0]
    low, high = np.quantile(drawn[:, 0] / drawn[:, 1], [(1 - level) / 2, (1 + level) / 2])
    return float(above.sum() / below.sum()), float(low), float(high)


def whole_intervals(
    statistic: Callable[[Doubles], Doubles], n: int, seed: int, level: float = LEVEL
) -> tuple[Doubles, Doubles, Doubles]:
    """Intervals of numbers that only exist for all users together, such as coverage, bounded to [0, 1].

    statistic: from (n,) weights of users, 0 or 1, to (columns,). A jackknife over random groups of users. A bootstrap
    repeats users, so its resamples cover less than the sample and vary less than samples do: its 95 % intervals were
    found to hold the truth 75 % of the time. The jackknife errs to the wide side (Efron and Stein, Ann. Stat. 1981).
    """
    value = statistic(np.ones(n))
    if n < 2:
        return value, np.full_like(value, np.nan), np.full_like(value, np.nan)
    groups = min(n, GROUPS)
    group = np.random.default_rng(seed).permutation(np.arange(n) * groups // n)
    left_out = np.array([statistic((group != index).astype(np.float64)) for index in range(groups)])
    error = np.sqrt((groups - 1) / groups * ((left_out - left_out.mean(axis=0)) ** 2).sum(axis=0))
    width = stdtrit(groups - 1, (1 + level) / 2) * error
    return value, np.clip(value - width, 0.0, 1.0), np.clip(value + width, 0.0, 1.0)


def compare(differences: Doubles, alpha: float, resamples: int, seed: int) -> Comparison:
    """Which columns of paired (users, columns) differences have a mean above 0, when the best may be picked afterwards.

    A studentised bootstrap over users of the largest column ("reality check", White, Econometrica 2000; studentised as
    in Romano and Wolf, Econometrica 2005): the same users are drawn for all columns, so that columns which move
    together cost little, and the bound is the (1 - alpha) quantile of max over columns of (mean* - mean) / se*. For one
    column this is the paired bootstrap-t. The quantile is never below Student's, which it undercuts on few differences.
    """
    mean = differences.mean(axis=0)
    rng = np.random.default_rng(seed)
    units = pooled(differences, rng)
    n = len(units)
    error = units.std(axis=0, ddof=1) / np.sqrt(n)
    flat = error <= TINY * np.maximum(1.0, np.abs(mean))
    centred, squares = units - mean, (units - mean) ** 2
    pieces = []
    for weights in resamples_of(n, resamples, rng):
        shift = weights @ centred / n
        spread = np.sqrt(np.maximum(weights @ squares / n - shift**2, 0.0) / (n - 1))
        # A draw without spread says nothing of scale; the sample's own error then stands in.
        pieces.append(np.where(flat, 0.0, shift / np.where(spread > TINY, spread, np.where(flat, 1.0, error))))
    drawn = np.concatenate(pieces)
    largest = drawn.max(axis=1)
    least = float(stdtrit(n - 1, 1 - alpha))
    below = max(float(np.quantile(largest, 1 - alpha)), least)
    above = np.maximum(-np.quantile(drawn, alpha, axis=0), least)
    # Equal for every user: nothing to sample, and certain unless it is zero.
    certain = np.where(mean > TINY, np.inf, np.where(mean < -TINY, -np.inf, 0.0))
    ratio = np.where(flat, certain, mean / np.where(flat, 1.0, error))
    sampled = (1 + (largest[:, None] >= ratio).sum(axis=0)) / (resamples + 1)
    p = np.maximum(sampled, stdtr(n - 1, -ratio))
    return Comparison(mean, mean - below * error, mean + above * error, p)


def holm(p: Doubles) -> Doubles:
    """p-values corrected for being many: any true one falls under alpha at most alpha of the time (Holm, 1979)."""
    order = np.argsort(p, kind="stable")
    stepped = np.maximum.accumulate(p[order] * np.arange(len(p), 0, -1)) if len(p) else p
    corrected = np.empty_like(p)
    corrected[order] = np.minimum(stepped, 1.0)
    return corrected


def t_test(differences: Doubles, alpha: float) -> tuple[float, float, float, float]:
    """Student's (mean, lower bound, upper bound, p for a mean below 0) of (users,), each one-sided at alpha."""
    n, mean = len(differences), float(differences.mean())
    error = float(differences.std(ddof=1) / np.sqrt(n))
    if error <= TINY:
        return mean, mean, mean, 0.0 if mean < -TINY else 1.0
    width = float(stdtrit(n - 1, 1 - alpha)) * error
    return mean, mean - width, mean + width, float(stdtr(n - 1, mean / error))


def wilson(successes: float, n: int, level: float = LEVEL) -> tuple[float, float]:
    """Bounds of a rate (Wilson, JASA 1927): also right for 0 of n, where a bootstrap would claim certainty."""
    if n == 0:
        return 0.0, 1.0
    z = float(ndtri((1 + level) / 2))
    rate, scale = successes / n, 1 + z * z / n
    middle = (rate + z * z / (2 * n)) / scale
    half = z * np.sqrt(rate * (1 - rate) / n + z * z / (4 * n * n)) / scale
    return max(0.0, float(middle - half)), min(1.0, float(middle + half))


def pooled(values: Doubles, rng: np.random.Generator, most: int = MOST_UNITS) -> Doubles:
    """(units, columns): the rows themselves, or means of random blocks of them with the same overall mean.

    Blocks of independent users are independent too, and the variance of their mean is that of the users', so a million
    users cost no more than twenty thousand.
    """
    n = len(values)
    if n <= most:
        return values
    edges = np.linspace(0, n, most + 1).astype(np.int64)[:-1]
    sums = np.add.reduceat(values[rng.permutation(n)], edges, axis=0)
    blocks = sums / np.diff(np.append(edges, n))[:, None]
    return np.asarray(blocks - blocks.mean(axis=0) + values.mean(axis=0))


def _skewness(units: Doubles) -> Doubles:
    """(columns,) sum of cubes / (sum of squares) ^ 1.5 around the mean: six times BCa's acceleration of a mean."""
    centred = units - units.mean(axis=0)
    squares = (centred**2).sum(axis=0)
    return np.asarray((centred**3).sum(axis=0) / np.where(squares > TINY, squares, 1.0) ** 1.5)


def _bca(drawn: Doubles, estimate: Doubles, acceleration: Doubles, level: float) -> tuple[Doubles, Doubles]:
    bounds = []
    for tail in ((1 - level) / 2, (1 + level) / 2):
        # For a mean the bias equals the acceleration (DiCiccio and Efron, Biometrika 1992), so it need not be sampled.
        shifted = acceleration + ndtri(tail)
        share = ndtr(acceleration + shifted / (1 - acceleration * shifted))
        bounds.append(np.array([np.quantile(drawn[:, column], share[column]) for column in range(drawn.shape[1])]))
    constant = np.ptp(drawn, axis=0) <= TINY
    return np.where(constant, estimate, bounds[0]), np.where(constant, estimate, bounds[1])
