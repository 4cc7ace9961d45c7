import importlib.util

import polars as pl
import pytest

from components.recsys.settings import load_settings
from monitoring.watching.reports import MISSING, readable, sample


def test_a_sample_is_the_same_however_the_rows_come(first_quiet):
    events = first_quiet.organic.head(3000)
    once = sample(iter([events]), listed=False, most=200)
    pieces = [events[start : start + 700] for start in (2100, 0, 1400, 700, 2800)]
    again = sample(iter([*pieces, events]), listed=False, most=200)
    assert once.equals(again)
    assert once.height == 200
    shares = [frame["event"].value_counts(normalize=True).sort("event")["proportion"][0] for frame in (once, events)]
    assert abs(shares[0] - shares[1]) < 0.1
    assert sample(iter([events]), listed=True, most=200).height == 0


def test_people_read_no_ids(first_quiet):
    frame = readable(first_quiet.organic.head(50), first_quiet.world.items())
    assert {"class", "genres", "price", "event", "hour"} <= set(frame.columns)
    assert not {"user_id", "item_id", "event_id", "title"} & set(frame.columns)
    assert frame["genres"].dtype == pl.String


def test_evidently_draws_the_drift_for_people(shifted):
    shifted.settings = load_settings(overrides=["drift.evidently_rows=400"])
    shifted.live_organically(60, 80)
    watch = shifted.watch()
    shifted.today = 80.1
    facts = watch.look(wait=True)
    assert facts["detected"]
    assert facts["report"].startswith(shifted.home.url)
    assert facts["report_note"] == ""
    page = shifted.home.store.read(facts["report"].removeprefix(shifted.home.url + "/")).decode()
    assert page.lstrip().lower().startswith("<!doctype html>")
    assert all(column in page for column in ("class", "climate", "genres"))
    assert watch.look(wait=True)["report"] == facts["report"]  # one report a drift
    restarted = shifted.watch().look(wait=True)
    assert restarted["report"] == facts["report"]
    assert len(shifted.home.store.list("monitor/reports")) == 1


def test_without_evidently_it_is_said_how_to_get_it(shifted, monkeypatch):
    found = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name, *more: None if name == "evidently" else found(name, *more)
    )
    shifted.live_organically(60, 80)
    shifted.today = 80.1
    facts = shifted.watch().look(report=True)
    assert facts["report_note"] == MISSING
    assert facts["detected"]
    assert facts["faults"] == []


@pytest.mark.parametrize("what", ["slow", "broken"])
def test_a_report_that_does_not_come_is_said_and_holds_up_nothing(shifted, what, monkeypatch, tmp_path):
    seconds = 0.05 if what == "slow" else 60
    shifted.settings = load_settings(overrides=[f"drift.evidently_seconds={seconds}"])
    if what == "broken":
        (tmp_path / "evidently").mkdir()
        (tmp_path / "evidently" / "__init__.py").write_text("raise ImportError('evidently is broken')")
        monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    shifted.live_organically(60, 80)
    shifted.today = 80.1
    facts = shifted.watch().look(wait=True)
    assert facts["detected"]
    assert facts["report"] == ""
    assert ("longer than" if what == "slow" else "evidently is broken") in facts["report_note"]
