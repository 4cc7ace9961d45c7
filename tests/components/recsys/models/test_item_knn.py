import numpy as np
import pytest

from components.recsys.frames import Catalogue, Histories, Interactions
from components.recsys.models import item_knn
from components.recsys.models.base import Training
from components.recsys.models.item_knn import ItemKNN

# People of each item: a 0 1 2, b 0 1, c 2 3, d nobody.
ROWS = [[0, 1], [0, 1], [0, 2], [2]]
ITEMS = np.array(list("abcd"), dtype=object)


def fit(rows=ROWS, n_items=4, **config):
    histories = Histories.from_rows(rows, n_items)
    users = np.array([f"u{row:03}" for row in range(len(rows))], dtype=object)
    items = np.array([f"{item:04}" for item in range(n_items)], dtype=object) if n_items != 4 else ITEMS
    interactions = Interactions(users, items, histories, np.zeros(len(histories.indices), np.int64))
    return ItemKNN(ItemKNN.Config(half_life=None, **config)).fit(Training(interactions, Catalogue.empty(items)))


def test_scores_are_sums_of_cosines_worked_by_hand():
    model = fit(shrink=0)
    a_b, a_c = 2 / np.sqrt(3 * 2), 1 / np.sqrt(3 * 2)
    scores = model.score(Histories.from_rows([[0], [1, 2], [3]], 4))
    np.testing.assert_allclose(scores[0], [0, a_b, a_c, 0], rtol=1e-6)
    np.testing.assert_allclose(scores[1], [a_b + a_c, 0, 0, 0], rtol=1e-6)
    np.testing.assert_array_equal(scores[2], 0)


def test_shrinkage_is_added_to_the_denominator():
    scores = fit(shrink=2).score(Histories.from_rows([[0]], 4))[0]
    np.testing.assert_allclose(scores, [0, 2 / (np.sqrt(6) + 2), 1 / (np.sqrt(6) + 2), 0], rtol=1e-6)


def test_only_the_nearest_neighbours_of_an_item_speak_for_it():
    model = fit(shrink=0, neighbours=1)
    scores = model.score(Histories.from_rows([[2], [1]], 4))
    assert scores[0, 0] == 0  # c is not the neighbour of a, b is
    assert scores[1, 0] > 0


@pytest.mark.parametrize("cells", [1, 37, 10**6])
def test_the_size_of_the_blocks_changes_nothing(cells, monkeypatch):
    rng = np.random.default_rng(4)
    rows = [rng.choice(25, 6, replace=False).tolist() for _ in range(40)]
    expected = fit(rows, 25, neighbours=5).weights()
    monkeypatch.setattr(item_knn, "BLOCK_CELLS", cells)
    for name, array in fit(rows, 25, neighbours=5).weights().items():
        np.testing.assert_array_equal(array, expected[name])
