from datetime import UTC, datetime, timedelta

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from components.recsys.errors import InputError, NotFound, Refused
from components.recsys.settings import PrepareSettings
from components.recsys.splits import infer_kind, load, save, split

START = datetime(2026, 1, 1, tzinfo=UTC)
KINDS = ("user_time", "global_time", "random")


def frame(rows):
    """Events from (user, item, hour) or (user, item, hour, event, value)."""
    whole = [(*row, "view", None)[:5] if len(row) == 3 else row for row in rows]
    return pl.DataFrame(
        {
            "user_id": [f"u{row[0]}" for row in whole],
            "item_id": [f"i{row[1]}" for row in whole],
            "timestamp": pl.Series([START + timedelta(hours=row[2]) for row in whole], dtype=pl.Datetime("us", "UTC")),
            "event": [row[3] for row in whole],
            "value": pl.Series([row[4] for row in whole], dtype=pl.Float64),
            "event_id": [f"e{index}" for index in range(len(whole))],
        }
    )


events = st.lists(st.tuples(st.integers(0, 6), st.integers(0, 8), st.integers(0, 30)), min_size=1, max_size=60).map(
    frame
)
settings = st.builds(
    PrepareSettings, split=st.sampled_from(KINDS), test_share=st.floats(0, 0.9), validation_share=st.floats(0, 0.9)
)


@given(events, settings, st.integers(0, 3))
def test_every_event_is_in_exactly_one_part(rows, wanted, seed):
    parts = split(rows, wanted, seed)
    together = pl.concat([parts.train, parts.validation, parts.test])
    assert sorted(together["event_id"]) == sorted(rows["event_id"])


@given(events, settings, st.integers(0, 3))
def test_the_order_of_the_rows_does_not_matter(rows, wanted, seed):
    shuffled = rows.sample(fraction=1, shuffle=True, seed=seed + 1)
    one, other = split(rows, wanted, seed), split(shuffled, wanted, seed)
    for part in ("train", "validation", "test"):
        assert_frame_equal(getattr(one, part), getattr(other, part))


@given(events, st.floats(0.01, 0.99), st.floats(0.01, 0.99))
def test_by_user_time_no_test_event_precedes_the_users_training(rows, test_share, validation_share):
    wanted = PrepareSettings(split="user_time", test_share=test_share, validation_share=validation_share)
    parts = split(rows, wanted, seed=0)
    for before, after in ((parts.train, parts.validation), (parts.validation, parts.test), (parts.train, parts.test)):
        last = before.group_by("user_id").agg(last=pl.col("timestamp").max())
        first = after.group_by("user_id").agg(first=pl.col("timestamp").min())
        both = last.join(first, on="user_id")
        assert (both["first"] >= both["last"]).all()


@given(events, settings)
def test_by_user_time_everybody_keeps_something_to_learn_from(rows, wanted):
    parts = split(rows, wanted.model_copy(update={"split": "user_time"}), seed=0)
    assert set(parts.train["user_id"]) == set(rows["user_id"])


@given(events, st.floats(0.01, 0.99))
def test_by_global_time_nothing_held_out_precedes_anything_before(rows, share):
    parts = split(rows, PrepareSettings(split="global_time", test_share=share), seed=0)
    before = pl.concat([parts.train, parts.validation])
    assert before.height
    if parts.test.height:
        assert parts.test["timestamp"].min() > before["timestamp"].max()
    if parts.validation.height:
        assert parts.validation["timestamp"].min() > parts.train["timestamp"].max()


@given(events, st.floats(0.0, 0.99), st.integers(0, 5))
def test_at_random_each_item_keeps_its_share_as_microsoft_recommenders_rounds_it(rows, share, seed):
    wanted = PrepareSettings(split="random", test_share=share, validation_share=0)
    parts = split(rows, wanted, seed)
    kept = dict(parts.train.group_by("item_id").len().iter_rows())
    for item, count in rows.group_by("item_id").len().iter_rows():
        assert kept[item] == max(1, round((1 - share) * count))


def test_by_user_time_the_last_fifth_is_the_test_and_the_fifth_before_it_validation():
    parts = split(frame([(0, item, item) for item in range(10)]), PrepareSettings(), seed=0)
    assert parts.test["item_id"].to_list() == ["i8", "i9"]
    assert parts.validation["item_id"].to_list() == ["i6", "i7"]
    assert parts.train.height == 6


