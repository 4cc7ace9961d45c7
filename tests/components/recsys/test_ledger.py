import json
import subprocess
import sys
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from components.recsys.errors import Refused
from components.recsys.home import Home
from components.recsys.ledger import Ledger

T0 = datetime(2026, 11, 1, tzinfo=UTC)


class Clock:
    """A clock that tests turn, backwards too."""

    def __init__(self) -> None:
        self.now = T0

    def __call__(self) -> datetime:
        return self.now


def test_a_new_ledger_has_no_entry_and_no_champion(store_url: str) -> None:
    ledger = Ledger(Home(store_url))
    assert ledger.entries() == []
    assert ledger.champion() == ""
    assert ledger.last_move(T0) is None


def test_only_promotions_and_rollbacks_move_the_champion(store_url: str) -> None:
    ledger = Ledger(Home(store_url), Clock())
    for action, release, champion in (
        ("reject", "a", ""),
        ("promote", "a", "a"),
        ("reject", "b", "a"),
        ("promote", "c", "c"),
        ("rollback", "a", "a"),
    ):
        entry = ledger.append(action, release, "why", run="run-1")  # type: ignore[arg-type]
        assert (entry.champion, ledger.champion()) == (champion, champion)
    assert [entry.previous_champion for entry in ledger.entries()] == ["", "", "a", "a", "c"]
    assert (ledger.last_move() or entry).action == "rollback"


def test_a_decision_about_a_champion_that_changed_is_refused_and_leaves_no_entry(store_url: str) -> None:
    ledger = Ledger(Home(store_url))
    ledger.append("promote", "a", "first", expect_champion="")
    with pytest.raises(Refused, match="the champion changed in the meantime"):
        ledger.append("promote", "b", "too late", expect_champion="")
    assert [entry.release for entry in ledger.entries()] == ["a"]


def test_a_clock_set_back_does_not_reorder_history(store_url: str) -> None:
    clock = Clock()
    ledger = Ledger(Home(store_url), clock)
    ledger.append("promote", "a", "first")
    clock.now = T0 - timedelta(days=400)
    later = ledger.append("promote", "b", "second, by a clock that is wrong")
    assert later.time == ledger.entries()[0].time
    assert ledger.champion(T0) == "b"
    assert ledger.champion(T0 - timedelta(seconds=1)) == ""


moves = st.tuples(st.sampled_from(["promote", "reject", "rollback"]), st.sampled_from("abc"), st.integers(-5, 600))


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(history=st.lists(moves, max_size=8), asked=st.integers(-10, 3000))
def test_who_served_at_a_time_is_whom_the_last_move_before_it_put_there(
    tmp_path: Path, history: list[Any], asked: int
) -> None:
    clock = Clock()
    ledger = Ledger(Home(tmp_path / str(time.monotonic_ns())), clock)
    serving, latest = [(T0 - timedelta(days=1), "")], T0 - timedelta(days=1)
    for action, release, wait in history:
        clock.now += timedelta(seconds=wait)
        latest = max(latest, clock.now)
        ledger.append(action, release, "why")
        if action in ("promote", "rollback"):
            serving.append((latest, release))
    moment = T0 + timedelta(seconds=asked)
    assert ledger.champion(moment) == [release for since, release in serving if since <= moment][-1]


WRITER = """
import sys, time
from components.recsys.errors import Refused
from components.recsys.home import Home
from components.recsys.ledger import Ledger
ledger, start, name = Ledger(Home(sys.argv[1])), float(sys.argv[2]), sys.argv[3]
time.sleep(max(0, start - time.time()))
try:
    ledger.append("promote", f"{name}-first", "race", expect_champion="")
    print("first")
except Refused:
    print("late")
for number in range(4):
    ledger.append("promote", f"{name}{number}", "race")
"""


