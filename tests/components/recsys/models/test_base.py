import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from components.recsys.frames import Histories
from components.recsys.models.base import newest, recency, strongest

rows = st.lists(st.tuples(st.integers(0, 9), st.floats(0.125, 8, width=32)), min_size=1, max_size=30)


@given(rows, st.sampled_from([None, 0.5, 4.0, 32.0]))
def test_one_history_is_weighed_as_in_a_matrix(events, half_life):
    items = np.array([item for item, _ in events], np.int32)
    weights = np.array([weight for _, weight in events], np.float32)
    row = Histories(np.array([0, len(items)]), items, weights, 10).matrix(half_life)
    distinct, values = newest(items, weights, half_life)
    np.testing.assert_array_equal(distinct, row.indices)
    np.testing.assert_allclose(values, row.data, rtol=1e-6)
    assert values.dtype == np.float32


def test_the_newest_counts_full_and_the_older_halve():
    np.testing.assert_allclose(recency(4, 1.0), [0.125, 0.25, 0.5, 1])
    np.testing.assert_array_equal(recency(3, None), [1, 1, 1])


def test_the_reason_is_what_contributes_most_now():
    contributions = np.array([[3.0, 0.1, -1, 0], [1.0, 0.4, -2, 0]], np.float32)
    assert strongest(contributions, None).tolist() == [0, 1, -1, -1]
    assert strongest(contributions, 0.5).tolist() == [1, 1, -1, -1]  # the older one counts a quarter
