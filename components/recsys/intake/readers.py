"""Files of any format as frames with our column names. Text is read as strings, so the id 007 keeps its zeros.

>>> table = read(File("ratings.csv.gz", "ratings.csv.gz"), "events", EventSource())
>>> table.frame.columns, table.messages
(['user_id', 'item_id', 'value', 'timestamp'], ['ratings.csv.gz: took userId as user_id, ...'])

Formats: CSV, TSV, JSON Lines (each also gzipped), Parquet, Delta. Lines that are no rows come back as `broken`.
"""

import gzip
import json
import zlib
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import polars as pl
from polars.exceptions import NoDataError, PolarsError

from components.recsys.errors import InputError, is_panic
from components.recsys.intake import textfiles
from components.recsys.intake.columns import EVENT_COLUMNS, Kind, Mapping, map_columns
from components.recsys.intake.sources import File
from components.recsys.settings import Source
from components.recsys.store import storage_options

HEAD = 1 << 16
SUFFIXES = {
    ".csv": "csv", ".txt": "csv", ".tsv": "tsv", ".tab": "tsv", ".inter": "tsv", ".item": "tsv", ".user": "tsv",
    ".parquet": "parquet", ".pq": "parquet", ".jsonl": "jsonl", ".ndjson": "jsonl", ".json": "jsonl",
}  # fmt: skip
FOREIGN = {
    b"PK\x03\x04": "a zip archive or an Excel workbook; unpack it, or export it as CSV",
    b"\xff\xfe": "UTF-16; save it as UTF-8",
    b"\xfe\xff": "UTF-16; save it as UTF-8",
    b"SQLite format 3": "a SQLite database; export the table as CSV",
    b"ORC": "an ORC file; export it as Parquet",
    b"\x28\xb5\x2f\xfd": "compressed with zstd; use gzip or none",
    b"BZh": "compressed with bzip2; use gzip or none",
    b"\xfd7zXZ": "compressed with xz; use gzip or none",
}


@dataclass(frozen=True)
class Table:
    """What a file held. frame: our names, rows in the file's order. broken: lines that are no rows (row, raw, reason).

    is_text: all columns are strings as they stood in the file. sequences: columns with blank-separated lists.
    """

    frame: pl.DataFrame
    label: str
    is_text: bool
    columns: list[str]
    sequences: frozenset[str] = frozenset()
    broken: list[textfiles.Broken] = field(default_factory=list)
    messages: list[str] = field(default_factory=list)


def read(file: File, kind: Kind, settings: Source) -> Table:
    """One file. Raises InputError with one sentence for a file that is not what it should be."""
    if file.is_delta or settings.format == "delta":
        return _columnar(_scan_delta, file, kind, settings)
    head = _head(file)
    format_ = settings.format if settings.format != "auto" else _format(file, head)
    if format_ == "parquet":
        return _columnar(pl.scan_parquet, file, kind, settings)
    _check_text(file, head)
    data = _unzipped(file) if head.startswith(b"\x1f\x8b") else None
    reader = _json_lines if format_ == "jsonl" else _delimited
    table = reader(file, data, kind, settings, format_)
    if table.frame.is_empty():
        what = "no row that can be read" if table.broken else "a header but no rows"
        raise InputError(f"{file.label} has {what}")
    return table


def _head(file: File) -> bytes:
    try:
        with Path(file.path).open("rb") as opened:
            head = opened.read(HEAD)
    except OSError as error:
        raise InputError(f"{file.label} cannot be read: {error.strerror}") from None
    if not head.strip():
        raise InputError(f"{file.label} is empty")
    return head


def _format(file: File, head: bytes) -> str:
    name = Path(file.label.lower().removesuffix(".gz"))
    if head.startswith(b"PAR1"):
        return "parquet"
    if name.suffix in SUFFIXES:
        return SUFFIXES[name.suffix]
    return "jsonl" if head.lstrip()[:1] == b"{" else "csv"


def _check_text(file: File, head: bytes) -> None:
    for magic, what in FOREIGN.items():
        if head.startswith(magic):
            raise InputError(f"{file.label} is {what}")
    if b"\x00" in head and not head.startswith(b"\x1f\x8b"):
        raise InputError(f"{file.label} is binary, not text; set data.KIND.format if its name misleads")


def _unzipped(file: File) -> bytes:
    try:
        data = gzip.decompress(Path(file.path).read_bytes())
    except (EOFError, zlib.error, gzip.BadGzipFile):
        raise InputError(
            f"{file.label} is cut short or damaged: its gzip stream does not end well; fetch it again"
        ) from None
    if not data.strip():
        raise InputError(f"{file.label} is empty")
    _check_text(file, data[:HEAD])
    return data


def _scan_delta(path: str) -> pl.LazyFrame:
    return pl.scan_delta(path, storage_options=storage_options(path))


