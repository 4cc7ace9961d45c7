"""Items and users: an id and whatever else is known, the latest row of each id.

>>> clean_attributes([table], "items", settings).frame
item_id, title, genres (a list), year ...
"""

from collections import Counter
from dataclasses import dataclass, field
from typing import Literal

import polars as pl

from components.recsys.intake.cleaning import BAD_SCHEMA, Fault, divided
from components.recsys.intake.ids import clean_ids
from components.recsys.intake.readers import Table
from components.recsys.intake.text import normalised, without
from components.recsys.settings import DataSettings, Source

WHOLE = r"^-?(0|[1-9]\d{0,17})$"  # no leading zero: 02134 is a postal code, not a number
NUMBER = r"^-?(0|[1-9]\d*)(\.\d+)?([eE][-+]?\d+)?$"
LISTED = r"^\[.*\]$"


@dataclass
class Attributes:
    """frame: one row an id. bad: rows without a usable id."""

    frame: pl.DataFrame
    bad: pl.DataFrame
    counts: Counter[str] = field(default_factory=Counter)
    messages: list[str] = field(default_factory=list)


def clean_attributes(tables: list[Table], kind: Literal["items", "users"], settings: DataSettings) -> Attributes:
    """All files of one kind; of repeated ids the last row counts."""
    source: Source = getattr(settings, kind)
    key = "item_id" if kind == "items" else "user_id"
    frames, done = [], Attributes(pl.DataFrame(), pl.DataFrame(schema=BAD_SCHEMA))
    for table in tables:
        raw = table.frame.with_row_index("__row", offset=1).with_columns(pl.col("__row").cast(pl.Int64))
        ids = clean_ids(raw[key], key, settings, table)
        frame = pl.DataFrame(
            [
                ids.values.alias(key),
                *(_typed(raw[name], settings, source, table) for name in table.frame.columns if name != key),
            ]
        )
        good, bad = divided(frame, raw, [Fault(mask, check, key, reason) for mask, check, reason in ids.faults], table)
        frames.append(good)
        done.bad = pl.concat([done.bad, bad])
        done.counts[f"{kind}_read"] += raw.height + len(table.broken)
        done.messages += [*table.messages, *ids.messages]
    merged = latest(frames, key)
    done.counts[f"{kind}_repeated"] += sum(frame.height for frame in frames) - merged.height
    done.counts[f"{kind}_quarantined"] += done.bad.height
    done.frame = merged
    return done


def latest(frames: list[pl.DataFrame], key: str) -> pl.DataFrame:
    """One row an id, from the last frame that has it, sorted by id. A column whose types differ becomes text."""
    types: dict[str, set[pl.DataType]] = {}
    for frame in frames:
        for name, dtype in frame.schema.items():
            if dtype != pl.Null:
                types.setdefault(name, set()).add(dtype)
    alike = [
        frame.with_columns(
            _as_text(pl.col(name), frame.schema[name]) for name in frame.columns if len(types.get(name, ())) > 1
        )
        for frame in frames
    ]
    return pl.concat(alike, how="diagonal_relaxed").unique(key, keep="last", maintain_order=True).sort(key)


def _as_text(column: pl.Expr, dtype: pl.DataType) -> pl.Expr:
    return column.cast(pl.List(pl.String)).list.join("|") if isinstance(dtype, pl.List) else column.cast(pl.String)


def _typed(column: pl.Series, settings: DataSettings, source: Source, table: Table) -> pl.Series:
    """Numbers as numbers, lists as lists, text tidied."""
    if isinstance(column.dtype, pl.List):
        return _tidy_list(column.cast(pl.List(pl.String)), settings)
    if column.dtype.is_nested() or column.dtype in (pl.Object, pl.Binary):
        return pl.Series(column.name, [None if value is None else str(value) for value in column], dtype=pl.String)
    if column.dtype in (pl.Categorical, pl.Enum):
        column = column.cast(pl.String)
    if column.dtype != pl.String:
        return column.cast(pl.Float64) if column.dtype == pl.Decimal else column
    column = without(column, settings.missing_values)
    if column.name in source.lists:
        return _tidy_list(_cut(column, source, column.name in table.sequences), settings)
    if settings.normalise_text:
        column = normalised(column)
    known = column.drop_nulls()
    if table.is_text and known.len():
        if known.str.contains(WHOLE).all():
            return column.cast(pl.Int64)
        if known.str.contains(NUMBER).all():
            return column.cast(pl.Float64)
    return column


def _cut(column: pl.Series, source: Source, is_sequence: bool) -> pl.Series:
    """Cells as lists: cut at the separator; at blanks where RecBole's header says so; JSON lists unpacked."""
    if column.drop_nulls().str.contains(LISTED).any():
        inner = column.str.replace_all(r"""^\[|\]$|["']""", "")
        return (
            pl.select(
                pl.when(column.str.contains(LISTED))
                .then(inner.str.split(","))
                .otherwise(column.str.split(source.list_separator))
            )
            .to_series()
            .alias(column.name)
        )
    if is_sequence and not column.str.contains(source.list_separator, literal=True).any():
        return column.str.split(" ")
    return column.str.split(source.list_separator)


def _tidy_list(column: pl.Series, settings: DataSettings) -> pl.Series:
    """Outer blanks off, empty parts out, each part once."""
    parts = column.list.eval(
        pl.element().str.strip_chars().str.normalize("NFC") if settings.normalise_text else pl.element()
    )
    kept = parts.list.eval(pl.element().filter(pl.element().str.len_bytes() > 0)).list.unique(maintain_order=True)
    return kept.alias(column.name)
