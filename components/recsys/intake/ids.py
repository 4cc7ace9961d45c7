"""Ids as strings: 7, '7', 7.0 and ' 7 ' are one user, 007 is another.

>>> clean_ids(pl.Series([1.0, 2.0]), "user_id", DataSettings(), table).values.to_list()
['1', '2']
"""

from collections import Counter
from dataclasses import dataclass, field

import polars as pl

from components.recsys.errors import InputError
from components.recsys.intake.readers import Table
from components.recsys.intake.text import BROKEN, normalised, without
from components.recsys.settings import DataSettings

EXACT = 2.0**53  # above it, neighbouring whole numbers are one float


@dataclass
class Ids:
    """values: strings, null where nothing usable was there. faults: (mask, check, reason)."""

    values: pl.Series
    faults: list[tuple[pl.Series, str, str]] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)
    messages: list[str] = field(default_factory=list)


def clean_ids(column: pl.Series, name: str, settings: DataSettings, table: Table) -> Ids:
    """A column of ids. Raises InputError when its type cannot be an id, or digits were lost in floats."""
    done = Ids(column)
    if column.dtype.is_float() or column.dtype == pl.Decimal:
        values = _from_floats(column.cast(pl.Float64).fill_nan(None), name, table.label, done)
    elif column.dtype == pl.String or column.dtype.is_integer() or column.dtype in (pl.Categorical, pl.Enum):
        values = _from_float_text(without(column.cast(pl.String), settings.missing_values), name, table.label, done)
    elif column.dtype == pl.Binary:
        values = without(column.cast(pl.String, strict=False), settings.missing_values)
        done.faults.append((column.is_not_null() & values.is_null(), "encoding", f"{name} is bytes that are no UTF-8"))
    else:
        raise InputError(
            f"{table.label}: {name} is stored as {column.dtype}, which is no id; map another column with data.columns"
        )
    if settings.normalise_text:
        tidy = normalised(values)
        done.counts["text_normalised"] += int((tidy != values).sum()) + tidy.null_count() - values.null_count()
        values = tidy
    done.faults.append((values.str.contains(BROKEN), "encoding", f"{name} holds broken characters (wrong encoding)"))
    done.faults.append(
        (
            values.str.len_chars() > settings.max_id_length,
            "invalid",
            f"{name} is longer than {settings.max_id_length} characters",
        )
    )
    missing = values.is_null()
    for mask, _, _ in done.faults:
        missing = missing & ~mask.fill_null(False)
    done.faults.append((missing, "missing", f"no {name}"))
    done.values = values
    return done


def _from_floats(column: pl.Series, name: str, label: str, done: Ids) -> pl.Series:
    finite = column.is_finite().fill_null(False)
    if (column.abs() > EXACT).fill_null(False).any():
        raise InputError(
            f"{label}: {name} is stored as floating point with values above 2^53, whose last digits are lost; "
            "export it as text"
        )
    whole = finite & (column == column.round()).fill_null(False)
    done.faults.append((column.is_not_null() & ~whole, "invalid", f"{name} is a fraction"))
    values = column.set(~whole, None).cast(pl.Int64).cast(pl.String)
    done.counts["ids_from_floats"] += int(whole.sum())
    done.messages.append(f"{label}: {name} is stored as floating point; took 1.0 as '1'")
    return values


def _from_float_text(values: pl.Series, name: str, label: str, done: Ids) -> pl.Series:
    """Text such as 196.0, which pandas writes when a column of whole numbers has gaps, and Excel's 1.23E+12."""
    lost = values.str.contains(r"^\s*\d\.\d+E\+\d+\s*$")
    if lost.any():
        done.faults.append((lost, "invalid", f"{name} is in scientific notation, whose last digits are lost"))
    if not values.str.ends_with(".0").any() and not values.str.contains(r"^\d+\.\d+$").any():
        return values
    if not values.drop_nulls().str.contains(r"^\s*-?\d+(\.\d+)?\s*$|^\d\.\d+E\+\d+$").all():
        return values
    whole = values.str.contains(r"^\s*-?\d+\.0+\s*$")
    fraction = values.str.contains(r"\.\d*[1-9]") & ~lost
    if whole.any():
        done.counts["ids_from_floats"] += int(whole.sum())
        done.messages.append(f"{label}: {name} is written as floating point; took 1.0 as '1'")
        values = values.str.replace(r"\.0+\s*$", "")
    if fraction.any():
        done.faults.append((fraction, "invalid", f"{name} is a fraction"))
    return values
