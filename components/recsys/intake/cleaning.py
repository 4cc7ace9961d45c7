"""From rows as they were read to events that can be relied on; every change is counted, every row left out says why.

>>> cleaned = clean_events(table, DataSettings(), now)
>>> cleaned.counts, cleaned.bad.columns
({'near_duplicates': 3, ...}, ['source', 'row', 'check', 'column', 'reason', 'raw'])

The check of a broken row is the name of the check of the data gate that judges how many of them there may be.
"""

from collections import Counter
from dataclasses import dataclass, field
from datetime import datetime, timedelta

import polars as pl

from components.recsys.intake.ids import clean_ids
from components.recsys.intake.ranges import out_of_range, swapped
from components.recsys.intake.readers import Table, row_as_json
from components.recsys.intake.text import hashed, normalised, without
from components.recsys.intake.times import in_order, parse_times
from components.recsys.settings import DataSettings

EVENT_SCHEMA: dict[str, pl.DataType] = {
    "user_id": pl.String(),
    "item_id": pl.String(),
    "timestamp": pl.Datetime("us", "UTC"),
    "event": pl.String(),
    "value": pl.Float64(),
    "event_id": pl.String(),
    "request_id": pl.String(),
}
BAD_SCHEMA = {
    "source": pl.String,
    "row": pl.Int64,
    "check": pl.String,
    "column": pl.String,
    "reason": pl.String,
    "raw": pl.String,
}
DEFAULT_EVENT = "interaction"
EARLIEST = datetime(1990, 1, 1)  # no log of what people did online is older; zero and wrong units land in 1970
LEEWAY = timedelta(days=1)  # clocks and time zones of those who wrote the log
SHOWN = 3  # examples
# Every change that cleaning can make, so that a report has the same lines for every batch.
CHANGES = (
    "blank_rows",
    "broken_lines",
    "text_normalised",
    "ids_from_floats",
    "event_filled",
    "quarantined",
    "exact_duplicates",
    "near_duplicates",
)
NUMBER_WORDS = ("NA", "-", "nan", "NaN")  # besides the settings' words, for cells that should be numbers


@dataclass
class Cleaned:
    """events: EVENT_SCHEMA, no two with one event_id. bad: BAD_SCHEMA. counts: each change.

    rows: that arrived. repeated: examples of exact repeats.
    """

    events: pl.DataFrame
    bad: pl.DataFrame
    rows: int = 0
    columns: tuple[str, ...] = ()
    counts: Counter[str] = field(default_factory=Counter)
    messages: list[str] = field(default_factory=list)
    repeated: list[str] = field(default_factory=list)


def clean_events(tables: list[Table], settings: DataSettings, now: datetime) -> Cleaned:
    """All files of one batch. Raises InputError where a whole column cannot be what it is mapped as."""
    done = Cleaned(pl.DataFrame(schema=EVENT_SCHEMA), pl.DataFrame(schema=BAD_SCHEMA))
    goods, bads, sources = [], [], []
    for number, table in enumerate(tables):
        good, bad = _typed(table, settings, now, done)
        goods.append(good.with_columns(pl.lit(number, dtype=pl.Int32).alias("__file")))
        bads.append(bad)
        sources.append(table.label)
    events = pl.concat(goods)
    events, bad = _off_the_rest(events, settings, sources)
    events = with_event_id(events)
    events, conflicts = _distinct(events, settings, sources, done)
    done.bad = pl.concat([*bads, bad, conflicts])
    done.events = events.select(list(EVENT_SCHEMA))
    done.columns = tuple(name for name in EVENT_SCHEMA if any(name in table.frame.columns for table in tables))
    done.counts["quarantined"] = done.bad.height
    for change in CHANGES:
        done.counts.setdefault(change, 0)
    return done


