import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from components.recsys.fallback import Fallback
from components.recsys.frames import Catalogue, Histories, Interactions
from components.recsys.models.base import Training
from components.recsys.models.ease import EASE

GENRES = [["Comedy"], ["Drama"], ["Comedy", "Drama"], [], None, ["Война"]]
ITEMS = np.array(list("abcdef"), dtype=object)
CATALOGUE = Catalogue(pl.DataFrame({"item_id": ITEMS.tolist(), "genres": pl.Series(GENRES, dtype=pl.List(pl.String))}))
DAY = 86_400


def interactions(rows, seconds=None):
    histories = Histories.from_rows(rows, len(ITEMS))
    users = np.array([f"u{row}" for row in range(len(rows))], dtype=object)
    return Interactions(
        users, ITEMS, histories, np.zeros(len(histories.indices), np.int64) if seconds is None else seconds
    )


@pytest.fixture
def fallback():
    """Popularity: d 4, b 3, a 2, c 1, e and f 0."""
    return Fallback.fit(interactions([[3, 1, 0, 2], [3, 1, 0], [3, 1], [3]]), CATALOGUE)


def test_without_likes_the_popular_come_first(fallback):
    assert fallback.rank(10).tolist() == [3, 1, 0, 2, 4, 5]
    assert fallback.rank(2).tolist() == [3, 1]


def test_liked_labels_come_first_and_the_list_is_filled_up(fallback):
    assert fallback.rank(10, likes=["Comedy"]).tolist() == [0, 2, 3, 1, 4, 5]
    assert fallback.rank(3, likes=["comedy", "DRAMA"]).tolist() == [1, 0, 2]
    assert fallback.rank(2, likes=["война"]).tolist() == [5, 3]


def test_labels_that_nobody_knows_are_as_good_as_none(fallback):
    assert fallback.rank(3, likes=["no such genre"]).tolist() == fallback.rank(3).tolist()


def test_what_is_excluded_or_not_allowed_never_appears(fallback):
    allowed = np.array([True, True, True, False, True, True])
    assert fallback.rank(10, likes=["drama"], excluded=np.array([1], np.int32), allowed=allowed).tolist() == [
        2,
        0,
        4,
        5,
    ]
    assert fallback.rank(10, allowed=np.zeros(6, bool)).tolist() == []
    assert allowed.tolist() == [True, True, True, False, True, True]


def test_what_can_be_liked_is_told(fallback):
    assert fallback.known_labels == ["comedy", "drama", "война"]


def test_old_popularity_fades():
    seconds = np.array([0, 0, 400 * DAY], np.int64)
    assert Fallback.fit(interactions([[0], [0], [1]], seconds), CATALOGUE).rank(2).tolist() == [1, 0]


def test_it_comes_back_from_its_arrays(fallback):
    again = Fallback.load(fallback.arrays(), CATALOGUE)
    assert again.rank(10, likes=["drama"]).tolist() == fallback.rank(10, likes=["drama"]).tolist()


def test_every_model_carries_one(fallback):
    model = EASE(EASE.Config()).fit(Training(interactions([[3, 1, 0, 2], [3, 1, 0], [3, 1], [3]]), CATALOGUE))
    assert Fallback.of(model, CATALOGUE).rank(10).tolist() == fallback.rank(10).tolist()


def test_without_attributes_it_is_popularity():
    plain = Fallback.fit(interactions([[2], [2, 1]]), Catalogue.empty(ITEMS))
    assert plain.rank(3, likes=["Comedy"]).tolist() == [2, 1, 0]


@given(
    st.lists(st.lists(st.integers(0, 5), max_size=6), min_size=1, max_size=8),
    st.integers(0, 8),
    st.lists(st.sampled_from(["Comedy", "drama", "x", ""])),
    st.lists(st.integers(0, 5), max_size=6),
)
def test_a_list_is_full_while_items_are_left_and_repeats_nothing(rows, k, likes, excluded):
    listed = Fallback.fit(interactions(rows), CATALOGUE).rank(k, likes, np.array(excluded, np.int32)).tolist()
    assert len(listed) == min(k, 6 - len(set(excluded)))
    assert len(set(listed)) == len(listed)
    assert not set(listed) & set(excluded)