def test_processes_that_append_at_once_leave_no_gap_lose_nothing_and_one_alone_is_first(store_url: str) -> None:
    start = str(time.time() + 3)
    command = [sys.executable, "-c", WRITER, store_url, start]
    writers = [subprocess.Popen([*command, name], stdout=subprocess.PIPE, text=True) for name in "abc"]
    assert sorted(writer.communicate(timeout=120)[0] for writer in writers) == ["first\n", "late\n", "late\n"]
    entries = Ledger(Home(store_url)).entries()  # checks the chain
    assert [entry.sequence for entry in entries] == list(range(1, 14))
    assert entries[0].release.endswith("-first")
    assert {entry.release for entry in entries[1:]} == {f"{name}{number}" for name in "abc" for number in range(4)}
    assert [entry.previous_champion for entry in entries] == ["", *(entry.champion for entry in entries[:-1])]


@pytest.fixture
def written(store_url: str) -> Home:
    """A home with three decisions; evidence holds what JSON can spell in two ways."""
    home = Home(store_url)
    for number, release in enumerate("abc"):
        evidence = {"p": 1e-7 * number, "ndcg": 0.25, "name": "café ✓", "nested": {"none": None, "yes": True}}
        Ledger(home, Clock()).append("promote", release, f"nDCG +{number}", "run", evidence)
    return home


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(number=st.integers(1, 3), position=st.integers(0, 10**6), flip=st.integers(1, 255))
def test_a_changed_byte_in_any_entry_is_refused(written: Home, number: int, position: int, flip: int) -> None:
    key = f"ledger/{number:010d}.json"
    whole = written.store.read(key)
    changed = bytearray(whole)
    changed[position % len(whole)] ^= flip
    written.store.write(key, bytes(changed))
    try:
        with pytest.raises(Refused, match="changed by hand"):
            Ledger(written).entries()
    finally:
        written.store.write(key, whole)
    assert len(Ledger(written).entries()) == 3


def test_a_removed_a_renumbered_and_a_foreign_entry_are_refused(written: Home) -> None:
    ledger, store = Ledger(written), written.store
    first, second = store.read("ledger/0000000001.json"), store.read("ledger/0000000002.json")
    store.delete("ledger/0000000001.json")
    with pytest.raises(Refused):
        ledger.entries()
    store.write("ledger/0000000001.json", second)
    store.write("ledger/0000000002.json", first)
    with pytest.raises(Refused):
        ledger.entries()
    store.write("ledger/0000000001.json", first)
    store.write("ledger/0000000002.json", second)
    assert len(ledger.entries()) == 3
    for foreign in (b"", b"[]", b"{}", b"\xff", b'{"sequence": 4}', b"[" * 100_000):
        store.write("ledger/0000000004.json", foreign)
        with pytest.raises(Refused):
            ledger.entries()


def test_an_entry_with_a_hash_of_its_own_but_another_past_is_refused(written: Home, tmp_path_factory: Any) -> None:
    """Somebody who rewrites history must rewrite everything after it."""
    other = Home(tmp_path_factory.mktemp("other") / "home")
    Ledger(other, Clock()).append("promote", "evil", "never happened")
    written.store.write("ledger/0000000001.json", other.store.read("ledger/0000000001.json"))
    with pytest.raises(Refused, match="does not fit the one before"):
        Ledger(written).entries()


def test_a_writer_that_lost_a_race_puts_its_entry_after_the_winner(store_url: str) -> None:
    home = Home(store_url)
    slow = Ledger(home, Clock())
    create, overtaken = home.store.create, []

    def overtake(key: str, data: bytes) -> bool:
        if not overtaken:
            overtaken.append(key)
            Ledger(Home(store_url), Clock()).append("promote", "fast", "first")
        return create(key, data)

    home.store.create = overtake  # type: ignore[method-assign]
    assert slow.append("promote", "slow", "second").sequence == 2
    assert [entry.release for entry in slow.entries()] == ["fast", "slow"]


def test_entries_are_json_that_people_can_read(written: Home) -> None:
    entry = json.loads(written.store.read("ledger/0000000002.json"))
    assert (entry["sequence"], entry["action"], entry["release"], entry["champion"]) == (2, "promote", "b", "b")
    assert entry["previous_hash"] == json.loads(written.store.read("ledger/0000000001.json"))["hash"]
