import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from scipy.spatial.distance import jensenshannon

from components.recsys.drift.distances import energy, jensen_shannon

counts = st.lists(st.integers(0, 1000), min_size=5, max_size=5).map(np.array)


@given(counts, counts)
def test_jensen_shannon_agrees_with_scipy_and_is_a_metric(a, b):
    distance = float(jensen_shannon(a, b))
    assert 0.0 <= distance <= 1.0
    assert distance == float(jensen_shannon(b, a))
    if a.sum() and b.sum():
        assert abs(distance - np.nan_to_num(jensenshannon(a, b, base=2))) < 1e-6
    else:
        assert distance == 0.0


@given(counts, counts)
def test_energy_lies_between_nothing_in_common_and_the_same(a, b):
    rng = np.random.default_rng(3)
    points = rng.normal(size=(5, 2))
    apart = np.linalg.norm(points[:, None] - points[None], axis=2)
    distance = float(energy(a, b, apart))
    assert 0.0 <= distance <= 1.0
    assert float(energy(a, 3 * a, apart)) < 1e-6


def test_energy_is_the_statistic_of_the_points_themselves():
    """Székely and Rizzo's definition by means over all pairs."""
    rng = np.random.default_rng(4)
    points = rng.normal(size=(6, 3))
    apart = np.linalg.norm(points[:, None] - points[None], axis=2)
    x, y = rng.integers(0, 6, 40), rng.integers(0, 4, 50)
    across, in_x, in_y = (apart[np.ix_(*pair)].mean() for pair in ((x, y), (x, x), (y, y)))
    expected = np.sqrt((2 * across - in_x - in_y) / (2 * across))
    assert np.isclose(float(energy(np.bincount(x, minlength=6), np.bincount(y, minlength=6), apart)), expected)


def test_near_codes_count_less_than_far_ones():
    apart = np.array([[0.0, 0.1, 5.0], [0.1, 0.0, 5.0], [5.0, 5.0, 0.0]])
    start = np.array([100, 0, 0])
    assert energy(start, np.array([0, 100, 0]), apart) == 1.0  # all of it moved, however near
    assert energy(np.array([50, 0, 50]), np.array([0, 50, 50]), apart) < energy(
        np.array([50, 0, 50]), np.array([90, 0, 10]), apart
    )


def test_many_pairs_at_once():
    a, b = np.random.default_rng(5).integers(0, 9, (2, 7, 4))
    assert np.allclose(jensen_shannon(a, b), [float(jensen_shannon(x, y)) for x, y in zip(a, b, strict=True)])
