from datetime import date

import numpy as np
import polars as pl
import pytest

from components.recsys.frames import Catalogue
from components.recsys.models.attributes import describe


def described(columns, text_weight=1.0, most_features=100):
    size = len(next(iter(columns.values())))
    frame = pl.DataFrame({"item_id": [f"i{item}" for item in range(size)], **columns})
    return describe(Catalogue(frame), text_weight, most_features).matrix().toarray()


def alike(rows):
    return np.round(rows @ rows.T, 5)


def test_rows_have_length_one_or_nothing_in_them():
    rows = described({"genres": [["x", "y"], ["x"], [], None, ["y", "y"]]})
    np.testing.assert_allclose(np.linalg.norm(rows, axis=1), [1, 1, 0, 0, 1], rtol=1e-6)


def test_shared_labels_make_items_alike_and_rare_ones_more_so():
    rows = alike(described({"genres": [["common", "rare"], ["rare"], ["common"], ["common"], ["common"]]}))
    assert rows[0, 1] > rows[0, 2] > 0
    assert rows[1, 2] == 0


def test_a_label_of_one_item_is_left_out():
    assert described({"genres": [["x", "only here"], ["x"]]}).shape[1] == 1


@pytest.mark.parametrize(
    ("values", "alike_pair", "unlike_pair"),
    [
        pytest.param(["red", "red", "blue", "blue"], (0, 1), (0, 2), id="category"),
        pytest.param([True, True, False, False], (0, 1), (0, 2), id="yes and no"),
        pytest.param([1, 1, 900, 900], (0, 1), (0, 2), id="number"),
        pytest.param(["1990", "1990", "2020", "2020"], (0, 1), (0, 2), id="number written as text"),
        pytest.param([date(1990, 1, 1)] * 2 + [date(2020, 1, 1)] * 2, (0, 1), (0, 2), id="date"),
        pytest.param(["The red house", "A red house", "blue sea far", "the blue sea"], (0, 1), (0, 2), id="text"),
    ],
)
def test_kinds_of_columns(values, alike_pair, unlike_pair):
    rows = alike(described({"what": values}))
    assert rows[alike_pair] > 0.8
    assert rows[unlike_pair] < 0.1


def test_titles_are_read_as_words_in_any_case_and_script():
    rows = alike(described({"title": ["Война миров", "ВОЙНА и мир", "Peace", "peace"]}))
    assert rows[0, 1] > 0
    assert rows[2, 3] > 0
    assert rows[0, 2] == 0


def test_a_word_in_most_titles_says_nothing():
    rows = alike(described({"title": ["the a", "the b", "the c", "the a"]}))
    assert rows[0, 1] == 0
    assert rows[0, 3] > 0


def test_text_weighs_less_when_asked():
    columns = {"genres": [["x"], ["x"], ["y"], ["y"]], "title": ["sea", "land", "sea", "land"]}
    heavy, light = alike(described(columns, text_weight=1)), alike(described(columns, text_weight=0.1))
    assert light[0, 1] > heavy[0, 1]
    assert light[0, 2] < heavy[0, 2]
    np.testing.assert_array_equal(alike(described(columns, text_weight=0))[0], [1, 1, 0, 0])


def test_links_codes_and_broken_numbers_are_passed_over():
    assert described({"poster": [f"https://films.example/{item} of us" for item in range(4)]}).shape == (4, 0)
    assert described({"code": ["q1", "q2", "q3", "q4"]}).shape == (4, 0)
    assert np.isfinite(described({"price": [1.0, float("nan"), float("inf"), 1.0]})).all()
    assert described({"nothing": pl.Series([None] * 3, dtype=pl.String)}).shape == (3, 0)


def test_the_commonest_features_are_kept():
    rows = described({"genres": [["a", "b"], ["a", "b"], ["a"], ["a", "c"], ["c"]]}, most_features=1)
    np.testing.assert_array_equal(rows[:, 0], [1, 1, 1, 1, 0])


def test_a_column_of_lists_of_other_things_is_passed_over():
    assert described({"vector": [[1.0, 2.0], [1.0, 2.0]]}).shape == (2, 0)
