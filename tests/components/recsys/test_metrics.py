import json
import os
import subprocess
import sys
from itertools import combinations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import ndcg_score

from components.recsys import metrics as m
from components.recsys.frames import Histories

N_ITEMS = 12
K = 6


@st.composite
def cases(draw, n_items=N_ITEMS):
    """Ranked lists without repeats, padded, and non-empty truths, which may hold more than the vocabulary has."""
    rows = draw(st.integers(1, 5))
    ranked = np.full((rows, K), -1, np.int32)
    truths, unknown = [], []
    for row in range(rows):
        shown = draw(st.permutations(range(n_items)))[: draw(st.integers(0, K))]
        ranked[row, : len(shown)] = shown
        truths.append(sorted(draw(st.sets(st.integers(0, n_items - 1), max_size=n_items))))
        unknown.append(draw(st.integers(0 if truths[-1] else 1, 3)))
    truth = Histories.from_rows(truths, n_items)
    return ranked, truth, truth.lengths + np.array(unknown)


def judge(ranked, truth, relevant):
    found = m.hits(ranked, truth)
    return {name: compute(found, relevant) for name, compute in m.ACCURACY.items()}


def test_hand_worked_lists():
    # Row 0: hits at places 1 and 3 of three relevant. Row 1: none of one. Row 2: place 2 of one, a short list.
    ranked = np.array([[4, 0, 2], [1, 2, 3], [0, 5, -1]], np.int32)
    truth = Histories.from_rows([[2, 4, 5], [0], [5]], 6)
    found = judge(ranked, truth, truth.lengths)
    ideal = 1 + 1 / np.log2(3) + 1 / 2
    expected = {
        "ndcg": [(1 + 1 / 2) / ideal, 0, 1 / np.log2(3)],
        "recall": [2 / 3, 0, 1],
        "precision": [2 / 3, 0, 1 / 3],
        "hit_rate": [1, 0, 1],
        "map": [(1 + 2 / 3) / 3, 0, 1 / 2],
        "mrr": [1, 0, 1 / 2],
    }
    for name, values in expected.items():
        np.testing.assert_allclose(found[name], values, err_msg=name)


def test_a_perfect_list_scores_one_also_where_more_is_relevant_than_it_can_hold():
    truth = Histories.from_rows([[0, 1, 2, 3]], 5)
    found = judge(np.array([[3, 0]], np.int32), truth, truth.lengths)
    assert found["ndcg"] == 1
    assert found["recall"] == 0.5


def test_what_the_vocabulary_lacks_counts_as_missed():
    truth = Histories.from_rows([[0]], 3)
    found = judge(np.array([[0, 1]], np.int32), truth, np.array([2]))
    assert found["recall"] == 0.5
    assert found["ndcg"] < 1


def test_with_nothing_relevant_accuracy_is_not_defined():
    truth = Histories.from_rows([[]], 3)
    assert all(np.isnan(values).all() for values in judge(np.array([[0, 1]], np.int32), truth, truth.lengths).values())


def test_padding_never_hits():
    truth = Histories.from_rows([[4], [0]], 5)  # -1 + 5 * 1 is the key of row 0's last item
    assert not m.hits(np.array([[-1], [-1]], np.int32), truth).any()


@given(cases())
def test_accuracy_lies_between_none_and_all(case):
    for name, values in judge(*case).items():
        assert ((values >= 0) & (values <= 1 + 1e-12)).all(), name


@given(cases())
def test_a_hit_moved_up_never_lowers_any_metric(case):
    ranked, truth, relevant = case
    before, found = judge(ranked, truth, relevant), m.hits(ranked, truth)
    for row, place in zip(*np.nonzero(found), strict=True):
        if place:
            moved = ranked.copy()
            moved[row, [place - 1, place]] = moved[row, [place, place - 1]]
            after = judge(moved, truth, relevant)
            assert all((after[name] >= before[name] - 1e-12).all() for name in before)


@given(cases())
def test_ndcg_agrees_with_scikit_learn(case):
    ranked, truth, _ = case
    ours = m.ndcg(m.hits(ranked, truth), truth.lengths)
    for row in range(len(ranked)):
        if truth.lengths[row]:
            wanted, scores = np.zeros(N_ITEMS + K), np.zeros(N_ITEMS + K)
            wanted[truth[row : row + 1].indices] = 1
            # Where our list is short, items that are right for nobody fill it up.
            filled = np.where(ranked[row] >= 0, ranked[row], N_ITEMS + np.arange(K))
            scores[filled] = np.arange(K, 0, -1)
            assert ours[row] == pytest.approx(ndcg_score([wanted], [scores], k=K, ignore_ties=True))


RANX = """
import json, sys, warnings
warnings.simplefilter("ignore")
from ranx import Qrels, Run, evaluate
asked = json.load(sys.stdin)
scores = evaluate(Qrels(asked["qrels"]), Run(asked["run"]), asked["metrics"], return_mean=False)
print(json.dumps({name: [float(value) for value in values] for name, values in scores.items()}))
"""


