import json
import os
import signal
import subprocess
import sys

import polars as pl
import pytest
from prometheus_client import generate_latest

from components.recsys.clock import set_clock
from components.recsys.ledger import Ledger
from components.recsys.statuses import Statuses
from monitoring.watching.exporting import Measures
from monitoring.watching.memory import KEY, Memory
from monitoring.watching.watch import Watch

GONE = ("seconds", "rebuilt", "time")  # what two looks at the same moment may differ in


def said(facts):
    return {name: value for name, value in facts.items() if name not in GONE}


def test_a_quiet_world_is_steady_from_the_first_week_on(quiet):
    watch = quiet.watch()
    for day in range(60, 90, 3):
        quiet.live_organically(day, day + 3)
        facts = quiet.look_on(day + 3.1, watch)
        assert facts["faults"] == []
        assert facts["detected"] == []
    assert "nothing drifts among" in facts["drift_sentence"]
    assert sum(each["judged"] for each in facts["drift"]) >= 9


def test_a_shift_is_seen_within_a_window_and_everybody_is_told(shifted):
    watch = shifted.watch()
    shifted.live_organically(60, 74)
    assert shifted.look_on(74.1, watch)["detected"] == []
    for day in range(74, 81):
        shifted.live_organically(day, day + 1)
        facts = shifted.look_on(day + 1.1, watch)
        if facts["detected"]:
            break
    assert day <= 77
    seen = next(each for each in facts["drift"] if each["feature"] == "organic.class")
    assert seen["detected"]
    assert seen["distance"] > seen["limit"]
    assert seen["p_value"] <= 0.001
    assert "economy" in seen["moved"]
    status = Statuses(shifted.home.store).read("monitor")
    assert status.facts["detected"] == facts["detected"]
    assert json.loads(shifted.home.store.read("monitor/state.json"))["drift_sentence"] == facts["drift_sentence"]
    exposed = generate_latest(watch.measures.registry).decode()
    assert 'everloop_drift_detected{feature="organic.class",kind="data"} 1.0' in exposed
    assert 'everloop_drift_window_events{kind="data"}' in exposed


def test_an_hour_of_the_day_on_which_nothing_is_complete_changes_nothing(shifted):
    shifted.live_organically(60, 76)
    shifted.log_events(shifted.organic.filter(pl.col("timestamp").dt.date() == shifted.clock().date()).to_dicts(), 76)
    watch = shifted.watch()
    morning, evening = (shifted.look_on(day, watch) for day in (76.1, 76.9))
    assert [each["distance"] for each in morning["drift"]] == [each["distance"] for each in evening["drift"]]


def test_after_a_release_trained_on_the_new_ways_the_alarm_resolves(shifted, tmp_path):
    champion = Ledger(shifted.home).champion()
    watch = shifted.watch()
    shifted.live_organically(60, 78)
    shifted.live_with_lists(66, 78, champion)
    assert shifted.look_on(78.1, watch)["detected"]
    shifted.ingest(shifted.organic.filter(pl.col("timestamp").dt.date() < shifted.clock().date()), tmp_path / "new")
    release = shifted.train()
    assert release != champion
    for day in range(78, 88):
        if day % 4 == 3 or day in (78, 86):
            facts = shifted.look_on(day + 0.3, watch)
            assert facts["detected"] == [], day
            assert facts["champion"] == release
        shifted.live_organically(day, day + 1)
        shifted.live_with_lists(day, day + 1, release)
    assert facts["faults"] == []
    judged = {each["feature"] for each in facts["drift"] if each["judged"]}
    assert {"organic.class", "lists.class", "organic.items"} <= judged  # silence is not for want of looking


def test_a_release_put_back_drifts_again(shifted, tmp_path):
    old = Ledger(shifted.home).champion()
    shifted.live_organically(60, 85)
    shifted.today = 85.0
    shifted.ingest(shifted.organic.filter(pl.col("timestamp").dt.date() < shifted.clock().date()), tmp_path / "new")
    shifted.train()
    assert shifted.look_on(85.1)["detected"] == []
    Ledger(shifted.home, shifted.clock).append("rollback", old, "by hand")
    assert "organic.class" in shifted.look_on(85.2)["detected"]


def test_a_restart_goes_on_where_the_last_process_ended(shifted):
    """A process a day says what one long process says, and none starts over."""
    long = shifted.watch()
    for day in range(60, 80, 5):
        shifted.live_organically(day, day + 5)
        together = shifted.look_on(day + 5.1, long)
    assert shifted.home.store.read(KEY) == Memory.read(shifted.home.store).to_bytes()
    alone = shifted.look_on(80.1)
    assert alone["rebuilt"] == ""
    assert said(alone) == said(together)


