"""What is known to go wrong with event logs, planted by seed: each stopped, refused or quarantined, and by what."""

import gzip
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from components.recsys.errors import InputError
from components.recsys.events import Ingested, ingest, read_events, read_quarantine
from components.recsys.home import Home
from components.recsys.quality import Quality, examine
from components.recsys.settings import DataSettings, QualitySettings

NOW = datetime(2026, 6, 1, tzinfo=UTC)
START = 1_704_067_200  # 2024-01-01
DAY = 86_400
SEEDS = (1, 2, 3)

Rng = np.random.Generator
Rows = pl.DataFrame


def log(rng: Rng, rows: int = 3000, users: int = 60, items: int = 60, start: int = START, days: int = 60) -> Rows:
    """A healthy log, all columns text as in a CSV."""
    popular = rng.zipf(1.5, rows) % items
    return pl.DataFrame(
        {
            "user_id": [f"u{n}" for n in rng.integers(0, users, rows)],
            "item_id": [f"i{n}" for n in popular],
            "timestamp": [str(start + int(second)) for second in np.sort(rng.integers(0, days * DAY, rows))],
            "event": list(rng.choice(["view", "click", "booking"], rows, p=[0.7, 0.2, 0.1])),
            "value": [str(value) for value in rng.integers(1, 6, rows)],
        }
    )


def catalogue(rng: Rng, items: int = 60) -> Rows:
    return pl.DataFrame(
        {
            "item_id": [f"i{n}" for n in range(items)],
            "title": [f"Ziel Nr. {n} – Übersicht" for n in range(items)],
            "genres": ["|".join(rng.choice(["sea", "city", "snow"], 2, replace=False)) for _ in range(items)],
            "year": [str(year) for year in rng.integers(1990, 2024, items)],
        }
    )


@dataclass
class Case:
    """What arrives. events: a table, or the bytes of a file; before: a batch that was ingested earlier."""

    events: Rows | bytes
    name: str = "events.csv"
    items: Rows | None = None
    before: Rows | None = None
    settings: DataSettings = field(default_factory=DataSettings)


def some(rng: Rng, frame: Rows, share: float, **changes: object) -> Rows:
    """The columns named, changed in a random share of the rows; a change is a value or an expression."""
    chosen = pl.Series(rng.random(frame.height) < share)
    return frame.with_columns(
        pl.when(chosen)
        .then(change if isinstance(change, pl.Expr) else pl.lit(change))
        .otherwise(pl.col(name))
        .alias(name)
        for name, change in changes.items()
    )


def text(frame: Rows) -> str:
    return frame.write_csv()


def times(factor: str) -> pl.Expr:
    return pl.col("timestamp") + factor


def leaky(rng: Rng) -> Case:
    frame = log(rng, rows=6000)
    late = frame.tail(1200)["item_id"].value_counts()
    items = (
        catalogue(rng).join(late, on="item_id", how="left").with_columns(pl.col("count").fill_null(0).cast(pl.String))
    )
    return Case(frame, items=items)


def second(rng: Rng, **shape: int) -> Rows:
    return log(rng, start=START + 60 * DAY, **shape)


def two(rng: Rng, after: Callable[[Rows], Rows]) -> Case:
    return Case(after(second(rng)), before=log(rng))


def lines(rng: Rng, share: float, broken: Callable[[str], str]) -> Case:
    first, *rest = text(log(rng)).splitlines()
    return Case("\n".join([first, *(broken(row) if rng.random() < share else row for row in rest)]).encode())


def parquet(frame: Rows, tmp: str = "") -> bytes:
    import io

    buffer = io.BytesIO()
    frame.write_parquet(buffer)
    return buffer.getvalue()