def _typed(table: Table, settings: DataSettings, now: datetime, done: Cleaned) -> tuple[pl.DataFrame, pl.DataFrame]:
    """One file's rows with our types, and those that cannot be read."""
    raw = table.frame
    blank = raw.select(pl.all_horizontal(pl.all().is_null())).to_series()
    raw = raw.with_row_index("__row", offset=1).with_columns(pl.col("__row").cast(pl.Int64)).filter(~blank)
    done.counts["blank_rows"] += int(blank.sum())
    done.counts["broken_lines"] += len(table.broken)
    done.rows += raw.height + len(table.broken)
    done.messages += table.messages
    rows = raw.height
    out: dict[str, pl.Series] = {"__row": raw["__row"]}
    faults: list[Fault] = []
    for name in ("user_id", "item_id"):
        ids = clean_ids(raw[name], name, settings, table)
        out[name] = ids.values
        faults += [Fault(mask, check, name, reason) for mask, check, reason in ids.faults]
        done.counts += ids.counts
        done.messages += ids.messages
    if "timestamp" in raw.columns and settings.events.time_unit != "order":
        given = raw["timestamp"]
        if given.dtype == pl.String:
            given = without(given, (*settings.missing_values, *NUMBER_WORDS))
        times = parse_times(given, settings.events.time_unit, table.label)
        out["timestamp"], why = times.timestamp, times.reason
        done.messages += times.messages
        faults += [Fault(why == reason, "invalid", "timestamp", reason) for reason in sorted(why.drop_nulls().unique())]
        faults.append(Fault(given.is_null() & why.is_null(), "missing", "timestamp", "no timestamp"))
    else:
        out["timestamp"] = in_order(rows)
        done.messages.append(f"{table.label}: the order of its rows counts as time")
    stamp = out["timestamp"].cast(pl.Int64)
    faults.append(Fault(stamp > _micros(now + LEEWAY), "future", "timestamp", "later than now"))
    faults.append(Fault(stamp < _micros(EARLIEST), "ancient", "timestamp", f"before {EARLIEST:%Y-%m-%d}"))
    out["value"], broken = _values(raw, settings, done, table.label, rows)
    faults.append(Fault(broken, "invalid", "value", "value is not a number"))
    out["event"] = _events(raw, settings, done, rows)
    for name in ("event_id", "request_id"):
        given = (
            raw[name].cast(pl.String, strict=False)
            if name in raw.columns
            else pl.Series([None], dtype=pl.String).new_from_index(0, rows)
        )
        out[name] = without(given, settings.missing_values)
    good = pl.DataFrame({name: series.alias(name) for name, series in out.items()})
    return divided(good, raw, faults, table)


@dataclass(frozen=True)
class Fault:
    """mask: (rows,) which rows are broken in this way; null counts as no."""

    mask: pl.Series
    check: str
    column: str
    reason: str