def _columnar(scan: Callable[[str], pl.LazyFrame], file: File, kind: Kind, settings: Source) -> Table:
    from deltalake.exceptions import DeltaError, TableNotFoundError

    try:
        lazy = scan(file.path)
        found = lazy.collect_schema().names()
        mapping = map_columns(found, kind, settings, file.label)
        frame = lazy.select(pl.col(theirs).alias(ours) for ours, theirs in _wanted(mapping, kind).items()).collect()
    except (TableNotFoundError, DeltaError) as error:
        raise InputError(f"{file.label} is no Delta table that can be read: {_first_line(error)}") from None
    except (PolarsError, OSError) as error:
        raise InputError(f"{file.label} is no Parquet file, or is cut short or damaged: {_first_line(error)}") from None
    except BaseException as error:
        if not is_panic(error):
            raise
        raise InputError(f"{file.label} is damaged and cannot be read; fetch or export it again") from None
    if frame.is_empty():
        raise InputError(f"{file.label} has columns but no rows")
    return Table(frame, file.label, False, found, mapping.sequences, messages=mapping.messages)


def _delimited(file: File, data: bytes | None, kind: Kind, settings: Source, format_: str) -> Table:
    head = data[:HEAD] if data is not None else _head(file)
    source: Any = data if data is not None else file.path
    if head[:1] in (b"\n", b"\r"):
        source = (data if data is not None else Path(file.path).read_bytes()).lstrip(b"\r\n")
        data, head = source, head.lstrip(b"\r\n")
    style = textfiles.style_of(head, settings, "\t" if format_ == "tsv" else None)
    if len(style.separator) > 1:
        source = (data if data is not None else Path(file.path).read_bytes()).replace(style.separator.encode(), b"\x1f")
        style = replace(style, separator="\x1f")
    messages: list[str] = []
    broken: list[textfiles.Broken] = []
    found = style.names(file.label)
    mapping = map_columns(found, kind, settings, file.label)
    try:
        frame = style.read(source)
    except NoDataError:
        raise InputError(f"{file.label} has a header but no rows") from None
    except PolarsError as error:
        if "utf-8" not in str(error).lower():
            frame, broken = style.salvage(source)
        else:
            messages.append(
                f"{file.label}: not all of it is UTF-8; what cannot be read shows as \N{REPLACEMENT CHARACTER}"
            )
            try:
                frame = style.read(source, encoding="utf8-lossy")
            except PolarsError:
                frame, broken = style.salvage(source)
    if any(theirs not in frame.columns for theirs in mapping.names.values()):
        raise InputError(
            f"{file.label}: its first line is no header that can be read: {', '.join(style.header)[:100]!r}"
        )
    if frame.height and broken:
        messages.append(f"{file.label}: {len(broken):,} lines are no rows (first: line {broken[0].row})")
    frame = frame.select(pl.col(theirs).alias(ours) for ours, theirs in _wanted(mapping, kind).items())
    if style.separator == "\t":
        frame = frame.with_columns(textfiles.unquoted(pl.all()))
    return Table(frame, file.label, True, found, mapping.sequences, broken, [*mapping.messages, *messages])


def _json_lines(file: File, data: bytes | None, kind: Kind, settings: Source, _format: str) -> Table:
    raw = data if data is not None else Path(file.path).read_bytes()
    if raw.lstrip()[:1] == b"[":
        raise InputError(f"{file.label} is one JSON array; write one object a line (JSON Lines), as in: jq -c '.[]'")
    keys = textfiles.scalar_keys(raw)
    if not keys:
        raise InputError(f"{file.label} is not JSON Lines: its first lines are no objects")
    broken: list[textfiles.Broken] = []
    overrides = {key: pl.String for key, scalar in keys.items() if scalar}
    try:
        frame = pl.read_ndjson(raw, schema_overrides=overrides, infer_schema_length=None)
    except (PolarsError, UnicodeDecodeError):
        frame, broken = textfiles.salvage_json(raw)
    mapping = map_columns(frame.columns, kind, settings, file.label)
    columns = frame.columns
    frame = frame.select(pl.col(theirs).alias(ours) for ours, theirs in _wanted(mapping, kind).items())
    messages = (
        [f"{file.label}: {len(broken):,} lines are no JSON objects (first: line {broken[0].row})"] if broken else []
    )
    return Table(frame, file.label, True, columns, mapping.sequences, broken, [*mapping.messages, *messages])


def _wanted(mapping: Mapping, kind: Kind) -> dict[str, str]:
    if kind != "events":
        return mapping.names
    return {ours: mapping.names[ours] for ours in EVENT_COLUMNS if ours in mapping.names}


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:160]


def row_as_json(frame: pl.DataFrame) -> pl.Series:
    """Each row as one JSON object, for the quarantine: what was there stays readable whatever its columns were."""
    plain = frame.select(
        pl.col(name).cast(pl.String, strict=False) if not dtype.is_nested() else pl.col(name)
        for name, dtype in frame.schema.items()
    )
    return pl.Series(
        "raw",
        [json.dumps(row, ensure_ascii=False, default=str) for row in plain.iter_rows(named=True)],
        dtype=pl.String,
    )
