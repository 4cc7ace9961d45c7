"""Two hundred healthy logs of all shapes: none is stopped, no row of them is put aside."""

import gzip
import itertools
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from components.recsys.events import ingest, read_events, read_quarantine
from components.recsys.home import Home
from components.recsys.quality import examine
from components.recsys.settings import DataSettings, QualitySettings

NOW = datetime(2026, 6, 1, tzinfo=UTC)
VARIATIONS = 200
FORMATS = ("csv", "csv.gz", "tsv", "jsonl", "jsonl.gz", "parquet", "semicolon.csv", "inter")
IDS = ("numbers", "zeros", "words", "greek", "chinese", "emoji", "uuid", "spaced")
TIMES = ("s", "ms", "us", "ns", "iso", "iso zone", "date", "float", "datetime")
VALUES = ("none", "stars", "halves", "plays", "price", "thumbs", "negative", "dwell", "constant", "gaps", "counts")
COLUMNS = (
    {},
    {"user_id": "userId", "item_id": "movieId", "value": "rating"},
    {"user_id": "visitor", "item_id": "sku", "timestamp": "ts", "event": "action", "value": "score"},
    {"user_id": "Customer ID", "item_id": "Product", "timestamp": "Date", "event": "Event Type"},
)

Rng = np.random.Generator


def ids(kind: str, n: int, prefix: str) -> np.ndarray[Any, Any]:
    spelt = {
        "numbers": lambda k: str(k + 1),
        "zeros": lambda k: f"{k:06d}",
        "words": lambda k: f"{prefix}-{k}",
        "greek": lambda k: f"χρήστης{prefix}{k}",
        "chinese": lambda k: f"用户{prefix}{k}",
        "emoji": lambda k: f"{prefix}✈{k}",
        "uuid": lambda k: f"{(k * 2654435761 + len(prefix)) % 2**32:08x}-{prefix}000-4000-8000-{k:012x}",
        "spaced": lambda k: f"{prefix} No {k}",
    }[kind]
    return np.array([spelt(k) for k in range(n)], dtype=object)


def skewed(rng: Rng, n: int, rows: int, skew: float) -> np.ndarray[Any, Any]:
    """Draws whose most frequent value stays below a third of all."""
    weights = 1 / np.arange(1, n + 1) ** skew
    weights /= weights.sum()
    weights = np.minimum(weights, 0.3)
    return rng.choice(n, rows, p=weights / weights.sum())


def values(rng: Rng, kind: str, rows: int, items: np.ndarray[Any, Any]) -> list[float | None] | None:
    if kind == "none":
        return None
    drawn: dict[str, Any] = {
        "stars": lambda: rng.integers(1, 6, rows).astype(float),
        "halves": lambda: rng.integers(1, 11, rows) / 2,
        "plays": lambda: np.minimum(rng.zipf(1.8, rows), 10_000).astype(float),
        "price": lambda: np.round(rng.lognormal(4, 1.2, items.max() + 1), 2)[items],
        "thumbs": lambda: rng.choice([1.0, -1.0], rows, p=[0.95, 0.05]),
        "negative": lambda: np.round(rng.normal(0, 4, rows), 2),
        "dwell": lambda: rng.lognormal(3, 1.5, rows),
        "constant": lambda: np.ones(rows),
        "gaps": lambda: rng.integers(1, 6, rows).astype(float),
        "counts": lambda: rng.poisson(2, rows).astype(float),
    }
    made = drawn[kind]()
    if kind == "gaps":
        return [None if rng.random() < 0.3 else float(value) for value in made]
    return [float(value) for value in made]


