"""Times in every unit, and what is no time."""

from datetime import UTC, datetime, timedelta

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from components.recsys.errors import InputError
from components.recsys.intake.times import PER_SECOND, in_order, parse_times

WHEN = datetime(2024, 2, 29, 10, 15, 30, 123456, UTC)
SECONDS = int(WHEN.timestamp())

moments = st.datetimes(datetime(1990, 1, 1), datetime(2099, 1, 1), timezones=st.just(UTC))


def parsed(values: list[object], unit: str = "auto") -> list[datetime | None]:
    return parse_times(pl.Series(values), unit, "a.csv").timestamp.to_list()


@pytest.mark.parametrize("unit", PER_SECOND)
@given(times=st.lists(moments, min_size=1, max_size=20))
def test_any_moment_comes_back_from_any_unit_as_text_or_number(unit: str, times: list[datetime]) -> None:
    micros = [(time - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1) for time in times]
    per_second = PER_SECOND[unit]
    numbers = [micro * per_second // 1_000_000 for micro in micros]
    step = 1_000_000 // per_second if per_second <= 1_000_000 else 1
    wanted = [datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=micro // step * step) for micro in micros]
    for column in (pl.Series(numbers), pl.Series(numbers).cast(pl.String)):
        found = parse_times(column, "auto", "a.csv")
        assert found.unit == unit
        assert found.timestamp.to_list() == wanted
        assert found.reason.null_count() == len(times)


@given(time=moments, hours=st.integers(-12, 14))
def test_any_moment_comes_back_from_iso_in_any_zone(time: datetime, hours: int) -> None:
    shifted = (time + timedelta(hours=hours)).replace(tzinfo=None)
    spelt = [
        f"{shifted.isoformat()}{hours:+03d}:00",
        f"{shifted:%Y-%m-%d %H:%M:%S.%f}{hours:+03d}00",
        time.isoformat(),
        f"{time:%Y%m%dT%H%M%S.%fZ}",
    ]
    assert parsed(list(spelt)) == [time] * 4


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("2024-02-29", WHEN.replace(hour=0, minute=0, second=0, microsecond=0)),
        ("2024-02-29 10:15", WHEN.replace(second=0, microsecond=0)),
        ("2024-02-29T10:15:30", WHEN.replace(microsecond=0)),
        ("2024-02-29T10:15:30.123456789Z", WHEN),
        ("2024-02-29 10:15:30,123456 UTC", WHEN),
        ("2024-02-29T12:15:30.123456+02", WHEN),
        (f"{SECONDS}.123456", WHEN),
        (f" {SECONDS} ", WHEN.replace(microsecond=0)),
    ],
)
def test_spellings(text: str, wanted: datetime) -> None:
    assert parsed([text]) == [wanted]


@pytest.mark.parametrize(
    "text",
    ["2023-02-29", "2024-13-01", "2024-02-29T25:00", "yesterday", "31/12/2024", "1e400", "-", "2024-02-29 10:15 PM"],
)
def test_what_is_no_time_says_so(text: str) -> None:
    found = parse_times(pl.Series([text, *["2024-01-01"] * 20]), "auto", "a.csv")
    assert found.timestamp[0] is None
    assert found.reason[0] == "time cannot be read"
    assert found.timestamp.null_count() == 1


def test_few_times_in_another_unit_are_told_apart_and_many_are_refused() -> None:
    found = parse_times(pl.Series([SECONDS * 1000, *[SECONDS] * 20]), "auto", "a.csv")
    assert found.reason[0] == "time in milliseconds where the column has seconds"
    with pytest.raises(
        InputError, match=r"a.csv: timestamp mixes seconds \(50 %\) and milliseconds \(50 %\); split the file, or say"
    ):
        parse_times(pl.Series([SECONDS * 1000, SECONDS]), "auto", "a.csv")
    with pytest.raises(InputError, match="ISO 8601"):
        parse_times(pl.Series([str(SECONDS), "2024-01-01"]), "auto", "a.csv")


def test_the_unit_that_settings_name_wins() -> None:
    found = parse_times(pl.Series([SECONDS * 1000, SECONDS]), "s", "a.csv")
    assert found.timestamp[1] == WHEN.replace(microsecond=0)
    assert found.reason[0] == "time in milliseconds where the column has seconds"


def test_calendar_dates_as_numbers_are_dates() -> None:
    assert parsed([20240229, 20240301]) == [datetime(2024, 2, 29, tzinfo=UTC), datetime(2024, 3, 1, tzinfo=UTC)]


def test_typed_times_are_taken_as_they_are() -> None:
    naive = pl.Series([WHEN.replace(tzinfo=None)])
    assert parse_times(naive, "auto", "a.parquet").timestamp.to_list() == [WHEN]
    assert parse_times(naive.dt.replace_time_zone("Asia/Tokyo"), "auto", "a.parquet").timestamp.to_list() == [
        WHEN - timedelta(hours=9)
    ]
    assert parse_times(naive.dt.date(), "auto", "a.parquet").timestamp.to_list() == [datetime(2024, 2, 29, tzinfo=UTC)]
    with pytest.raises(InputError, match="timestamp is stored as Boolean, which is no time"):
        parse_times(pl.Series([True]), "auto", "a.parquet")


@given(st.lists(st.one_of(st.none(), st.text(max_size=20), st.integers().map(str), st.floats().map(str)), max_size=20))
def test_no_text_makes_it_fail(values: list[str | None]) -> None:
    found = parse_times(pl.Series(values, dtype=pl.String), "s", "a.csv")
    assert len(found.timestamp) == len(found.reason) == len(values)
    assert found.timestamp.null_count() >= sum(value is None for value in values)


def test_rows_in_order_are_a_second_apart() -> None:
    assert in_order(3).to_list() == [datetime(2000, 1, 1, tzinfo=UTC) + timedelta(seconds=n) for n in range(3)]
