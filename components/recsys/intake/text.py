"""Text columns: one spelling for what looks the same, and hashes that are the same on every machine and version.

>>> normalised(pl.Series(["  Cafe\\u0301  noir "])).to_list()
['Café noir']
"""

import hashlib
from collections.abc import Sequence

import numpy as np
import polars as pl

BLANKS = r"[\s\u{200B}\u{FEFF}\u{00A0}]+"
OUTER = rf"^{BLANKS}|{BLANKS}$"
# Control and replacement characters, and UTF-8 that was read as Latin-1 and written again.
BROKEN = r"[\x00-\x08\x0B\x0C\x0E-\x1F\x7F\u{80}-\u{9F}\u{FFFD}]|[\u{C2}\u{C3}][\u{80}-\u{BF}]|\u{E2}\u{20AC}"
FIELD = "\x1f"  # between the fields of a row that is hashed; no cleaned id or text holds it
AT_ONCE = 1 << 19


def normalised(column: pl.Series) -> pl.Series:
    """Unicode NFC, outer blanks off, inner runs of blanks to one; what is empty then is null."""
    odd = column.str.len_bytes() != column.str.len_chars()
    if odd.any():
        column = column.str.normalize("NFC")
    if column.str.contains(r"^[\s\u{200B}\u{FEFF}]|[\s\u{200B}\u{FEFF}]$|\s\s|[\t\n\r\u{00A0}\u{3000}]").any():
        column = column.str.replace_all(OUTER, "").str.replace_all(r"[\s\u{00A0}]+", " ")
    return blank_as_null(column)


def blank_as_null(column: pl.Series) -> pl.Series:
    empty = column.str.len_bytes() == 0
    return column.set(empty.fill_null(False), None) if empty.any() else column


def without(column: pl.Series, missing: Sequence[str]) -> pl.Series:
    """Cells that are empty, blank or one of the words that mean 'nothing here' become null."""
    column = column.alias(column.name or "column")
    gone = column.is_in(list(missing)) | ~column.str.contains(r"\S")
    return column.set(gone.fill_null(False), None) if gone.any() else column


def spelt(frame: pl.DataFrame) -> pl.Series:
    """Each row as one string that tells every difference: floats by their bits, lists and nulls marked."""
    parts = []
    for name, dtype in frame.schema.items():
        column = frame[name]
        if dtype.is_float():
            bits = (column.cast(pl.Float64) + 0.0).fill_null(0.0).to_numpy().view(np.int64)
            text = pl.Series(name, bits).cast(pl.String).set(column.is_null(), None)
        elif isinstance(dtype, pl.Datetime):
            text = column.cast(pl.Datetime("us", dtype.time_zone)).cast(pl.Int64).cast(pl.String)
        elif isinstance(dtype, pl.List):
            text = column.list.eval(pl.element().cast(pl.String).fill_null("\x1d")).list.join("\x1e") + "\x1e"
        else:
            text = column.cast(pl.String)
        parts.append(text.alias(name).fill_null("\x1d"))
    return pl.DataFrame(parts).select(pl.concat_str(pl.all(), separator=FIELD)).to_series()


def hashed(frame: pl.DataFrame) -> pl.Series:
    """BLAKE2b-128 of each row, in hex; a million rows take about a second."""
    made: list[pl.Series] = []
    for start in range(0, frame.height, AT_ONCE):
        rows = spelt(frame.slice(start, AT_ONCE)).to_list()
        hashes = [hashlib.blake2b(row.encode(), digest_size=16).hexdigest() for row in rows]
        made.append(pl.Series("hash", hashes, dtype=pl.String))
    return pl.concat(made) if made else pl.Series("hash", [], dtype=pl.String)


def content_hash(frame: pl.DataFrame, key: str) -> str:
    """sha256 of all rows and column names, whatever the order of either. key: a column whose values are unique."""
    frame = frame.select(sorted(frame.columns))
    frame = frame[_order(frame, key)]
    names = (f"{name} {kind}" for name, kind in zip(frame.columns, frame.dtypes, strict=True))
    digest = hashlib.sha256(FIELD.join(names).encode())
    for start in range(0, frame.height, AT_ONCE):
        digest.update(str(spelt(frame.slice(start, AT_ONCE)).str.join("\n").item()).encode() + b"\n")
    return digest.hexdigest()


def _order(frame: pl.DataFrame, key: str) -> pl.Series:
    """The rows by time, then key. Numbers sort much faster than strings, so keys decide only where times are equal."""
    if "timestamp" not in frame.columns:
        return frame[key].arg_sort()
    times = frame["timestamp"].cast(pl.Int64)
    order = times.arg_sort()
    times = times[order]
    tied = ((times == times.shift(1)) | (times == times.shift(-1))).fill_null(False)
    if not tied.any():
        return order
    rows = pl.DataFrame({"row": order.filter(tied), "time": times.filter(tied)})
    settled = rows.with_columns(key=frame[key][rows["row"]]).sort("time", "key")["row"]
    return order.scatter(tied.arg_true(), settled)