def test_a_user_with_one_event_stays_in_training():
    parts = split(frame([(0, 0, 0), (1, 0, 0), (1, 1, 1)]), PrepareSettings(), seed=0)
    assert parts.train["user_id"].to_list() == ["u0", "u1"]
    assert parts.test["user_id"].to_list() == ["u1"]


def test_another_seed_draws_another_random_test():
    rows = frame([(user, item, 0) for user in range(20) for item in range(5)])
    wanted = PrepareSettings(split="random")
    assert not split(rows, wanted, 1).test.equals(split(rows, wanted, 2).test)


def test_events_of_one_instant_are_not_torn_apart_by_a_global_cut():
    parts = split(frame([(user, 0, 0) for user in range(8)] + [(9, 0, 5)]), PrepareSettings(split="global_time"), 0)
    assert parts.test["user_id"].to_list() == ["u9"]
    assert parts.train.height == 8


def test_silent_kinds_and_low_values_are_in_no_part():
    rows = frame(
        [(0, 0, 0, "view", 5.0), (0, 1, 1, "impression", 5.0), (0, 2, 2, "view", 1.0), (0, 3, 3, "view", None)]
    )
    wanted = PrepareSettings(event_weights={"impression": 0, "view": 2}, min_value=3, validation_share=0)
    parts = split(rows, wanted, seed=0)
    assert pl.concat([parts.train, parts.test])["item_id"].to_list() == ["i0", "i3"]
    assert parts.event_weights == {"impression": 0, "view": 2}


def test_nothing_left_to_split_is_one_sentence():
    with pytest.raises(InputError, match=r"no events to split: prepare\.min_value"):
        split(frame([(0, 0, 0, "view", 1.0)]), PrepareSettings(min_value=3), seed=0)
    with pytest.raises(InputError, match="ingest some first"):
        split(frame([(0, 0, 0)]).clear(), PrepareSettings(), seed=0)


@pytest.mark.parametrize("kind", KINDS)
def test_the_kind_of_a_split_is_seen_from_its_parts(kind):
    rng = np.random.default_rng(0)
    rows = frame([(user, int(rng.integers(40)), int(rng.integers(1000))) for user in range(30) for _ in range(10)])
    parts = split(rows, PrepareSettings(split=kind), seed=0)
    assert infer_kind(pl.concat([parts.train, parts.validation]), parts.test) == kind


def test_without_times_a_split_counts_as_random():
    rows = frame([(0, 0, 0), (1, 1, 0)])
    assert infer_kind(rows, rows) == "random"
    assert infer_kind(rows.drop("timestamp"), rows.drop("timestamp")) == "random"
    assert infer_kind(rows, rows.clear()) == "random"


def test_saved_and_loaded_it_is_the_same(tmp_path):
    wanted = PrepareSettings(event_weights={"view": 2.0}, min_events_per_user=3)
    parts = split(frame([(user, item, item) for user in range(3) for item in range(6)]), wanted, seed=0)
    items = pl.DataFrame({"item_id": ["i0", "i1"], "genres": [["a", "b"], []]})
    save(parts, tmp_path / "split", items, None)
    loaded, loaded_items, loaded_users = load(tmp_path / "split")
    for part in ("train", "validation", "test"):
        assert_frame_equal(getattr(loaded, part), getattr(parts, part))
    assert (loaded.kind, loaded.event_weights, loaded.min_events_per_user) == ("user_time", {"view": 2.0}, 3)
    assert_frame_equal(loaded_items, items)
    assert loaded_users is None


def test_saving_the_same_twice_writes_the_same_bytes(tmp_path):
    parts = split(frame([(user, item, item) for user in range(3) for item in range(6)]), PrepareSettings(), seed=0)
    for folder in ("one", "other"):
        save(parts, tmp_path / folder)
    one, other = ({path.name: path.read_bytes() for path in (tmp_path / name).iterdir()} for name in ("one", "other"))
    assert one == other


def test_a_flipped_byte_is_refused(tmp_path):
    save(split(frame([(0, item, item) for item in range(6)]), PrepareSettings(), seed=0), tmp_path)
    path = tmp_path / "train.parquet"
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    with pytest.raises(Refused, match=r"train\.parquet is not what `prepare` wrote"):
        load(tmp_path)


def test_a_missing_split_is_named(tmp_path):
    with pytest.raises(NotFound, match="there is no split in"):
        load(tmp_path)
    save(split(frame([(0, item, item) for item in range(6)]), PrepareSettings(), seed=0), tmp_path)
    (tmp_path / "test.parquet").unlink()
    with pytest.raises(NotFound, match=r"test\.parquet is missing"):
        load(tmp_path)