CORRUPTIONS: dict[str, tuple[str, str, Callable[[Rng], Case]]] = {
    # name: (outcome, check, what arrives)
    "users blank": ("stopped", "missing", lambda r: Case(some(r, log(r), 0.08, user_id=""))),
    "few items blank": ("quarantined", "missing", lambda r: Case(some(r, log(r), 0.01, item_id="   "))),
    "times absent": ("stopped", "missing", lambda r: Case(some(r, log(r), 0.1, timestamp=""))),
    "few users are the word null": ("quarantined", "missing", lambda r: Case(some(r, log(r), 0.02, user_id="null"))),
    "values are words": ("stopped", "invalid", lambda r: Case(some(r, log(r), 0.08, value="five stars"))),
    "few values are words": ("quarantined", "invalid", lambda r: Case(some(r, log(r), 0.02, value="1.2.3"))),
    "values infinite": ("quarantined", "invalid", lambda r: Case(some(r, log(r), 0.02, value="inf"))),
    "times are words": ("stopped", "invalid", lambda r: Case(some(r, log(r), 0.07, timestamp="yesterday"))),
    "dates in another order": (
        "stopped",
        "invalid",
        lambda r: Case(some(r, log(r), 1.0, timestamp="31/12/2024 10:15")),
    ),
    "dates that do not exist": (
        "quarantined",
        "invalid",
        lambda r: Case(some(r, log(r), 0.02, timestamp="2024-02-31")),
    ),
    "times in the future": ("stopped", "future", lambda r: Case(some(r, log(r), 0.03, timestamp="2500000000"))),
    "times zero": ("stopped", "ancient", lambda r: Case(some(r, log(r), 0.03, timestamp="0"))),
    "times negative": ("stopped", "ancient", lambda r: Case(some(r, log(r), 0.03, timestamp="-1"))),
    "few times in milliseconds": (
        "quarantined",
        "invalid",
        lambda r: Case(some(r, log(r), 0.03, timestamp=times("000"))),
    ),
    "half the times in milliseconds": (
        "refused",
        "mixes",
        lambda r: Case(some(r, log(r), 0.5, timestamp=times("000"))),
    ),
    "times lost their last digits": (
        "stopped",
        "ancient",
        lambda r: Case(log(r).with_columns(pl.col("timestamp").str.slice(0, 7))),
    ),
    "values off the scale": ("stopped", "range", lambda r: Case(some(r, log(r), 0.03, value="999"))),
    "few values off the scale": ("quarantined", "range", lambda r: Case(some(r, log(r), 0.005, value="-50"))),
    "counters overflow": (
        "quarantined",
        "range",
        lambda r: Case(
            some(
                r,
                log(r).with_columns(value=pl.Series(r.zipf(1.8, 3000).clip(0, 9000)).cast(pl.String)),
                0.005,
                value="9223372036854775807",
            )
        ),
    ),
    "signs flipped": (
        "stopped",
        "range",
        lambda r: Case(some(r, log(r), 0.03, value=pl.concat_str(pl.lit("-"), "value"))),
    ),
    "values outside what settings allow": (
        "stopped",
        "range",
        lambda r: Case(some(r, log(r), 0.03, value="6"), settings=DataSettings(events={"value_range": (1, 5)})),  # type: ignore[arg-type]
    ),
    "every row three times": (
        "stopped",
        "duplicates",
        lambda r: Case(pl.concat([log(r)] * 3).sample(fraction=1, shuffle=True, seed=1)),
    ),
    "event ids reused": (
        "quarantined",
        "duplicates",
        lambda r: Case(log(r).with_columns(event_id=pl.Series(np.arange(3000) % 2900).cast(pl.String))),
    ),
    "user copied into item": (
        "stopped",
        "id_collision",
        lambda r: Case(log(r).with_columns(item_id=pl.col("user_id"))),
    ),
    "few users and items changed places": (
        "quarantined",
        "id_collision",
        lambda r: Case(some(r, log(r), 0.03, user_id=pl.col("item_id"), item_id=pl.col("user_id"))),
    ),
    "a robot": ("stopped", "single_user", lambda r: Case(some(r, log(r), 0.6, user_id="bot"))),
    "a default item": ("stopped", "single_item", lambda r: Case(some(r, log(r), 0.6, item_id="i0"))),
    "load time as event time": ("stopped", "single_time", lambda r: Case(some(r, log(r), 0.6, timestamp="1711929600"))),
    "free text as kind of event": (
        "stopped",
        "event_kinds",
        lambda r: Case(log(r).with_columns(event=pl.Series([f"searched for {n}" for n in range(3000)]))),
    ),
    "items that the catalogue lacks": (
        "stopped",
        "referential",
        lambda r: Case(some(r, log(r), 0.3, item_id=pl.concat_str("item_id", pl.lit("-old"))), items=catalogue(r)),
    ),
    "an attribute that knows the future": ("stopped", "leakage", leaky),
    "a column gone": ("stopped", "schema_drift", lambda r: two(r, lambda rows: rows.drop("value"))),
    "two thirds of the rows gone": (
        "stopped",
        "volume",
        lambda r: two(r, lambda rows: rows.sample(fraction=0.33, seed=1)),
    ),
    "two weeks gone": (
        "stopped",
        "gaps",
        lambda r: Case(
            log(r).filter(~pl.col("timestamp").cast(pl.Int64).is_between(START + 20 * DAY, START + 34 * DAY))
        ),
    ),
    "items written in another way": (
        "stopped",
        "new_items",
        lambda r: two(r, lambda rows: rows.with_columns(item_id=pl.concat_str(pl.lit("SKU-"), "item_id"))),
    ),
    "values on another scale": (
        "stopped",
        "value_shift",
        lambda r: two(r, lambda rows: rows.with_columns((pl.col("value").cast(pl.Int64) * 20).cast(pl.String))),
    ),
    "Latin-1 instead of UTF-8": (
        "stopped",
        "encoding",
        lambda r: Case(text(some(r, log(r), 0.05, user_id="Zoë")).encode("latin-1")),
    ),
    "UTF-8 read as Latin-1": (
        "stopped",
        "encoding",
        lambda r: Case(
            log(r),
            items=catalogue(r).with_columns(
                pl.col("title").map_elements(lambda t: t.replace("–", "-").encode().decode("latin-1"), pl.String)
            ),
        ),
    ),
    "few ids with control characters": (
        "quarantined",
        "encoding",
        lambda r: Case(some(r, log(r), 0.005, user_id="u\x071")),
    ),
    "ids of 10,000 characters": ("quarantined", "invalid", lambda r: Case(some(r, log(r), 0.01, item_id="x" * 10_000))),
    "ids are fractions": (
        "stopped",
        "invalid",
        lambda r: Case(
            parquet(log(r).with_columns(user_id=pl.Series(r.integers(1, 60, 3000) + 0.5 * (r.random(3000) < 0.1)))),
            "events.parquet",
        ),
    ),
    "ids through Excel": ("quarantined", "invalid", lambda r: Case(some(r, log(r), 0.02, user_id="1.23457E+12"))),
    "another separator in some lines": ("stopped", "invalid", lambda r: lines(r, 0.1, lambda row: row + ",,")),
    "few quotes that do not end": ("quarantined", "invalid", lambda r: lines(r, 0.01, lambda row: '"' + row)),
    "few lines of JSON broken": (
        "quarantined",
        "invalid",
        lambda r: Case(
            "\n".join(row[:20] if r.random() < 0.02 else row for row in log(r).write_ndjson().splitlines()).encode(),
            "events.jsonl",
        ),
    ),
    "last line cut short": ("quarantined", "missing", lambda r: Case(text(log(r)).encode() + b"u1,i1")),
    "few events": ("stopped", "min_events", lambda r: Case(log(r, rows=60))),
    "one user": ("stopped", "min_users", lambda r: Case(log(r, users=1))),
    "one item": ("stopped", "min_items", lambda r: Case(log(r, items=1))),
    "gzip cut short": (
        "refused",
        "cut short",
        lambda r: Case(gzip.compress(text(log(r)).encode())[:-2000], "events.csv.gz"),
    ),
    "Parquet cut short": ("refused", "cut short", lambda r: Case(parquet(log(r))[:-2000], "events.parquet")),
    "header gone": (
        "refused",
        "no column for user_id",
        lambda r: Case(log(r).write_csv(include_header=False).encode()),
    ),
    "column renamed": ("refused", "no column for item_id", lambda r: Case(log(r).rename({"item_id": "thing"}))),
    "two columns for one name": (
        "refused",
        "both could be item_id",
        lambda r: Case(log(r).rename({"item_id": "sku", "event": "product"})),
    ),
    "column twice": (
        "refused",
        "two columns are called",
        lambda r: Case(text(log(r)).replace("item_id", "user_id", 1).encode()),
    ),
    "no text at all": ("refused", "binary", lambda r: Case(b"user_id,item_id\x00" + r.bytes(1000))),
}


