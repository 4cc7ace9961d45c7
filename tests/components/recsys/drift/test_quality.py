import numpy as np
import polars as pl
import pytest

from components.recsys.drift.quality import quality_of
from components.recsys.drift.windows import windows
from components.recsys.settings import DriftSettings

FIRST = 20_000


def lists(rates: list[float], a_day: int = 60, seed: int = 1, mature: bool = True) -> pl.DataFrame:
    """One rate a day. Half of what decides is the user, so lists of one user hang together."""
    rng = np.random.default_rng(seed)
    day = np.repeat(np.arange(len(rates)), a_day)
    user = rng.integers(0, 200, len(day))
    clicked = rng.random(len(day)) < np.clip(np.array(rates)[day] * np.where(user % 2, 1.4, 0.6), 0, 1)
    return pl.DataFrame(
        {
            "day": (FIRST + day).astype(np.int32),
            "user": [f"u{one}" for one in user],
            "variant": "champion",
            "release": "r",
            "clicked": pl.Series(clicked if mature else [None] * len(day), dtype=pl.Boolean),
        }
    ).with_columns(pl.col("day").cast(pl.Date))


CHOSEN = windows(FIRST + 35, FIRST + 28, FIRST, 7, 4)


def test_a_fall_of_the_click_rate_is_seen():
    quality = quality_of(lists([0.3] * 28 + [0.15] * 7), CHOSEN, DriftSettings())
    assert quality.dropped
    assert quality.low < -0.5 < quality.high < 0
    assert "people click less" in quality.sentence


@pytest.mark.parametrize("seed", range(5))
def test_a_fall_of_a_quarter_is_seen_with_lists_enough(seed):
    assert quality_of(lists([0.7] * 28 + [0.525] * 7, a_day=200, seed=seed), CHOSEN, DriftSettings()).dropped


@pytest.mark.parametrize("seed", range(5))
def test_the_same_rate_is_no_fall(seed):
    assert not quality_of(lists([0.3] * 35, seed=seed), CHOSEN, DriftSettings()).dropped


def test_a_fall_that_is_real_but_small_is_no_alarm():
    quality = quality_of(lists([0.4] * 28 + [0.36] * 7, a_day=2000), CHOSEN, DriftSettings())
    assert quality.high < 0
    assert not quality.dropped


def test_a_large_fall_on_few_lists_is_no_alarm():
    quality = quality_of(lists([0.3] * 28 + [0.1] * 7, a_day=20), CHOSEN, DriftSettings())
    assert not quality.dropped
    assert quality.change is None
    assert "not known yet" in quality.sentence


def test_labels_that_are_not_final_are_no_fall():
    immature = lists([0.3] * 35, mature=False)
    quality = quality_of(immature, CHOSEN, DriftSettings())
    assert (quality.rate, quality.dropped, quality.immature) == (None, False, immature.height)
    assert "not known yet: 0 lists with final labels" in quality.sentence


def test_nobody_clicking_any_more_is_a_fall():
    quality = quality_of(lists([0.3] * 28 + [0.0] * 7), CHOSEN, DriftSettings())
    assert quality.dropped
    assert quality.rate == 0.0


def test_intervals_hold_the_truth_as_often_as_they_say():
    held = 0
    for seed in range(60):
        quality = quality_of(lists([0.3] * 35, seed=seed), CHOSEN, DriftSettings(alpha=0.1))
        held += quality.low <= 0 <= quality.high
    assert held >= 48  # 54 expected; fewer than 48 with probability 0.01
