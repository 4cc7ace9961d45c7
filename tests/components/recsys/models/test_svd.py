import numpy as np
import pytest
import scipy.sparse as sp

from components.recsys.frames import Catalogue, Histories, Interactions
from components.recsys.models.base import Training
from components.recsys.models.svd import SVD, _right_vectors


def test_it_is_the_filter_of_the_normalised_matrix():
    rng = np.random.default_rng(2)
    rows = [rng.choice(12, rng.integers(1, 9), replace=False).tolist() for _ in range(30)]
    histories = Histories.from_rows(rows, 12)
    users = np.array([f"u{row:03}" for row in range(30)], dtype=object)
    items = np.array([f"i{item:03}" for item in range(12)], dtype=object)
    interactions = Interactions(users, items, histories, np.zeros(len(histories.indices), np.int64))
    model = SVD(SVD.Config(factors=3, half_life=None)).fit(Training(interactions, Catalogue.empty(items)))
    x = histories.matrix().toarray().astype(np.float64)
    degrees = x.sum(0)
    normalised = x / np.sqrt(x.sum(1))[:, None] / np.sqrt(degrees)
    vectors = np.linalg.svd(normalised)[2][:3].T
    expected = (x / np.sqrt(degrees)) @ vectors @ vectors.T * np.sqrt(degrees)
    np.testing.assert_allclose(model.score(histories), expected, atol=1e-4)


@pytest.mark.parametrize("shape", [(40, 25), (25, 40), (200, 60)])
def test_the_iteration_finds_the_space_of_the_largest_singular_vectors(shape):
    rng = np.random.default_rng(1)
    matrix = rng.random((shape[0], 5)) @ rng.random((5, shape[1])) + 0.01 * rng.random(shape)
    exact = np.linalg.svd(matrix)[2][:4].T
    found = _right_vectors(sp.csr_array(matrix), 4, seed=0)
    np.testing.assert_allclose(found @ found.T, exact @ exact.T, atol=1e-6)


@pytest.mark.parametrize(("shape", "count"), [((1, 5), 1), ((5, 1), 1), ((3, 3), 3), ((0, 4), 0)])
def test_tiny_matrices_have_as_many_vectors_as_they_can(shape, count):
    assert _right_vectors(sp.csr_array(np.ones(shape)), count, seed=0).shape == (shape[1], count)