@pytest.mark.parametrize("when", ["before", "after"])
def test_a_kill_around_the_write_neither_loses_nor_counts_twice(shifted, tmp_path, when):
    shifted.live_organically(60, 70)
    shifted.look_on(70.1)
    shifted.live_organically(70, 78)
    script = f"""
import os, signal
from datetime import datetime
from components.recsys.home import Home
from components.recsys.settings import load_settings
from monitoring.watching.memory import Memory
from monitoring.watching.watch import Watch

write = Memory.write
def dying(self, store):
    if {when!r} == "after":
        write(self, store)
    os.kill(os.getpid(), signal.SIGKILL)

Memory.write = dying
now = datetime.fromisoformat({shifted.clock().isoformat()!r}).replace(month=5, day=18)
Watch(Home({str(shifted.home.local)!r}), load_settings(overrides=["drift.evidently=false", "drift.permutations=1200"]),
      now=lambda: now).look()
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, timeout=60, check=False)
    assert done.returncode == -signal.SIGKILL, done.stderr.decode()
    survived = shifted.look_on(78.1)
    assert survived["rebuilt"] == ""
    shifted.home.store.delete(KEY)
    assert said(shifted.look_on(78.1)) == said(survived)


def test_the_same_events_again_change_nothing(shifted, tmp_path):
    """Segments uploaded twice under other names, and events that a training run has put into the table meanwhile."""
    shifted.live_organically(60, 78)
    once = shifted.look_on(78.1)
    shifted.live_organically(70, 78)
    assert said(shifted.look_on(78.1)) == said(once)
    shifted.ingest(shifted.organic.filter(pl.col("timestamp").dt.date() < shifted.clock().date()), tmp_path / "new")
    again = shifted.look_on(78.1)
    assert "more data in the tables" in again["rebuilt"]
    assert again["drift"] == once["drift"]


def test_broken_segments_and_lines_are_passed_over_and_counted(shifted):
    shifted.live_organically(60, 78)
    clean = shifted.look_on(78.1)
    from components.recsys.predictions import segment

    store = shifted.home.store
    store.write("log/events/2025-05-10/gateway-x1.jsonl.gz", b"\x1f\x8b torn")
    lines = [b"no json", b"[]", b'{"user_id":"u","item_id":"i","timestamp":"yesterday"}', b'{"item_id":1}', b"\xff\xfe"]
    store.write("log/events/2025-05-11/gateway-x2.jsonl.gz", segment(lines))
    store.write("log/predictions/2025-05-11/gateway-x3.jsonl.gz", segment([b'{"request_id": 7}']))
    store.write("log/events/not-a-day/gateway-x4.jsonl.gz", b"")
    watch = shifted.watch()
    shifted.home.store.delete(KEY)
    facts = shifted.look_on(78.1, watch)
    assert facts["faults"] == []
    assert facts["drift"] == clean["drift"]
    assert watch.memory.broken == 7
    assert b'everloop_monitor_broken_total{kind="segments"} 7.0' in generate_latest(watch.measures.registry)


def test_a_clock_that_steps_back_and_on_again(shifted):
    shifted.live_organically(60, 80)
    right = shifted.look_on(80.1)
    watch = shifted.watch()
    shifted.look_on(80.1, watch)
    assert shifted.look_on(77.1, watch)["rebuilt"] == ""  # a few days: the counts reach that far
    assert said(shifted.look_on(80.1, watch)) == said(right)
    assert "set back" in shifted.look_on(62.1, watch)["rebuilt"]
    assert said(shifted.look_on(80.1, watch)) == said(right)
    shifted.look_on(900.1, watch)  # years ahead: all is forgotten, and found again
    assert said(shifted.look_on(80.1, watch)) == said(right)


def test_a_lost_or_foreign_memory_is_made_anew(shifted):
    shifted.live_organically(60, 78)
    right = said(shifted.look_on(78.1))
    for data in (b"", b"x" * 100, shifted.home.store.read(KEY)[:-20]):
        shifted.home.store.write(KEY, data)
        assert said(shifted.look_on(78.1)) == right


def test_a_look_that_fails_is_said_and_counted_and_the_next_one_works(quiet):
    measures = Measures()
    watch = Watch(quiet.home, quiet.settings, measures, now=quiet.clock)
    entry = quiet.home.local / "ledger" / "0000000001.json"
    whole = entry.read_bytes()
    entry.write_bytes(whole.replace(b"trained", b"changed"))
    facts = quiet.look_on(61.0, watch)
    assert "changed by hand" in facts["faults"][0]
    assert "nothing" in facts["drift_sentence"]
    value = measures.registry.get_sample_value
    assert value("everloop_monitor_looks_total", {"outcome": "failed"}) == 1
    assert value("everloop_monitor_last_look_timestamp_seconds") == 0
    entry.write_bytes(whole)
    assert quiet.look_on(61.0, watch)["faults"] == []
    assert value("everloop_monitor_looks_total", {"outcome": "ok"}) == 1
    assert value("everloop_monitor_last_look_timestamp_seconds") > 0


def test_an_empty_home_is_no_fault_and_not_steady_either(tmp_path):
    from components.recsys.home import Home
    from components.recsys.settings import Settings

    watch = Watch(Home(tmp_path / "home"), Settings())
    facts = watch.look()
    assert facts["faults"] == []
    assert facts["drift_sentence"].startswith("nothing is known yet")
    assert watch.measures.registry.get_sample_value("everloop_monitor_last_look_timestamp_seconds") > 0
    assert b"everloop_drift_detected{" not in watch.measures.exposition()


def test_how_old_the_data_are_is_said_by_the_loops_clock(quiet):
    quiet.live_organically(60, 61)
    watch = quiet.watch()
    facts = quiet.look_on(64.0, watch)
    assert 3 * 86_400 < facts["data_age_seconds"]["events"] < 4 * 86_400
    age = watch.measures.registry.get_sample_value("everloop_monitor_data_age_seconds", {"kind": "events"})
    assert age == facts["data_age_seconds"]["events"]


def test_click_rates_exposure_and_what_is_not_final_yet(quiet):
    champion = Ledger(quiet.home).champion()
    watch = quiet.watch()
    quiet.live_with_lists(60, 76, champion)
    facts = quiet.look_on(76.1, watch)
    quality = facts["quality"]
    assert 0.2 < quality["baseline"] < 0.7
    assert quality["rate"] is not None
    assert not quality["alarm"]
    assert quality["immature"] > 0
    assert [each["variant"] for each in quality["variants"]] == ["champion"]
    assert 0.5 < quality["gini"] < 1
    assert 0.2 < quality["coverage"] <= 1
    assert quality["explored"] == 0
    value = watch.measures.registry.get_sample_value
    assert value("everloop_click_rate", {"variant": "champion", "release": champion}) == pytest.approx(
        quality["variants"][0]["click_rate"]
    )
    assert value("everloop_click_rate_dropped") == 0
    assert value("everloop_exposure_gini") == pytest.approx(quality["gini"])


def test_looks_on_object_storage(quiet, s3_url):
    from components.recsys.home import Home

    quiet.live_organically(60, 64)
    there = Home(s3_url)
    for key in quiet.home.store.list():
        if not key.endswith(".lock"):
            there.store.write(key, quiet.home.store.read(key))
    here = quiet.look_on(64.1)
    facts = Watch(there, quiet.settings, now=quiet.clock).look()
    assert facts["drift"] == here["drift"]


def test_the_process_serves_metrics_and_ends_on_sigterm(quiet, tmp_path):
    import urllib.request

    quiet.live_organically(60, 68)
    quiet.today = 68.1
    set_clock(tmp_path / "clock", quiet.clock())
    command = [sys.executable, "-m", "pipelines.cli", "monitor", "--home", str(quiet.home.local), "--json"]
    command += ["--set", "drift.port=0", "--set", "drift.interval_seconds=0.2", "--set", "drift.evidently=false"]
    environment = {**os.environ, "EVERLOOP_CLOCK": str(tmp_path / "clock")}
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment
    ) as process:
        try:
            url = json.loads(process.stdout.readline())["metrics"]
            assert "metrics at" in process.stderr.readline()
            assert "nothing drifts among" in process.stderr.readline()
            with urllib.request.urlopen(url, timeout=10) as answer:
                exposed = answer.read().decode()
            assert 'everloop_drift_detected{feature="organic.class",kind="data"} 0.0' in exposed
            assert 'everloop_monitor_looks_total{outcome="ok"}' in exposed
            process.send_signal(signal.SIGTERM)
            assert process.wait(timeout=20) == 0
        finally:
            process.kill()


def test_between_two_looks_the_monitor_says_that_it_is_alive(monkeypatch):
    import threading

    from monitoring.watching import server

    monkeypatch.setattr(server, "BEAT_SECONDS", 0.05)
    beats: list[int] = []

    def beat():
        beats.append(1)
        raise OSError("the disk is full: no reason to die")

    server.wait(threading.Event(), 0.4, beat)
    assert len(beats) >= 2
    ended = threading.Event()
    ended.set()
    server.wait(ended, 60, beat)  # comes back at once


def test_a_home_that_cannot_be_read_is_not_told_to_be_empty(quiet):
    for part in (quiet.home.local / "tables" / "events").glob("*.parquet"):
        part.unlink()
    facts = quiet.look_on(61)
    assert facts["drift_sentence"] == "nothing is known yet: the home cannot be read"
    assert any(fault.startswith("reading: ") for fault in facts["faults"])
