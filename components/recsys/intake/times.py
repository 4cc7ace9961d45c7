"""Times of any unit as UTC microseconds, the unit found once for a whole column.

>>> parse_times(pl.Series(["1260759144", "1260759179"]), "auto", "ratings.csv").unit
's'

Seconds, milliseconds, micro- and nanoseconds lie in separate ranges for every date from 1980 to 2100, so the size tells
them apart. ISO 8601 without a zone is UTC. All of it is vectorised.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl

from components.recsys.errors import InputError

UTC = pl.Datetime("us", "UTC")
PER_SECOND = {"s": 1, "ms": 1_000, "us": 1_000_000, "ns": 1_000_000_000}
NAMES = {
    "s": "seconds",
    "ms": "milliseconds",
    "us": "microseconds",
    "ns": "nanoseconds",
    "iso": "ISO 8601",
    "date": "dates",
}
PLAUSIBLE = (315_532_800, 4_102_444_800)  # 1980 to 2100, in seconds
CLEAR = 0.9  # share of one unit from which the others are errors; below, the column is ambiguous
FARTHEST = 9.2e18  # microseconds that 64 bits hold
ISO = (
    r"^\s*(\d{4})-?(\d{2})-?(\d{2})"
    r"(?:[Tt ]+(\d{2}):?(\d{2})(?::?(\d{2})(?:[.,](\d{1,9}))?)?)?"
    r"\s*(?:(Z|z|UTC|GMT)|([+-]\d{2}):?(\d{2})?)?\s*$"
)
ORDER_STARTS = 946_684_800_000_000  # 2000-01-01: where counting rows as seconds begins


@dataclass(frozen=True)
class Times:
    """timestamp: UTC. reason: why a row's time is none, null where it is good or empty. unit: found or given."""

    timestamp: pl.Series
    reason: pl.Series
    unit: str
    messages: list[str]


def parse_times(column: pl.Series, unit: str, label: str) -> Times:
    """A column of text, numbers, dates or times. Raises InputError when units are mixed so that none is clear."""
    if isinstance(column.dtype, pl.Datetime):
        timed = column.cast(pl.Datetime("us", column.dtype.time_zone))
        timed = (
            timed.dt.replace_time_zone("UTC") if column.dtype.time_zone is None else timed.dt.convert_time_zone("UTC")
        )
        return Times(timed, _nothing(pl.String, len(column)), "iso", [])
    if column.dtype == pl.Date:
        return Times(
            column.cast(pl.Datetime("us")).dt.replace_time_zone("UTC"), _nothing(pl.String, len(column)), "iso", []
        )
    if not (column.dtype == pl.String or column.dtype.is_numeric()):
        raise InputError(f"{label}: timestamp is stored as {column.dtype}, which is no time; map another column")
    if column.dtype.is_float():
        column = column.fill_nan(None)
    whole, number = _numbers(column)
    kinds = _kinds(column, number)
    found = _unit_of(kinds, number, label) if unit == "auto" else unit
    messages = []
    if found == "iso":
        micros = _iso(column.cast(pl.String))
    elif found == "date":
        micros = _iso(whole.cast(pl.String))
        messages.append(f"{label}: took the timestamps as dates (YYYYMMDD)")
    else:
        micros = _scaled(whole, number, found)
    return Times(micros.cast(UTC), _reasons(column, kinds, micros, found), found, messages)


def in_order(rows: int) -> pl.Series:
    """Row n of a file without times: n seconds after 2000-01-01. A file that grew keeps the times of its old rows."""
    return pl.Series("timestamp", np.arange(rows, dtype=np.int64) * 1_000_000 + ORDER_STARTS).cast(UTC)


def _numbers(column: pl.Series) -> tuple[pl.Series, pl.Series]:
    """As whole numbers where they are (all digits kept), and as floats."""
    if column.dtype == pl.String:
        column = column.str.strip_chars()
    number = column.cast(pl.Float64, strict=False)
    number = number.set(number.is_nan().fill_null(False) | number.is_infinite().fill_null(False), None)
    whole = _nothing(pl.Int64, len(column)) if column.dtype.is_float() else column.cast(pl.Int64, strict=False)
    return whole, number


def _kinds(column: pl.Series, number: pl.Series) -> pl.Series:
    """For each row the unit in which it is a time between 1980 and 2100: s, ms, us, ns, iso, or null where none."""
    low, high = PLAUSIBLE
    size = pl.col("number")
    kind: Any = pl.when(pl.lit(False)).then(pl.lit(""))
    for unit, per_second in PER_SECOND.items():
        kind = kind.when(size.is_between(low * per_second, high * per_second)).then(pl.lit(unit))
    text = column if column.dtype == pl.String else _nothing(pl.String, len(column))
    is_iso = pl.col("number").is_null() & pl.col("text").str.contains(r"^\s*\d{4}-?\d{2}-?\d{2}($|[Tt\s+Zz-])")
    kind = kind.when(is_iso).then(pl.lit("iso"))
    return pl.DataFrame({"number": number, "text": text}).select(kind.otherwise(None).alias("kind")).to_series()


