import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from components.recsys.frames import Catalogue, Histories, Interactions
from components.recsys.models.base import Training
from components.recsys.models.popularity import Popularity
from components.recsys.ranking import rank, top_k

few = st.sampled_from([-np.inf, -2.5, -0.0, 0.0, 1.0, 1.5, 3e38])  # few values, so that there are many ties


def slow_top_k(scores, k):
    """By Python's sort: score, then position."""
    listed, values = [], []
    for row in scores.tolist():
        order = sorted(range(len(row)), key=lambda item: (-row[item], item))[:k]
        listed.append([item if row[item] > -np.inf else -1 for item in order])
        values.append([row[item] for item in order])
    return listed, values


@given(arrays(np.float32, array_shapes(min_dims=2, max_dims=2, max_side=12), elements=few), st.integers(1, 15))
def test_the_best_come_first_and_ties_go_by_position(scores, k):
    before = scores.copy()
    listed, values = top_k(scores, k)
    expected, expected_values = slow_top_k(scores, k)
    assert listed.tolist() == expected
    assert values.tolist() == expected_values
    assert listed.dtype == np.int32
    assert values.dtype == np.float32
    np.testing.assert_array_equal(scores, before)


@pytest.mark.parametrize("shape", [(0, 5), (3, 0)])
def test_no_rows_or_no_items_give_an_empty_answer(shape):
    listed, values = top_k(np.zeros(shape, np.float32), 4)
    assert listed.shape == values.shape == (shape[0], min(4, shape[1]))


@pytest.fixture(scope="module")
def model():
    """Scores item n by n: popularity where item n was taken by n + 1 people."""
    rows = [[item for item in range(6) if item >= user] for user in range(6)]
    histories = Histories.from_rows(rows, 6)
    items = np.array(list("abcdef"), dtype=object)
    users = np.array([f"u{user}" for user in range(6)], dtype=object)
    interactions = Interactions(users, items, histories, np.zeros(len(histories.indices), np.int64))
    return Popularity(Popularity.Config()).fit(Training(interactions, Catalogue.empty(items)))


def test_seen_items_are_left_out_unless_asked_for(model):
    histories = Histories.of([["f", "d"], []], model.items)
    assert rank(model, histories, 3)[0].tolist() == [[4, 2, 1], [5, 4, 3]]
    assert rank(model, histories, 3, exclude_seen=False)[0].tolist() == [[5, 4, 3], [5, 4, 3]]


def test_short_lists_are_padded(model):
    listed, scores = rank(model, Histories.of([list("bcdef")], model.items), 3)
    assert listed.tolist() == [[0, -1, -1]]
    assert np.isneginf(scores[0, 1:]).all()
    listed, _ = rank(model, Histories.of([[]], model.items), 9)
    assert listed.tolist() == [[5, 4, 3, 2, 1, 0, -1, -1, -1]]


def test_a_filter_holds_for_all_or_for_each_row(model):
    histories = Histories.of([[], ["b"]], model.items)
    even = np.arange(6) % 2 == 0
    assert rank(model, histories, 2, allowed=even)[0].tolist() == [[4, 2], [4, 2]]
    assert rank(model, histories, 2, allowed=np.stack([even, ~even]))[0].tolist() == [[4, 2], [5, 3]]
    assert rank(model, histories, 2, allowed=np.zeros(6, bool))[0].tolist() == [[-1, -1], [-1, -1]]


@pytest.mark.parametrize("batch", [1, 2, 3, 100])
def test_the_batch_changes_nothing(model, batch):
    histories = Histories.of([["a"], ["f"], [], ["b", "e"], ["c"]], model.items)
    allowed = np.random.default_rng(0).random((5, 6)) < 0.7
    expected = rank(model, histories, 3, allowed=allowed)
    for one, other in zip(rank(model, histories, 3, allowed=allowed, batch=batch), expected, strict=True):
        np.testing.assert_array_equal(one, other)


def test_nobody_asked_gives_no_lists(model):
    listed, scores = rank(model, Histories.of([], model.items), 3)
    assert listed.shape == scores.shape == (0, 3)
