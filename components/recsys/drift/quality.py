"""Whether people click less than they did: matured click rates of the last window against the baseline.

>>> quality_of(lists, windows, DriftSettings())     # lists: columns day, user, variant, release, clicked (null: not mature)
Quality(rate=0.21, lists=900, baseline=0.30, baseline_lists=3600, change=-0.30, low=-0.41, high=-0.16, dropped=True, ...)

Only lists whose labels are final count; with too few of them nothing is said. A drop is an alarm when it is at least
`quality_drop` of the baseline and its interval excludes 0. The interval is a jackknife over shards of users (Efron and Stein,
Ann. Stat. 1981): lists of one user depend on each other, shards do not, and days that lie in both windows cancel out.
"""

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl
from scipy.special import stdtrit

from components.recsys.buckets import CHAMPION
from components.recsys.drift.aggregates import SHARDS, shards_of
from components.recsys.drift.windows import Windows
from components.recsys.settings import DriftSettings

Doubles = npt.NDArray[np.float64]
LEAST_LISTS = 200  # mature ones in a window; with fewer, a rate of 10 % is uncertain by a fifth of itself


@dataclass(frozen=True)
class Quality:
    """rate, baseline: lists with a click among mature lists. change: relative, with its interval. None: nothing can be said.

    sentence: the same for people.
    """

    rate: float | None
    lists: int
    baseline: float | None
    baseline_lists: int
    immature: int
    change: float | None = None
    low: float | None = None
    high: float | None = None
    dropped: bool = False
    sentence: str = ""

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


def quality_of(
    lists: pl.DataFrame, windows: Windows | None, settings: DriftSettings, variant: str = CHAMPION
) -> Quality:
    """lists: one row a list; day is a pl.Date. windows: of days whose labels are final; None: too short a past."""
    own = lists.filter(pl.col("variant") == variant)
    immature = int(own["clicked"].null_count())
    if windows is None or not windows.settled:
        mature = own.height - immature
        return Quality(None, mature, None, 0, immature, sentence=_waiting(mature, "the baseline is not over yet"))
    last = _by_shard(own, range(windows.last, windows.last + windows.days))
    before = np.zeros((SHARDS, 2))
    for first in windows.baseline:
        before += _by_shard(own, range(first, first + windows.days))
    (clicked, mature), (clicked_before, mature_before) = last.sum(axis=0), before.sum(axis=0)
    rate = float(clicked / mature) if mature else None
    baseline = float(clicked_before / mature_before) if mature_before else None
    known = Quality(rate, int(mature), baseline, int(mature_before), immature)
    few = f"{LEAST_LISTS} are needed in the window and in the baseline"
    if min(mature, mature_before) < LEAST_LISTS or not clicked_before:
        return Quality(*_counts(known), sentence=_waiting(int(mature), few))
    change, low, high = relative_change(last, before, settings.alpha)
    dropped = change <= -settings.quality_drop and high < 0
    verdict = "people click less" if dropped else "no fall that counts"
    sentence = (
        f"{verdict}: {rate:.1%} of {int(mature)} lists were clicked, {baseline:.1%} of {int(mature_before)} before "
        f"({change:+.0%}, between {low:+.0%} and {high:+.0%})"
    )
    return Quality(*_counts(known), change, low, high, dropped, sentence)


def relative_change(after: Doubles, before: Doubles, alpha: float) -> tuple[float, float, float]:
    """rate(after) / rate(before) - 1 with its interval of level 1 - alpha. after, before: (shards, 2) clicked and all."""
    with np.errstate(divide="ignore", invalid="ignore"):
        whole = _log_ratio(after.sum(axis=0), before.sum(axis=0))
        left_out = np.array(
            [_log_ratio(after.sum(axis=0) - a, before.sum(axis=0) - b) for a, b in zip(after, before, strict=True)]
        )
    if not np.isfinite(whole) or not np.isfinite(left_out).all():
        # Nobody at all clicked (or one shard held every click): the fall is whole, how sure it is cannot be computed.
        return float(np.expm1(whole)) if whole < np.inf else np.inf, -1.0, np.inf
    n = len(after)
    error = np.sqrt((n - 1) / n * ((left_out - left_out.mean()) ** 2).sum())
    width = float(stdtrit(n - 1, 1 - alpha / 2)) * error
    return tuple(float(np.expm1(value)) for value in (whole, whole - width, whole + width))  # type: ignore[return-value]


def _log_ratio(after: Doubles, before: Doubles) -> float:
    # Half a click more on each side (Haldane 1956), so that a window without any click has a rate to compare.
    return float(np.log((after[0] + 0.5) / (after[1] + 0.5)) - np.log((before[0] + 0.5) / (before[1] + 0.5)))


def _by_shard(lists: pl.DataFrame, days: range) -> Doubles:
    """(SHARDS, 2) clicked and mature lists."""
    epoch = lists["day"].to_physical().cast(pl.Int64)
    own = lists.filter((epoch >= days.start) & (epoch < days.stop) & lists["clicked"].is_not_null())
    shards = shards_of(own["user"])
    clicked = own["clicked"].cast(pl.Float64).to_numpy()
    return np.stack(
        [np.bincount(shards, clicked, SHARDS), np.bincount(shards, minlength=SHARDS).astype(np.float64)], axis=1
    )


def _counts(known: Quality) -> tuple[float | None, int, float | None, int, int]:
    return known.rate, known.lists, known.baseline, known.baseline_lists, known.immature


def _waiting(mature: int, what: str) -> str:
    return f"not known yet: {mature} lists with final labels; {what}"
