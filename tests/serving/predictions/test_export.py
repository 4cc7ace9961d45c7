"""Accepted feedback reaches the home exactly once, whatever is killed in between."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry

from components.recsys.errors import StoreError
from components.recsys.events import ingest, read_latest_events
from components.recsys.home import Home
from components.recsys.predictions import EVENTS, segments
from components.recsys.settings import DataSettings
from components.recsys.store import FolderStore, open_store
from serving.history import Feedback, open_history
from serving.predictions import export as exports
from serving.predictions.export import EventExport, line_of

AT = 1_700_000_000_123_456


def event(number, value=None, request=""):
    return Feedback(f"u{number % 3}", f"i{number}", AT + number * 1_000_000, "click", value, request, f"e{number}")


def exported(store):
    """Event ids as they lie in the home, repeated ones too."""
    return [json.loads(line)["event_id"] for _, lines in segments(store, EVENTS, set()) for line in lines]


def made(history, store, interval=0.02):
    return EventExport(history, store, "gateway.1", interval, CollectorRegistry())


@pytest.fixture
def history(tmp_path):
    opened = open_history(f"sqlite://{tmp_path}/online/history.sqlite", 50)
    yield opened
    opened.close()


def test_accepted_events_lie_in_the_home_in_the_columns_of_the_event_table(history, store_url):
    store = open_store(store_url)
    history.append([event(1, 2.5, "r1"), event(2)])
    export = made(history, store)
    export.start()
    history.append([event(3)])
    export.close()
    assert exported(store) == ["e1", "e2", "e3"]
    rows = [json.loads(line) for _, lines in segments(store, EVENTS, set()) for line in lines]
    first = {"user_id": "u1", "item_id": "i1", "timestamp": "2023-11-14T22:13:21.123456+00:00", "event": "click"}
    assert rows[0] == {**first, "value": 2.5, "event_id": "e1", "request_id": "r1"}
    assert (rows[1]["value"], rows[1]["request_id"]) == (None, None)
    assert export.facts()["exported"] == 3
    assert export.facts()["fault"] == ""

    home = Home(store_url)
    ingest(home, {"events": [f"{home.url}/{key}" for key in store.list(EVENTS)]}, DataSettings())
    table = read_latest_events(home).sort("event_id")
    assert table["event_id"].to_list() == ["e1", "e2", "e3"]
    assert table["value"].to_list() == [2.5, None, None]
    assert table["request_id"].to_list() == ["r1", None, None]
    assert table["timestamp"][0].microsecond == AT % 1_000_000


def test_a_restart_goes_on_where_the_home_is(history, tmp_path):
    store = open_store(str(tmp_path / "home"))
    history.append([event(number) for number in range(5)])
    export = made(history, store)
    export.start()
    export.close()
    history.append([event(number) for number in range(3, 9)])
    again = made(history, store)
    again.turn()
    again.turn()
    assert exported(store) == [f"e{number}" for number in range(9)]
    assert len(store.list(EVENTS)) == 2


def test_many_events_become_several_segments(history, tmp_path, monkeypatch):
    monkeypatch.setattr(exports, "ROWS", 10)
    store = open_store(str(tmp_path / "home"))
    history.append([event(number) for number in range(25)])
    made(history, store).turn()
    assert len(store.list(EVENTS)) == 3
    assert exported(store) == [f"e{number}" for number in range(25)]


def test_a_history_made_anew_is_another_history(tmp_path):
    """Its rows begin with 1 again, which the home has seen."""
    store = open_store(str(tmp_path / "home"))
    for name in ("first", "second"):
        history = open_history(f"sqlite://{tmp_path}/{name}.sqlite", 50)
        history.append([event(1 if name == "first" else 2)])
        made(history, store).turn()
        history.close()
    assert sorted(exported(store)) == ["e1", "e2"]


def test_of_two_exporters_of_a_history_one_works_and_the_other_takes_over(history, tmp_path):
    store = open_store(str(tmp_path / "home"))
    first, second = made(history, store), made(history, store)
    history.append([event(1)])
    first.turn()
    history.append([event(2)])
    second.turn()
    assert exported(store) == ["e1"]
    first.start()
    first.close()
    history.append([event(3)])
    second.turn()
    assert exported(store) == ["e1", "e2", "e3"]


class Killed(BaseException):
    """Ends everything at once, as a signal does."""


class Fragile(FolderStore):
    """Does what the plan says at each put: work, fail before, fail after (the answer was lost), be killed either way."""

    def __init__(self, url, plan):
        super().__init__(url)
        self.plan = iter(plan)

    def create(self, key, data):
        fate = next(self.plan, "work")
        if fate == "killed before":
            raise Killed
        if fate == "fails before":
            raise StoreError("the sink is dead")
        done = super().create(key, data)
        if fate == "killed after":
            raise Killed
        if fate == "fails after":
            raise StoreError("the answer was lost")
        return done


FATES = st.sampled_from(["work", "killed before", "killed after", "fails before", "fails after"])


@settings(max_examples=25, deadline=None)
@given(plan=st.lists(FATES, max_size=8), batches=st.lists(st.integers(1, 5), min_size=1, max_size=8))
def test_exported_is_accepted_once_each_whatever_fails_in_between(tmp_path_factory, plan, batches):
    folder = tmp_path_factory.mktemp("fragile")
    history = open_history(f"sqlite://{folder}/history.sqlite", 50)
    store, accepted = Fragile(str(folder / "home"), plan), []
    export = made(history, store)
    for size in batches:
        events = [event(len(accepted) + number) for number in range(size)]
        history.append(events)
        accepted += [each.event_id for each in events]
        try:
            export.turn()
        except Killed:
            if export.lock is not None:
                os.close(export.lock)  # the kernel frees a dead process's lock
            export = made(history, store)
    store.plan = iter(())
    export.turn()
    assert export.facts()["fault"] == ""
    assert exported(store) == accepted
    if export.lock is not None:
        os.close(export.lock)
    history.close()


def test_a_dead_sink_is_told_and_counted_and_passes(history, tmp_path):
    store = Fragile(str(tmp_path / "home"), ["fails before"])
    export = made(history, store)
    history.append([event(1)])
    export.turn()
    assert export.facts()["fault"] == "the sink is dead"
    assert export.measures.failed._value.get() == 1
    export.turn()
    assert export.facts()["fault"] == ""
    assert exported(store) == ["e1"]


def test_a_process_killed_in_the_middle_has_exported_each_event_once_after_its_restart(tmp_path):
    program = f"""