def divided(
    good: pl.DataFrame, raw: pl.DataFrame, faults: list[Fault], table: Table
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Rows without a fault, and those with one, each with the first of its faults."""
    code = pl.Series("code", [None], dtype=pl.Int16).new_from_index(0, raw.height)
    for number, fault in reversed(list(enumerate(faults))):
        mask = fault.mask.fill_null(False)
        if mask.any():
            code = code.set(mask, number)
    bad = raw.filter(code.is_not_null())
    known = code.drop_nulls().to_list()
    rows = pl.DataFrame(
        {
            "source": [table.label] * len(known) + [table.label] * len(table.broken),
            "row": bad["__row"].to_list() + [each.row for each in table.broken],
            "check": [faults[number].check for number in known] + ["invalid"] * len(table.broken),
            "column": [faults[number].column for number in known] + ["(line)"] * len(table.broken),
            "reason": [faults[number].reason for number in known] + [each.reason for each in table.broken],
            "raw": [*row_as_json(bad.drop("__row")), *(each.raw for each in table.broken)],
        },
        schema=BAD_SCHEMA,
    )
    return good.filter(code.is_null()), rows


def _values(
    raw: pl.DataFrame, settings: DataSettings, done: Cleaned, label: str, rows: int
) -> tuple[pl.Series, pl.Series]:
    """Finite numbers or null, and which rows hold something else."""
    if "value" not in raw.columns:
        return pl.Series([None], dtype=pl.Float64).new_from_index(0, rows), pl.Series([False]).new_from_index(0, rows)
    given = raw["value"]
    if given.dtype == pl.String:
        given = without(given, (*settings.missing_values, *NUMBER_WORDS))
        if _decimal_commas(given):
            done.messages.append(f"{label}: took the comma in value as a decimal point")
            given = given.str.replace(",", ".", literal=True)
    elif given.dtype.is_float():
        given = given.fill_nan(None)
    number = given.cast(pl.Float64, strict=False) + 0.0  # -0.0 becomes 0.0, so that equal values hash equally
    number = number.set(~number.is_finite().fill_null(True), None)
    return number, given.is_not_null() & number.is_null()


def _decimal_commas(given: pl.Series) -> bool:
    """Whether a whole column is written as 99,94. Any point in it, or nothing but groups of three (1,234), leaves it unread."""
    text = given.drop_nulls().str.strip_chars()
    with_comma = text.filter(text.str.contains(",", literal=True))
    return (
        with_comma.len() > 0
        and bool(text.str.contains(r"^[+-]?\d+(,\d+)?$").all())
        and not with_comma.str.contains(r"^[+-]?[1-9]\d{0,2},\d{3}$").all()
    )


def _events(raw: pl.DataFrame, settings: DataSettings, done: Cleaned, rows: int) -> pl.Series:
    if "event" not in raw.columns:
        return pl.Series([DEFAULT_EVENT]).new_from_index(0, rows)
    given = without(raw["event"].cast(pl.String, strict=False), settings.missing_values)
    if settings.normalise_text:
        given = normalised(given)
    done.counts["event_filled"] += given.null_count()
    return given.fill_null(DEFAULT_EVENT)


def _off_the_rest(
    events: pl.DataFrame, settings: DataSettings, sources: list[str]
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Values far off all others, and rows whose user and item changed places: both only show in the whole batch."""
    far = out_of_range(events["value"], settings.events.value_range, events["item_id"])
    turned = swapped(events["user_id"], events["item_id"])
    bad = pl.concat(
        [
            _quarantined(events.filter(far), "range", "value", "value is far off the others", sources),
            _quarantined(
                events.filter(turned & ~far),
                "id_collision",
                "user_id",
                "user_id and item_id have changed places",
                sources,
            ),
        ]
    )
    return events.filter(~(far | turned)), bad


def _distinct(
    events: pl.DataFrame, settings: DataSettings, sources: list[str], done: Cleaned
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Without exact and near repeats. Also rows that use the event_id of another event."""
    again = ~events["event_id"].is_first_distinct()
    repeats, events = events.filter(again), events.filter(~again)
    first = repeats.select("event_id").join(events, on="event_id", how="left", maintain_order="left")
    content = [name for name in EVENT_SCHEMA if name != "event_id"]
    same = repeats.select(repeats[name].eq_missing(first[name]).alias(name) for name in content)
    exact = same.select(pl.all_horizontal(pl.all())).to_series()
    done.counts["exact_duplicates"] += int(exact.sum())
    done.repeated = [
        f"{sources[file]} row {row}: user {user!r}, item {item!r}, {time:%Y-%m-%d %H:%M:%S}"
        for file, row, user, item, time in repeats.filter(exact)
        .head(SHOWN)
        .select("__file", "__row", "user_id", "item_id", "timestamp")
        .iter_rows()
    ]
    conflicts = _quarantined(repeats.filter(~exact), "duplicates", "event_id", "event_id of another event", sources)
    if settings.near_duplicate_seconds > 0 and settings.events.time_unit != "order":
        before = events.height
        events = _without_double_clicks(events, settings.near_duplicate_seconds)
        done.counts["near_duplicates"] += before - events.height
    return events, conflicts


def _without_double_clicks(events: pl.DataFrame, seconds: float) -> pl.DataFrame:
    """Of equal events that follow one another within `seconds`, the first."""
    same = ["user_id", "item_id", "event"]
    often = events.select(same).is_duplicated()  # the sort below is for few rows in most logs
    if not often.any():
        return events
    key = [*same, "value"]
    candidates = events.filter(often).select(*key, "timestamp", "event_id", "__file", "__row")
    candidates = candidates.sort(*key, "timestamp", "__file", "__row")
    follows = pl.all_horizontal(pl.col(name).eq_missing(pl.col(name).shift(1)) for name in key)
    soon = (pl.col("timestamp") - pl.col("timestamp").shift(1)) <= timedelta(seconds=seconds)
    dropped = candidates.filter((follows & soon).fill_null(False)).select("event_id")
    return events.join(dropped, on="event_id", how="anti", maintain_order="left") if dropped.height else events


def _quarantined(rows: pl.DataFrame, check: str, column: str, reason: str, sources: list[str]) -> pl.DataFrame:
    return pl.DataFrame(
        {
            "source": [sources[number] for number in rows["__file"]],
            "row": rows["__row"],
            "check": [check] * rows.height,
            "column": [column] * rows.height,
            "reason": [reason] * rows.height,
            "raw": row_as_json(rows.drop("__file", "__row")),
        },
        schema=BAD_SCHEMA,
    )


def with_event_id(events: pl.DataFrame) -> pl.DataFrame:
    """Rows without an event_id get the hash of the rest, so that the same event has the same id in every export."""
    lacking = events["event_id"].is_null()
    if not lacking.any():
        return events
    columns = [name for name in EVENT_SCHEMA if name != "event_id"]
    made = hashed(events.filter(lacking).select(columns))
    return events.with_columns(events["event_id"].scatter(lacking.arg_true(), made).alias("event_id"))


def _micros(time: datetime) -> int:
    return int(pl.Series([time.replace(tzinfo=None)]).cast(pl.Datetime("us")).cast(pl.Int64)[0])
