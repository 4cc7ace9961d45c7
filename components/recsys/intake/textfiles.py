"""Delimited text and JSON Lines as they are met: separators, headers, quotes, and lines that are no rows.

>>> style_of(b"userId;movieId;when\\n1;2;3\\n", Source(), None).separator
';'
"""

import csv
import io
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import polars as pl

from components.recsys.errors import InputError
from components.recsys.settings import Source

SEPARATORS = ",\t;|"
LONG = "::"  # MovieLens 1M and 10M
BOM = b"\xef\xbb\xbf"
LOOKED_AT = 1000  # lines of JSON from which the keys with plain values are told


class Broken(NamedTuple):
    """A line that is no row. row: its number among the data lines, from 1."""

    row: int
    raw: str
    reason: str


@dataclass(frozen=True)
class Style:
    """How a delimited file is written. header: the names; `titled` when the file's first line holds them."""

    separator: str
    header: tuple[str, ...]
    quote: str | None
    titled: bool = True

    def names(self, label: str) -> list[str]:
        """The columns' names. Raises InputError for a name that occurs twice."""
        twice = sorted({name for name in self.header if name and self.header.count(name) > 1})
        if twice and not all(name.replace(".", "").isdigit() for name in twice):
            raise InputError(f"{label}: two columns are called '{twice[0]}'; rename one of them")
        return list(dict.fromkeys(self.header))

    def read(self, source: Any, encoding: Any = "utf8") -> pl.DataFrame:
        """All columns as strings, under the header's names. Raises polars' errors."""
        frame = pl.read_csv(
            source,
            has_header=self.titled,
            separator=self.separator,
            quote_char=self.quote,
            infer_schema=False,
            encoding=encoding,
            new_columns=None if self.titled else list(self.header),
        )
        return (
            frame.rename(dict(zip(frame.columns, self.header, strict=False)))
            if len(set(self.header)) == frame.width
            else frame
        )

    def salvage(self, source: Any) -> tuple[pl.DataFrame, list[Broken]]:
        """Line by line, where the fast reader gave up: lines with another number of fields are set aside."""
        data = source if isinstance(source, bytes) else Path(source).read_bytes()
        lines = data.removeprefix(BOM).decode("utf-8", errors="replace").split("\n")[1 if self.titled else 0 :]
        width, rows, broken = len(self.header), [], []
        for number, line in enumerate((line.rstrip("\r") for line in lines), start=1):
            if not line.strip():
                continue
            fields = self._fields(line)
            if fields is None or len(fields) != width:
                found = "a quote that does not end" if fields is None else f"{len(fields)} fields, not {width}"
                broken.append(Broken(number, line[:2000], found))
            else:
                rows.append([value or None for value in fields])
        frame = pl.DataFrame(rows, schema=dict.fromkeys(self.header, pl.String), orient="row")
        return frame, broken

    def _fields(self, line: str) -> list[str] | None:
        if self.quote is None or self.quote not in line:
            return line.split(self.separator)
        try:
            return next(csv.reader([line], delimiter=self.separator, quotechar=self.quote, strict=True))
        except csv.Error:
            return None


def style_of(head: bytes, settings: Source, separator: str | None) -> Style:
    """From the settings, the name's hint and the first line: the separator that occurs most often in it."""
    line = head.removeprefix(BOM).split(b"\n", 1)[0].rstrip(b"\r").decode("utf-8", errors="replace")
    chosen = settings.separator or (separator if separator and separator in line else None)
    if chosen is None:
        bare = "".join(line.split('"')[::2])
        chosen = LONG if LONG in bare and bare.count(LONG) * 2 == bare.count(":") else max(SEPARATORS, key=bare.count)
    chosen = chosen.replace("\\t", "\t")
    # Tab-separated files have no quoting (IANA text/tab-separated-values): a title may begin with a quote.
    quote = None if chosen == "\t" else '"'
    if settings.header:
        return Style(chosen, settings.header, quote, titled=False)
    try:
        names = next(csv.reader([line], delimiter=chosen)) if quote and len(chosen) == 1 else line.split(chosen)
    except csv.Error:
        names = line.split(chosen)
    return Style(chosen, tuple(name.strip().strip('"') for name in names), quote)


def unquoted(column: pl.Expr) -> pl.Expr:
    """Quotes around a whole cell of a tab-separated file, as some writers put them, taken off."""
    quoted = column.str.starts_with('"') & column.str.ends_with('"') & (column.str.len_chars() > 1)
    return (
        pl.when(quoted)
        .then(column.str.slice(1, column.str.len_chars() - 2).str.replace_all('""', '"', literal=True))
        .otherwise(column)
    )


def scalar_keys(raw: bytes) -> dict[str, bool]:
    """The keys of the first lines' objects, and whether all their values are plain (no list, no object)."""
    keys: dict[str, bool] = {}
    for line in io.BytesIO(raw.removeprefix(BOM)).readlines(1 << 20)[:LOOKED_AT]:
        try:
            row = json.loads(line)
        except (ValueError, RecursionError):
            continue
        if isinstance(row, dict):
            for key, value in row.items():
                keys[key] = keys.get(key, True) and not isinstance(value, list | dict)
    return keys


def salvage_json(raw: bytes) -> tuple[pl.DataFrame, list[Broken]]:
    """The lines that are objects, all values as text (lists and objects as JSON); the others are set aside."""
    rows: list[dict[str, str | None]] = []
    broken: list[Broken] = []
    for number, line in enumerate(raw.removeprefix(BOM).splitlines(), start=1):
        if not line.strip():
            continue
        text = line.decode("utf-8", errors="replace")
        try:
            row = json.loads(text)
        except (ValueError, RecursionError):
            row = None
        if isinstance(row, dict):
            rows.append({key: _as_text(value) for key, value in row.items()})
        else:
            broken.append(Broken(number, text[:2000], "no JSON object"))
    columns = dict.fromkeys(key for row in rows for key in row)
    return pl.DataFrame({key: pl.Series([row.get(key) for row in rows], dtype=pl.String) for key in columns}), broken


def _as_text(value: Any) -> str | None:
    if value is None or isinstance(value, str):
        return value
    return json.dumps(value, ensure_ascii=False)