import os, signal, threading, time
from prometheus_client import CollectorRegistry
from components.recsys.store import open_store
from serving.history import Feedback, open_history
from serving.predictions.export import EventExport
history = open_history("sqlite://{tmp_path}/history.sqlite", 50)
export = EventExport(history, open_store("{tmp_path}/home"), "gateway", 0.001, CollectorRegistry())
start = len(history.feedback())
export.start()
threading.Timer(0.25, lambda: os.kill(os.getpid(), signal.SIGKILL)).start()
for n in range(start, start + 100000):
    assert history.append([Feedback("a", str(n), n * 1000000, "click", None, "", f"e{{n}}")]) == [True]
"""
    for _ in range(2):
        done = subprocess.run(
            [sys.executable, "-c", program], capture_output=True, text=True, timeout=60, cwd=Path.cwd()
        )
        assert done.returncode == -signal.SIGKILL, done.stderr
    history = open_history(f"sqlite://{tmp_path}/history.sqlite", 50)
    store = open_store(str(tmp_path / "home"))
    before = len(exported(store))
    made(history, store).turn()
    accepted = history.feedback()["event_id"].to_list()
    assert sorted(exported(store)) == sorted(accepted)
    assert 0 < before <= len(accepted)
    history.close()


def test_a_time_of_whole_seconds_is_written_like_all_others():
    assert b'"2023-11-14T22:13:20.000000+00:00"' in line_of(
        Feedback("u", "i", 1_700_000_000_000_000, "c", None, "", "e")
    )
