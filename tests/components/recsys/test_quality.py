"""The gate's verdict: severities, limits, what it says and what the report shows."""

import json
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from components.recsys.checking.leakage import leaking_attribute
from components.recsys.events import ingest, withdraw
from components.recsys.home import Home
from components.recsys.quality import Quality, examine, quality_markdown
from components.recsys.settings import DataSettings, QualitySettings

NOW = datetime(2026, 6, 1, tzinfo=UTC)
START = 1_704_067_200


def log(rows: int = 400, blank: int = 0, first: int = 0) -> str:
    body = []
    for n in range(rows):
        user, kind = "" if n < blank else f"u{n % 20}", "view" if n % 4 else "booking"
        body.append(f"{user},i{n % 13},{START + 3600 * (first + n)},{n % 5 + 1},{kind}")
    return "\n".join(["user_id,item_id,timestamp,value,event", *body])


@pytest.fixture
def judge(tmp_path: Path) -> Callable[..., Quality]:
    def run(text: str, settings: dict[str, Any] | None = None, items: str = "", name: str = "log.csv") -> Quality:
        (tmp_path / name).write_text(text)
        sources = {"events": str(tmp_path / name)}
        if items:
            (tmp_path / "items.csv").write_text(items)
            sources["items"] = str(tmp_path / "items.csv")
        home = Home(tmp_path / "home")
        done = ingest(home, sources, DataSettings(), now=NOW)
        return examine(home, done.data, done.batch, QualitySettings.model_validate(settings or {}))

    return run


def test_a_limit_is_kept_to_the_row(judge: Callable[..., Quality]) -> None:
    limit = {"missing": {"threshold": 0.05}}
    assert judge(log(blank=20), limit, name="a.csv").ok
    quality = judge(log(blank=21), limit, name="b.csv")
    assert not quality.ok
    failed = next(check for check in quality.checks if not check.ok)
    assert (failed.name, failed.column, failed.rows) == ("missing", "user_id", 21)


def test_warn_only_tells_and_off_does_not_look(judge: Callable[..., Quality]) -> None:
    warned = judge(log(blank=100), {"missing": {"severity": "warn", "threshold": 0.05}})
    assert warned.ok
    assert warned.sentence == "300 events passed 23 checks; warned: missing"
    assert "| missing | warned | 0.25 | 0.05 | 100 | user_id |" in quality_markdown(warned)
    off = judge(log(blank=100), {"missing": {"severity": "off", "threshold": 0.05}})
    assert "missing" not in [check.name for check in off.checks]


def test_a_quality_survives_json(judge: Callable[..., Quality]) -> None:
    quality = judge(log(blank=100))
    assert Quality.from_dict(json.loads(json.dumps(quality.to_dict()))) == quality


def test_all_failed_checks_are_named(judge: Callable[..., Quality]) -> None:
    quality = judge(log(rows=60, blank=30))
    assert quality.sentence.startswith("Stopped by the check 'missing' on user_id: 30 of 60 rows (50.00%)")
    assert quality.sentence.endswith("Also failed: min_events.")


def test_markdown_shows_verdict_checks_examples_and_counts(judge: Callable[..., Quality]) -> None:
    shown = quality_markdown(judge(log(blank=100)))
    assert "**Stopped.** Stopped by the check 'missing'" in shown
    assert "| missing | **stopped** | 0.25 | 0.05 | 100 | user_id |" in shown
    assert "- `log.csv row 1: user_id None`" in shown
    assert "| no user_id (user_id) | 100 |" in shown


def test_the_summary_counts_what_is_there(judge: Callable[..., Quality]) -> None:
    items = "item_id,title\n" + "\n".join(f"i{n},Place {n}" for n in range(13))
    summary = judge(log(), items=items).summary
    assert (summary["rows"], summary["users"], summary["items"]) == (400, 20, 13)
    assert summary["density"] == 1.0
    assert summary["first"] == "2024-01-01T00:00:00+00:00"
    assert summary["events"] == {"view": 300, "booking": 100}
    assert summary["per_day"]["2024-01-01"] == 24
    assert sum(summary["per_day"].values()) == 400
    assert summary["history_lengths"] == {"16-31": 20}
    assert sum(summary["popularity"]) == 400
    assert summary["gini"] == pytest.approx(0.0, abs=0.02)
    assert summary["top_items"][0] == {"item": "Place 0", "events": 31}
    assert len(summary["top_items"]) == 10
    assert summary["cleaning"]["exact_duplicates"] == 0


def test_the_events_per_day_of_a_long_time_fit_a_page(judge: Callable[..., Quality]) -> None:
    text = "user_id,item_id,timestamp\n" + "\n".join(
        f"u{n % 20},i{n % 13},{START - 86_400 * n * 10}" for n in range(400)
    )
    per_day = judge(text).summary["per_day"]
    assert len(per_day) <= 60
    assert sum(per_day.values()) == 400


def test_a_withdrawn_batch_is_not_compared_with(tmp_path: Path, judge: Callable[..., Quality]) -> None:
    judge(log(rows=2400), name="large.csv")
    home = Home(tmp_path / "home")
    small = log(rows=300, first=3000).replace("\n", "\n", 1)
    daily = "\n".join(line for n, line in enumerate(small.splitlines()) if n == 0 or n % 3 == 0)
    stopped = judge(daily, name="small.csv")
    assert [check.name for check in stopped.checks if not check.ok] == ["volume"]
    large = ingest(home, {"events": str(tmp_path / "large.csv")}, DataSettings(), now=NOW)
    withdraw(home, large.batch, "it was the wrong one")
    again = judge(daily, {"min_events": {"threshold": 50}}, name="small.csv")
    assert again.ok, again.sentence


def test_a_batch_under_a_day_says_nothing_about_volume(judge: Callable[..., Quality]) -> None:
    judge(log(rows=2400), name="large.csv")
    assert judge(log(rows=12, first=3000), name="small.csv").ok


def test_past_popularity_is_no_leak_and_future_popularity_is() -> None:
    rng = np.random.default_rng(1)
    events = pl.DataFrame(
        {"item_id": [f"i{n}" for n in [*(rng.zipf(1.5, 4000) % 60), *(rng.zipf(1.5, 1000) * 7 % 60)]]}
    ).with_columns(timestamp=pl.int_range(5000).cast(pl.Datetime("us", "UTC")))
    past, future, both = (
        leaking_attribute(events, part["item_id"].value_counts(name="clicks"))
        for part in (events.head(4000), events.tail(1000), events)
    )
    assert past is not None
    assert past.correlation < 0.5
    for leak in (future, both):
        assert leak is not None
        assert leak.column == "clicks"
        assert leak.correlation > 0.99
    assert leaking_attribute(events, events.select("item_id").unique().with_columns(title=pl.lit("x"))) is None
