import numpy as np
import polars as pl
from hypothesis import given
from hypothesis import strategies as st

from components.recsys.frames import Catalogue, Histories, Interactions

ITEMS = np.array(["a", "b", "c", "d"], dtype=object)
rows = st.lists(st.lists(st.integers(0, 3), max_size=8), min_size=1, max_size=6)


def events(seed: int, n: int = 200) -> pl.DataFrame:
    random = np.random.default_rng(seed)
    return pl.DataFrame(
        {
            "user_id": [f"u{i}" for i in random.integers(0, 12, n)],
            "item_id": [f"i{i}" for i in random.integers(0, 9, n)],
            "timestamp": pl.Series(random.integers(0, 50, n) * 1_000_000, dtype=pl.Int64).cast(
                pl.Datetime("us", "UTC")
            ),
            "event": ["view" if i else "booking" for i in random.integers(0, 2, n)],
        }
    )


def test_ids_that_the_vocabulary_lacks_are_left_out() -> None:
    histories = Histories.of([["a", "zz", "c"], []], ITEMS)
    assert histories.indices.tolist() == [0, 2]
    assert histories.lengths.tolist() == [2, 0]


@given(rows)
def test_a_slice_holds_the_same_rows(lists: list[list[int]]) -> None:
    histories = Histories.from_rows(lists, 4)
    middle = len(lists) // 2
    joined = [*_rows(histories[:middle]), *_rows(histories[middle:])]
    assert joined == lists


@given(rows)
def test_of_repeated_items_the_newest_counts(lists: list[list[int]]) -> None:
    matrix = Histories.from_rows(lists, 4).matrix(half_life=1.0).toarray()
    for row, items in zip(matrix, lists, strict=True):
        for item in range(4):
            ages = [len(items) - 1 - position for position, value in enumerate(items) if value == item]
            assert np.isclose(row[item], 0.5 ** min(ages) if ages else 0.0)


def test_events_in_any_order_give_the_same_arrays() -> None:
    frame = events(1)
    one, other = (
        Interactions.from_frame(frame),
        Interactions.from_frame(frame.sample(fraction=1.0, shuffle=True, seed=3)),
    )
    assert one.users.tolist() == other.users.tolist()
    assert one.items.tolist() == other.items.tolist()
    assert np.array_equal(one.histories.indices, other.histories.indices)
    assert np.array_equal(one.seconds, other.seconds)


def test_a_kind_of_weight_zero_is_left_out() -> None:
    frame = events(2)
    made = Interactions.from_frame(frame, weights={"view": 0.0, "booking": 5.0})
    assert len(made.histories.indices) == frame.filter(pl.col("event") == "booking").height
    assert set(made.histories.weights.tolist()) == {5.0}


def test_attributes_follow_the_vocabulary_and_gaps_are_null() -> None:
    attributes = pl.DataFrame(
        {"item_id": ["c", "a", "a"], "title": ["C", "old", "A"], "genres": [["x"], ["y"], ["y", "z"]]}
    )
    catalogue = Catalogue.align(ITEMS, attributes)
    assert catalogue.titles() == ["A", "b", "C", "d"]
    assert catalogue.labels() == [["y", "z"], [], ["x"], []]


def _rows(histories: Histories) -> list[list[int]]:
    return [histories.indices[a:b].tolist() for a, b in zip(histories.indptr[:-1], histories.indptr[1:], strict=True)]
