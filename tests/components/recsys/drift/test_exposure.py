import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from components.recsys.drift.exposure import Exposure, gini


def test_even_and_uneven():
    assert gini(np.array([5, 5, 5, 5])) == 0.0
    assert gini(np.array([0, 0, 0, 20])) == 0.75


@given(st.lists(st.integers(0, 100), min_size=1, max_size=30).filter(any))
def test_gini_is_half_the_mean_difference_over_the_mean(counts):
    values = np.array(counts)
    expected = np.abs(values[:, None] - values[None]).mean() / (2 * values.mean())
    assert np.isclose(gini(values), expected)


def test_windows_coverage_and_exploration():
    exposure = Exposure(4)
    exposure.add(1, [0, 1], explored=False)
    exposure.add(2, [0, 4], explored=True)  # 4: an item that the catalogue does not hold
    exposure.add(9, [3, 3], explored=False)
    seen = exposure.of(1, 7)
    assert (seen.lists, seen.shown, seen.coverage, seen.exploration) == (2, 3, 0.5, 0.5)
    assert exposure.of(20, 7).gini is None
    exposure.keep(range(1, 3))
    assert exposure.of(9, 1).lists == 0
