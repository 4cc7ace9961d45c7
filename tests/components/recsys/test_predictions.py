"""Reading the log: what is whole is read, and what is damaged is said, in one way for all who read it."""

from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from components.recsys.errors import NotFound
from components.recsys.predictions import (
    EVENTS,
    PREDICTIONS,
    DamagedSegment,
    Prediction,
    Shown,
    day_of,
    lines_of,
    prediction_of,
    read_predictions,
    records_of,
    segment,
    segments,
)
from components.recsys.store import FolderStore

KEY = f"{PREDICTIONS}/2026-11-24/gateway-1.jsonl.gz"
RECORD = Prediction(
    "r1", "2026-11-24T10:00:00.000000+00:00", "u", "d" * 64, "champion", (Shown("a", 1.0, 1.0),), ("a",), 1, 3.0
)


@pytest.fixture
def store(tmp_path):
    return FolderStore(str(tmp_path))


def test_a_record_comes_back_as_it_was(store) -> None:
    store.create(KEY, segment([RECORD.to_json()]))
    read = records_of(store, KEY, prediction_of)
    assert (read.rows, read.faults) == ([RECORD], 0)


def test_lines_that_are_no_records_are_counted_and_the_others_read(store) -> None:
    store.create(KEY, segment([b"{}", RECORD.to_json(), b"[1]", b"nonsense", b"null", b"", b"\xff\xfe"]))
    read = records_of(store, KEY, prediction_of)
    assert (read.rows, read.broken, read.damaged) == ([RECORD], 5, False)


@pytest.mark.parametrize(
    "data",
    [
        segment([RECORD.to_json()])[:-5],  # cut short
        segment([RECORD.to_json()])[:12],
        b"",
        b"no gzip at all",
        segment([RECORD.to_json()])[:20] + b"\0\0\0" + segment([RECORD.to_json()])[23:],  # bytes changed inside
    ],
)
def test_a_damaged_segment_is_one_fault_to_who_counts_and_a_sentence_to_who_needs_all(data, store) -> None:
    store.create(KEY, data)
    read = records_of(store, KEY, prediction_of)
    assert (read.rows, read.faults, read.damaged) == ([], 1, True)
    for reading in (
        lambda: lines_of(store, KEY),
        lambda: list(segments(store, PREDICTIONS, set())),
        lambda: list(read_predictions(store, set())),
    ):
        with pytest.raises(DamagedSegment, match=r"gateway-1\.jsonl\.gz is cut short or damaged"):
            reading()


def test_a_damaged_segment_is_not_taken_for_read(store) -> None:
    store.create(KEY, b"no gzip")
    seen: set[str] = set()
    with pytest.raises(DamagedSegment):
        list(segments(store, PREDICTIONS, seen))
    assert seen == set()


def test_a_store_that_gives_nothing_is_no_damage(store) -> None:
    with pytest.raises(NotFound):
        records_of(store, KEY, prediction_of)


@given(
    st.lists(st.binary(max_size=30).filter(lambda line: line and not set(line) & set(b"\n\r\x0b\x0c\x1c\x1d\x1e\x85")))
)
def test_lines_come_back_whatever_they_hold(tmp_path_factory, lines) -> None:
    store = FolderStore(str(tmp_path_factory.mktemp("log")))
    store.create(KEY, segment(lines))
    assert lines_of(store, KEY) == lines


@pytest.mark.parametrize(
    ("key", "day"),
    [
        (KEY, date(2026, 11, 24)),
        (f"{EVENTS}/2026-02-28/a.jsonl.gz", date(2026, 2, 28)),
        (f"{EVENTS}/2026-02-30/a.jsonl.gz", None),
        (f"{EVENTS}/2026-02-28/a.jsonl", None),
        ("log/events/a.jsonl.gz", None),
        ("log/events/2026-02-28/more/a.jsonl.gz", None),
    ],
)
def test_a_segments_day_is_its_folders(key, day) -> None:
    assert day_of(key) == day