def _unit_of(kinds: pl.Series, number: pl.Series, label: str) -> str:
    present = kinds.drop_nulls()
    if present.is_empty():
        return _by_size(number)
    counted = dict(present.value_counts().iter_rows())
    counts = sorted(((name, counted[name]) for name in NAMES if name in counted), key=lambda row: -row[1])
    unit, most = counts[0]
    if most < CLEAR * len(present):
        shares = " and ".join(f"{NAMES[name]} ({100 * count / len(present):.0f} %)" for name, count in counts)
        raise InputError(
            f"{label}: timestamp mixes {shares}; split the file, "
            f"or say which is right with --set data.events.time_unit={unit}"
        )
    return str(unit)


def _by_size(number: pl.Series) -> str:
    """Where no row is a plausible time: calendar dates such as 20240131, else what the size of the middle one says."""
    known = number.drop_nulls()
    if known.is_empty():
        return "iso"
    if (
        bool(((known >= 19_700_101) & (known <= 21_001_231)).all())
        and _iso(known.cast(pl.Int64).cast(pl.String)).null_count() == 0
    ):
        return "date"
    middle = abs(float(known.median() or 0.0))  # type: ignore[arg-type]
    return next((unit for unit, per_second in PER_SECOND.items() if middle < 1e11 * per_second), "ns")


def _scaled(whole: pl.Series, number: pl.Series, unit: str) -> pl.Series:
    per_second = PER_SECOND[unit]
    rows = pl.DataFrame({"whole": whole, "number": number})
    if per_second > 1_000_000:
        exact = pl.col("whole") // (per_second // 1_000_000)
    else:
        fits = pl.col("number").abs() < FARTHEST / (1_000_000 // per_second)
        exact = pl.when(fits).then(pl.col("whole")) * (1_000_000 // per_second)
    rounded = (pl.col("number") * (1_000_000 / per_second)).round()
    parted = pl.when(rounded.abs() < FARTHEST).then(rounded).cast(pl.Int64, strict=False)
    return rows.select(pl.when(pl.col("whole").is_not_null()).then(exact).otherwise(parted)).to_series()


def _iso(text: pl.Series) -> pl.Series:
    """Microseconds since 1970, null where a text is no ISO 8601 date or time."""
    parts = text.str.extract_groups(ISO).struct.unnest()
    year, month, day, hour, minute, second, fraction, _, sign_hours, zone_minutes = (
        pl.col(name) for name in parts.columns
    )
    zero = pl.lit("00")
    spelt = pl.concat_str(
        [
            year,
            pl.lit("-"),
            month,
            pl.lit("-"),
            day,
            pl.lit(" "),
            hour.fill_null(zero),
            pl.lit(":"),
            minute.fill_null(zero),
            pl.lit(":"),
            second.fill_null(zero),
        ]
    )
    base = spelt.str.to_datetime("%Y-%m-%d %H:%M:%S", time_unit="us", strict=False).cast(pl.Int64)
    micros = fraction.str.pad_end(6, "0").str.slice(0, 6).cast(pl.Int64).fill_null(0)
    sign = pl.when(sign_hours.str.starts_with("-")).then(-1).otherwise(1)
    minutes = sign_hours.str.slice(1).cast(pl.Int64).fill_null(0) * 60 + zone_minutes.cast(pl.Int64).fill_null(0)
    return parts.select((base + micros - sign * minutes * 60_000_000).alias("timestamp")).to_series()


def _reasons(column: pl.Series, kinds: pl.Series, micros: pl.Series, unit: str) -> pl.Series:
    """Why a row has no time: it is none at all, or in another unit than the column, even if readable."""
    other = pl.col("kind").is_not_null() & (pl.col("kind") != unit) & pl.lit(unit != "date")
    names = pl.col("kind").replace_strict(NAMES, default=None, return_dtype=pl.String)
    foreign = pl.format("time in {} where the column has {}", names, pl.lit(NAMES[unit]))
    rows = pl.DataFrame({"kind": kinds, "given": column.is_not_null(), "read": micros.is_not_null()})
    reason = pl.when(other).then(foreign).when(pl.col("given") & ~pl.col("read")).then(pl.lit("time cannot be read"))
    return rows.select(reason.otherwise(None).alias("reason")).to_series()


def _nothing(dtype: type[pl.DataType], rows: int) -> pl.Series:
    return pl.Series("nothing", [None], dtype=dtype).new_from_index(0, rows)
