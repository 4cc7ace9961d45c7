import numpy as np

from components.recsys.frames import Catalogue, Histories, Interactions
from components.recsys.models.base import Training
from components.recsys.models.popularity import Popularity

DAY = 86_400
ITEMS = np.array(list("abc"), dtype=object)


def interactions(rows, days=None):
    histories = Histories.from_rows(rows, 3)
    users = np.array([f"u{row}" for row in range(len(rows))], dtype=object)
    seconds = np.zeros(len(histories.indices)) if days is None else np.array(days) * DAY
    return Interactions(users, ITEMS, histories, seconds.astype(np.int64))


def fit(rows, days=None, **config):
    return Popularity(Popularity.Config(**config)).fit(Training(interactions(rows, days), Catalogue.empty(ITEMS)))


def test_people_are_counted_not_clicks():
    model = fit([[0] * 50, [1], [1]], half_life_days=None)
    np.testing.assert_allclose(model.prior, np.log1p([1, 2, 0]), rtol=1e-6)


def test_a_person_counts_half_after_each_half_life_by_their_newest_event():
    model = fit([[0, 0], [1], [2]], days=[0, 20, 10, 30], half_life_days=10)
    np.testing.assert_allclose(model.prior, np.log1p([0.5, 0.25, 1.0]), rtol=1e-6)


def test_no_half_life_counts_the_old_like_the_new():
    assert len(set(fit([[0], [1], [2]], days=[0, 5000, 10000], half_life_days=None).prior)) == 1


def test_decay_is_learnt_where_fashion_moves():
    rows = [[0]] * 6 + [[1]] * 4 + [[2]] * 10  # six took a long ago, four took b lately, ten more are asked next
    later = interactions([[1]] * 10)
    held = Interactions(
        np.array([f"u{user}" for user in range(10, 20)], dtype=object), ITEMS, later.histories, later.seconds
    )
    before = interactions(rows, days=[0] * 6 + [100] * 14)
    model = Popularity(Popularity.Config()).fit(Training(before, Catalogue.empty(ITEMS), held))
    assert model.learnt()["half_life_days"] <= 90
    assert model.prior[1] > model.prior[0]