def test_accuracy_agrees_with_ranx():
    # In its own process without its just-in-time compiler, which takes a minute and warns.
    rng = np.random.default_rng(0)
    rows, k, n_items = 150, 10, 40
    ranked = np.array([rng.permutation(n_items)[:k] for _ in range(rows)], np.int32)
    truth = Histories.from_rows(
        [sorted(rng.choice(n_items, rng.integers(1, 25), replace=False)) for _ in range(rows)], n_items
    )
    names = {"ndcg": "ndcg@10", "recall": "recall@10", "precision": "precision@10", "hit_rate": "hit_rate@10"}
    names |= {"map": "map@10", "mrr": "mrr@10"}
    asked = {
        "qrels": {f"{row:03}": {str(item): 1 for item in truth[row : row + 1].indices} for row in range(rows)},
        "run": {f"{row:03}": {str(item): float(k - i) for i, item in enumerate(ranked[row])} for row in range(rows)},
        "metrics": list(names.values()),
    }
    answer = subprocess.run(
        [sys.executable, "-c", RANX],
        input=json.dumps(asked),
        env={**os.environ, "NUMBA_DISABLE_JIT": "1"},
        capture_output=True,
        text=True,
        timeout=240,
        check=True,
    )
    theirs = json.loads(answer.stdout)
    for name, values in judge(ranked, truth, truth.lengths).items():
        np.testing.assert_allclose(values, theirs[names[name]], err_msg=name)


def test_novelty_is_the_mean_self_information_in_bits():
    popularity = np.array([8, 4, 1, 0])
    ranked = np.array([[0, 1], [2, 3], [1, -1], [-1, -1]], np.int32)
    np.testing.assert_allclose(m.novelty(ranked, popularity, n_users=8), [0.5, 3.0, 1.0, 0.0])


def test_mean_popularity_leaves_padding_out():
    ranked = np.array([[0, 1], [1, -1], [-1, -1]], np.int32)
    np.testing.assert_allclose(m.mean_popularity(ranked, np.array([8, 4])), [6.0, 4.0, 0.0])


def test_diversity_of_equals_is_none_and_of_strangers_is_all():
    features = np.array([[1, 0], [2, 0], [0, 3], [0, 0]])
    ranked = np.array([[0, 1, -1], [0, 2, -1], [0, 1, 2], [0, -1, -1], [0, 3, -1]], np.int32)
    np.testing.assert_allclose(m.diversity(ranked, features), [0, 1, 2 / 3, 0, 1], atol=1e-12)


@given(cases(), st.integers(0, 100))
def test_diversity_is_one_minus_the_mean_cosine_of_all_pairs(case, seed):
    ranked, _, _ = case
    features = np.random.default_rng(seed).random((N_ITEMS, 4))
    unit = features / np.linalg.norm(features, axis=1, keepdims=True)
    expected = []
    for row in ranked:
        pairs = list(combinations(row[row >= 0], 2))
        expected.append(1 - np.mean([unit[a] @ unit[b] for a, b in pairs]) if pairs else 0.0)
    np.testing.assert_allclose(m.diversity(ranked, features), expected, atol=1e-9)


def test_serendipity_counts_right_items_that_a_popularity_list_lacks():
    ranked = np.array([[0, 1, 2, 3]], np.int32)
    truth = Histories.from_rows([[0, 2, 5]], 6)
    found = m.hits(ranked, truth)
    assert m.serendipity(ranked, found, expected=np.array([[0, 4, 5, 1]], np.int32)) == 0.25
    assert m.serendipity(ranked, found, expected=np.array([[-1, -1, -1, -1]], np.int32)) == 0.5


def test_coverage_and_gini_by_hand():
    exposures = m.exposure(np.array([[0, 1], [0, -1]], np.int32), n_items=4)
    np.testing.assert_array_equal(exposures, [2, 1, 0, 0])
    assert m.coverage(exposures) == 0.5
    # Least shown first 0, 0, 1, 2 with weights -3, -1, 1, 3, over 4 items and 3 places.
    assert m.gini(exposures) == pytest.approx(7 / 12)


def test_gini_of_equal_exposure_is_zero_and_of_one_item_is_nearly_one():
    assert m.gini(np.ones(10)) == pytest.approx(0)
    assert m.gini(np.eye(100)[0]) == pytest.approx(0.99)
    assert m.gini(np.zeros(10)) == 0


def test_weighted_exposure_counts_a_row_as_often_as_its_weight():
    exposures = m.exposure(np.array([[0, 1], [0, -1]], np.int32), 3, np.array([2.0, 0.5]))
    np.testing.assert_array_equal(exposures, [2.5, 2.0, 0])


@given(st.lists(st.integers(0, 50), min_size=1, max_size=30))
def test_gini_is_half_the_mean_difference_over_the_mean(exposures):
    values = np.array(exposures, float)
    expected = np.abs(values[:, None] - values).mean() / (2 * values.mean()) if values.sum() else 0
    assert m.gini(values) == pytest.approx(expected, abs=1e-9)
