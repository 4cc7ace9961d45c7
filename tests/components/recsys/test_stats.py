import time

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats as scipy_stats

from components.recsys import stats
from components.recsys.metrics import coverage, exposure, gini


def binomial_limit(trials, share):
    """More successes than this happen once in a thousand."""
    return scipy_stats.binom.ppf(0.999, trials, share)


def test_resample_weights_add_up_in_every_piece(monkeypatch):
    monkeypatch.setattr(stats, "CELLS", 50)
    pieces = list(stats.resamples_of(20, 7, np.random.default_rng(0)))
    assert [len(piece) for piece in pieces] == [2, 2, 2, 1]
    assert all((piece.sum(axis=1) == 20).all() for piece in pieces)


def test_mean_intervals_agree_with_scipys_bca():
    values = np.random.default_rng(0).exponential(size=(60, 1))
    mean, low, high = stats.mean_intervals(values, 20_000, seed=1)
    theirs = scipy_stats.bootstrap(
        (values[:, 0],), np.mean, n_resamples=20_000, method="BCa", rng=2
    ).confidence_interval
    assert mean[0] == values.mean()
    assert (low[0], high[0]) == pytest.approx((theirs.low, theirs.high), rel=0.02)


def test_mean_intervals_hold_the_truth_as_often_as_they_say():
    # Skewed like nDCG: many zeros, some large.
    misses = 0
    for seed in range(300):
        rng = np.random.default_rng(seed)
        values = rng.beta(1, 4, size=(120, 1)) * (rng.random((120, 1)) < 0.6)
        _, low, high = stats.mean_intervals(values, 500, seed)
        misses += not low[0] <= 0.12 <= high[0]
    assert misses <= binomial_limit(300, 0.06)  # a bootstrap of 120 skewed values is a little short of 95 %
    assert misses > 0


def test_intervals_of_a_constant_are_that_constant_and_of_one_user_unknown():
    mean, low, high = stats.mean_intervals(np.full((9, 1), 0.5), 200, seed=0)
    assert mean[0] == low[0] == high[0] == 0.5
    mean, low, high = stats.mean_intervals(np.array([[0.5]]), 200, seed=0)
    assert mean[0] == 0.5
    assert np.isnan([low[0], high[0]]).all()
    assert np.isnan(stats.mean_intervals(np.zeros((0, 2)), 200, seed=0)[0]).all()


def test_a_thousand_resamples_of_a_thousand_users_take_well_below_a_second():
    values = np.random.default_rng(0).random((1000, 10))
    started = time.process_time()
    stats.mean_intervals(values, 1000, seed=0)
    assert time.process_time() - started < 1


def test_pooling_keeps_the_mean_and_the_width_of_the_interval(monkeypatch):
    values = np.random.default_rng(0).exponential(size=(30_000, 1))
    mean, low, high = stats.mean_intervals(values, 400, seed=0)
    monkeypatch.setattr(stats, "MOST_UNITS", 10**9)
    whole = values.std() / np.sqrt(len(values)) * 2 * 1.96
    assert mean[0] == values.mean()
    assert high[0] - low[0] == pytest.approx(whole, rel=0.15)


def test_pooled_blocks_keep_the_mean_and_have_its_variance():
    values = np.random.default_rng(1).exponential(size=(50_003, 2))
    blocks = stats.pooled(values, np.random.default_rng(0), most=5000)
    assert blocks.shape == (5000, 2)
    np.testing.assert_allclose(blocks.mean(axis=0), values.mean(axis=0))
    np.testing.assert_allclose(blocks.var(axis=0) / 5000, values.var(axis=0) / 50_003, rtol=0.1)


def test_a_ratio_of_means_has_its_interval():
    rng = np.random.default_rng(0)
    below = rng.random(400) + 1
    value, low, high = stats.ratio_interval(2 * below + rng.normal(0, 0.1, 400), below, 500, seed=0)
    assert low < value < high
    assert value == pytest.approx(2, abs=0.02)
    assert np.isnan(stats.ratio_interval(np.ones(3), np.zeros(3), 200, seed=0)).all()