def arrive(tmp_path: Path, case: Case) -> tuple[Home, Ingested, Quality]:
    home = Home(tmp_path / "home")
    if case.before is not None:
        case.before.write_csv(tmp_path / "before.csv")
        ingest(home, {"events": str(tmp_path / "before.csv")}, case.settings, now=NOW)
    path = tmp_path / case.name
    path.write_bytes(case.events if isinstance(case.events, bytes) else text(case.events).encode())
    sources = {"events": str(path)}
    if case.items is not None:
        case.items.write_csv(tmp_path / "items.csv")
        sources["items"] = str(tmp_path / "items.csv")
    done = ingest(home, sources, case.settings, now=NOW)
    return home, done, examine(home, done.data, done.batch, QualitySettings())


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("name", CORRUPTIONS)
def test_a_corruption_is_stopped_refused_or_quarantined(tmp_path: Path, name: str, seed: int) -> None:
    outcome, check, corrupt = CORRUPTIONS[name]
    case = corrupt(np.random.default_rng(seed))
    if outcome == "refused":
        with pytest.raises(InputError, match=check) as told:
            arrive(tmp_path, case)
        assert "\n" not in str(told.value)
        assert not Home(tmp_path / "home").store.list()
        return
    home, done, quality = arrive(tmp_path, case)
    failed = {each.name: each for each in quality.checks if not each.ok}
    if outcome == "stopped":
        assert not quality.ok
        assert failed[check].severity == "stop"
        assert f"'{check}'" in failed[check].sentence
        assert failed[check].column in failed[check].sentence
        assert len(failed[check].examples) <= 3
    else:
        assert quality.ok, quality.sentence
        quarantine = read_quarantine(home, done.batch)
        assert quarantine["check"].unique().to_list() == [check]
        assert done.counts["quarantined"] == quarantine.height > 0
        kept = read_events(home, done.data).height
        assert (
            kept + quarantine.height + done.counts["exact_duplicates"] + done.counts["near_duplicates"]
            == done.counts["rows_read"]
        )


