import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from components.recsys.frames import Histories
from components.recsys.models.sparse import Rows, dense_times

matrices = arrays(
    np.float32, array_shapes(min_dims=2, max_dims=2, max_side=7), elements=st.sampled_from([0, 0, 0, 1, -2, 0.5])
)


def rows_of(matrix):
    row, column = np.nonzero(matrix)
    order = np.random.default_rng(0).permutation(len(row))
    return Rows.of(row[order], column[order], matrix[row, column][order], matrix.shape)


@given(matrices, st.data())
def test_it_adds_up_like_the_matrix_written_out(matrix, data):
    rows = rows_of(matrix)
    chosen = np.array(data.draw(st.lists(st.integers(0, len(matrix) - 1), max_size=5)), np.int32)
    weights = np.arange(1, len(chosen) + 1, dtype=np.float32)
    np.testing.assert_allclose(rows.sum(chosen, weights), weights @ matrix[chosen], atol=1e-5)
    np.testing.assert_array_equal(rows.dense(chosen), matrix[chosen])
    vector = np.arange(matrix.shape[1], dtype=np.float32)
    np.testing.assert_allclose(rows.dot(vector), matrix @ vector, atol=1e-5)
    np.testing.assert_array_equal(rows.matrix().toarray(), matrix)


def test_it_comes_back_from_its_arrays():
    rows = rows_of(np.array([[0, 2, 0], [0, 0, 0], [1, 0, 3]], np.float32))
    again = Rows.load(rows.arrays("a"), "a", 3)
    np.testing.assert_array_equal(again.matrix().toarray(), rows.matrix().toarray())
    assert set(rows.arrays("a")) == {"a.indptr", "a.indices", "a.data"}


@pytest.mark.parametrize("lists", [[[0, 1], [], [1]], [[]]])
def test_many_histories_at_once(lists):
    rows = rows_of(np.array([[0, 2, 0], [0, 0, 4], [1, 0, 3]], np.float32))
    histories = Histories.from_rows(lists, 3)
    expected = [rows.sum(np.array(row, np.int32), np.ones(len(row), np.float32)) for row in lists]
    np.testing.assert_array_equal(dense_times(histories.matrix(), rows), expected)