def test_coverage_and_gini_lie_inside_their_intervals_as_often_as_they_say():
    # The truth is what so many users show on average, not what the whole population would.
    chances = np.random.default_rng(0).pareto(1.0, 80)
    chances /= chances.sum()

    def draw(seed):
        rng = np.random.default_rng(seed)
        return np.array([rng.choice(80, 3, replace=False, p=chances) for _ in range(60)], np.int32)

    def statistic(ranked):
        return lambda weights: np.array([f(exposure(ranked, 80, weights)) for f in (coverage, gini)])

    truth = np.mean([statistic(draw(seed))(np.ones(60)) for seed in range(1000, 1300)], axis=0)
    missed = np.zeros(2)
    for seed in range(150):
        _, low, high = stats.whole_intervals(statistic(draw(seed)), 60, seed)
        missed += (truth < low) | (truth > high)
    assert (missed <= binomial_limit(150, 0.05)).all(), missed


def test_a_number_of_all_users_needs_two_of_them():
    value, low, high = stats.whole_intervals(lambda weights: np.array([weights.sum()]), 1, seed=0)
    assert value[0] == 1
    assert np.isnan([low[0], high[0]]).all()


def test_compare_finds_the_column_that_is_better():
    rng = np.random.default_rng(0)
    differences = rng.normal([0.0, 0.3], 1.0, size=(500, 2))
    found = stats.compare(differences, 0.05, 1000, seed=0)
    assert found.low[0] < 0 < found.low[1]
    assert found.p[1] < 0.01 < found.p[0]
    np.testing.assert_allclose(found.difference, differences.mean(axis=0))


def test_the_largest_of_many_equal_columns_is_not_taken_for_better():
    promoted = 0
    for seed in range(200):
        rng = np.random.default_rng(seed)
        shared = rng.exponential(size=(80, 1))
        columns = 0.5 * (rng.exponential(size=(80, 8)) - 1) + 0.5 * (shared - 1)
        promoted += bool((stats.compare(columns, 0.05, 300, seed).low > 0).any())
    assert promoted <= binomial_limit(200, 0.05)


@given(st.integers(0, 10_000), st.integers(5, 60))
def test_one_comparison_turned_round_gives_the_same_bounds_turned_round(seed, n):
    differences = np.random.default_rng(seed).normal(0.1, 1, size=(n, 1))
    one = stats.compare(differences, 0.05, 200, seed=0)
    other = stats.compare(-differences, 0.05, 200, seed=0)
    assert one.low[0] == pytest.approx(-other.high[0])
    assert not (one.low[0] > 0 and other.low[0] > 0)


def test_no_difference_at_all_is_never_better():
    found = stats.compare(np.zeros((50, 2)), 0.05, 200, seed=0)
    assert (found.low == 0).all()
    assert (found.p == 1).all()


def test_the_bound_agrees_with_students_on_normal_differences():
    differences = np.random.default_rng(3).normal(0.1, 1, size=(400, 1))
    found = stats.compare(differences, 0.05, 5000, seed=0)
    mean, low, high, _ = stats.t_test(differences[:, 0], 0.05)
    assert (found.low[0], found.high[0]) == pytest.approx((low, high), abs=0.01)
    assert mean == found.difference[0]


@given(st.lists(st.floats(0, 1), min_size=1, max_size=12))
def test_holm_never_lowers_a_p_value_and_keeps_their_order(p):
    values = np.array(p)
    corrected = stats.holm(values)
    assert (corrected >= values).all()
    assert (corrected <= 1).all()
    assert (np.diff(corrected[np.argsort(values, kind="stable")]) >= 0).all()


def test_holm_by_hand():
    np.testing.assert_allclose(stats.holm(np.array([0.01, 0.04, 0.03])), [0.03, 0.06, 0.06])
    assert len(stats.holm(np.array([]))) == 0


@given(st.integers(0, 200), st.integers(1, 200))
def test_wilson_agrees_with_scipy(successes, n):
    successes = min(successes, n)
    theirs = scipy_stats.binomtest(successes, n).proportion_ci(method="wilson")
    assert stats.wilson(successes, n) == pytest.approx((theirs.low, theirs.high), abs=1e-9)


def test_wilson_of_nobody_is_everything():
    assert stats.wilson(0, 0) == (0.0, 1.0)
    assert stats.wilson(0, 10)[1] > 0.2


def test_t_test_agrees_with_scipy_and_survives_constants():
    differences = np.random.default_rng(0).normal(-0.2, 1, 50)
    assert stats.t_test(differences, 0.05)[3] == pytest.approx(
        scipy_stats.ttest_1samp(differences, 0, alternative="less").pvalue
    )
    assert stats.t_test(np.zeros(5), 0.05) == (0, 0, 0, 1)
    assert stats.t_test(np.full(5, -1.0), 0.05) == (-1, -1, -1, 0)