def stamps(rng: Rng, kind: str, rows: int) -> pl.Series:
    """Times as the file holds them."""
    start = int(rng.integers(946_684_800, 1_700_000_000))
    span = int(rng.integers(3, 900)) * 86_400
    seconds = np.sort(rng.choice(span, rows, replace=False)) + start
    if kind == "date":
        days = pl.Series(seconds // 86_400 * 86_400)
        return pl.from_epoch(days, "s").dt.strftime("%Y-%m-%d")
    if kind in ("s", "ms", "us", "ns"):
        return pl.Series(seconds * {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}[kind])
    if kind == "float":
        return pl.Series(seconds + 0.25)
    if kind == "datetime":
        return pl.from_epoch(pl.Series(seconds), "s")
    moments = [datetime.fromtimestamp(int(second), UTC) for second in seconds]
    if kind == "iso zone":
        return pl.Series([(moment + timedelta(hours=2)).strftime("%Y-%m-%dT%H:%M:%S+02:00") for moment in moments])
    return pl.Series([moment.strftime("%Y-%m-%d %H:%M:%S") for moment in moments])


def write(frame: pl.DataFrame, folder: Path, kind: str) -> Path:
    path = folder / f"events.{kind}"
    if kind == "parquet":
        frame.write_parquet(path)
    elif kind.startswith("jsonl"):
        data = frame.write_ndjson().encode()
        path.write_bytes(gzip.compress(data) if kind.endswith("gz") else data)
    else:
        separator = {"tsv": "\t", "inter": "\t", "semicolon.csv": ";"}.get(kind, ",")
        data = frame.write_csv(separator=separator, datetime_format="%Y-%m-%dT%H:%M:%S").encode()
        path.write_bytes(gzip.compress(data) if kind.endswith("gz") else data)
    return path


def recbole(frame: pl.DataFrame) -> pl.DataFrame:
    types = {"user_id": "token", "item_id": "token", "value": "float", "timestamp": "float", "event": "token"}
    return frame.rename({name: f"{name}:{types[name]}" for name in frame.columns})


def variation(seed: int, folder: Path) -> dict[str, str]:
    """Every list above is gone through in step, with lengths that share no factor, so that all pairs come up."""
    rng = np.random.default_rng(seed)
    rows = int(rng.choice([150, 400, 1500, 4000]))
    n_users, n_items = int(rng.choice([15, 60, 400])), int(rng.choice([6, 40, 300]))
    kind = FORMATS[seed % len(FORMATS)]
    id_kind = IDS[(seed // 3) % len(IDS)]
    users = skewed(rng, n_users, rows, float(rng.uniform(0, 1)))
    items = skewed(rng, n_items, rows, float(rng.uniform(0, 1.3)))
    items[:n_items] = rng.permutation(n_items)[:rows]
    times = stamps(rng, TIMES[seed % len(TIMES)], rows)
    columns: dict[str, Any] = {
        "user_id": ids(id_kind, n_users, "a")[users],
        "item_id": ids(id_kind, n_items, "b")[items],
        "timestamp": times,
    }
    found = values(rng, VALUES[seed % len(VALUES)], rows, items)
    if found is not None:
        columns["value"] = found
    if seed % 3:
        columns["event"] = rng.choice(["view", "click", "add to cart", "buchung ü"][: 1 + seed % 4], rows)
    frame = pl.DataFrame(columns).sample(fraction=1, shuffle=bool(seed % 2), seed=seed)
    if id_kind == "numbers" and kind == "parquet":
        frame = frame.with_columns(pl.col("user_id", "item_id").cast(pl.Int64 if seed % 5 else pl.Float64))
    attributes = pl.DataFrame(
        {
            "item_id": ids(id_kind, n_items, "b"),
            "title": [f"Título {n} “naïve” №{n}" for n in range(n_items)],
            "year": rng.integers(1950, 2026, n_items),
            "price": rng.lognormal(3, 1, n_items),
        }
    )
    people = pl.DataFrame(
        {
            "user_id": ids(id_kind, n_users, "a"),
            "age": rng.integers(18, 90, n_users),
            "group": rng.choice(["x", "y"], n_users),
        }
    )
    frame = recbole(frame) if kind == "inter" else frame.rename(COLUMNS[(seed // 2) % len(COLUMNS)], strict=False)
    sources = {"events": str(write(frame, folder, kind))}
    if seed % 2:
        attributes.write_csv(folder / "items.csv")
        sources["items"] = str(folder / "items.csv")
    if seed % 5 == 0:
        people.write_parquet(folder / "users.parquet")
        sources["users"] = str(folder / "users.parquet")
    return sources


@pytest.mark.parametrize("seed", range(VARIATIONS))
def test_a_clean_log_is_not_stopped_and_no_row_is_put_aside(tmp_path: Path, seed: int) -> None:
    sources = variation(seed, tmp_path)
    home = Home(tmp_path / "home")
    done = ingest(home, sources, DataSettings(), now=NOW)
    quality = examine(home, done.data, done.batch, QualitySettings())
    assert quality.ok, quality.sentence
    assert [check.name for check in quality.checks if not check.ok] == []
    assert read_quarantine(home).is_empty()
    counts = done.counts
    assert counts["rows_read"] == counts["added"] + counts["exact_duplicates"] + counts["near_duplicates"]
    events = read_events(home, done.data)
    assert events.height == counts["added"]
    assert events["timestamp"].min() >= datetime(2000, 1, 1, tzinfo=UTC)  # type: ignore[operator]
    assert events["timestamp"].max() <= NOW  # type: ignore[operator]


def test_all_shapes_come_up() -> None:
    steps = [(FORMATS[n % len(FORMATS)], TIMES[n % len(TIMES)]) for n in range(VARIATIONS)]
    assert set(steps) >= set(itertools.product(FORMATS, TIMES))
    assert {VALUES[n % len(VALUES)] for n in range(VARIATIONS)} == set(VALUES)
    assert {IDS[(n // 3) % len(IDS)] for n in range(VARIATIONS)} == set(IDS)