@pytest.mark.parametrize("seed", SEEDS)
def test_the_data_that_is_corrupted_here_is_clean_before(tmp_path: Path, seed: int) -> None:
    rng = np.random.default_rng(seed)
    home, _, quality = arrive(tmp_path, Case(second(rng), before=log(rng), items=catalogue(rng)))
    assert quality.ok, quality.sentence
    assert read_quarantine(home).is_empty()
    assert [check.name for check in quality.checks if not check.ok] == []


def test_a_failing_check_names_itself_the_column_the_rows_and_three_examples(tmp_path: Path) -> None:
    frame = (
        log(np.random.default_rng(1))
        .with_row_index()
        .with_columns(user_id=pl.when(pl.col("index") % 10 == 0).then(pl.lit("")).otherwise("user_id"))
    )
    _, _, quality = arrive(tmp_path, Case(frame.drop("index")))
    failed = next(check for check in quality.checks if not check.ok)
    assert (failed.name, failed.column, failed.rows, failed.share) == ("missing", "user_id", 300, 0.1)
    assert failed.examples == tuple(f"events.csv row {row}: user_id ''" for row in (1, 11, 21))
    assert quality.sentence == (
        "Stopped by the check 'missing' on user_id: 300 of 3,000 rows (10.00%) lack a user, an item or a time "
        "(no user_id: 300), and at most 5.00% may, for example " + "; ".join(failed.examples) + "."
    )
