"""The joined tables over days: restated while open, closed for ever, the same from any replay."""

import gzip
import hashlib
import json
import shutil
from datetime import date, timedelta

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from components.recsys.errors import Refused
from components.recsys.feedback.frames import event_of, events_of, impressions_of
from components.recsys.feedback.join import joined
from components.recsys.feedback.tables import TABLES, JoinedTables
from components.recsys.home import Home
from components.recsys.predictions import EVENTS, PREDICTIONS, prediction_of, segment
from components.recsys.settings import FeedbackSettings

SETTINGS = FeedbackSettings(
    attribution_seconds=24 * 3600, maturity_seconds={"booking": 48 * 3600}, default_maturity_seconds=24 * 3600
)
DAY0 = date(2026, 11, 1)
OVER = 72  # hours from the start of a day to its close: the day, and two days for bookings


def written(home):
    """The bytes of everything under log/joined."""
    return {key: home.store.read(key) for key in home.store.list(TABLES)}


def clicks(tables, day=DAY0):
    return tables.read(day, day)["clicks"].to_list()


def test_a_late_event_restates_an_open_day_and_not_a_closed_one(log):
    log.lists(1, log.shown("r1", "u", 1, "xy"))
    log.events(2, log.event("e1", "u", "x", 2))
    tables = JoinedTables(log.home, SETTINGS)
    assert tables.update(log.at(3)).attributed == 1
    assert clicks(tables) == [None, None]
    tables.update(log.at(30))
    assert clicks(tables) == [1, 0]

    log.events(40, log.event("late", "u", "y", 20))
    assert tables.update(log.at(41)).written == (DAY0,)
    assert clicks(tables) == [1, 1]

    assert tables.update(log.at(OVER - 1)).closed == ()
    assert tables.update(log.at(OVER)).closed == (DAY0,)
    before = written(log.home)
    marker = json.loads(before[f"{TABLES}/2026-11-01.closed.json"])
    assert marker["sha256"] == hashlib.sha256(before[f"{TABLES}/2026-11-01.parquet"]).hexdigest()
    assert (marker["impressions"], marker["clicks"]) == (2, 2)
    assert tables.days() == {DAY0: True}

    log.events(OVER + 1, log.event("booked", "u", "y", 21, "booking", value=3.5), log.event("e1", "u", "x", 2))
    log.lists(OVER + 1, log.shown("r9", "u", 3, "z"))
    summary = tables.update(log.at(OVER + 2))
    assert (summary.too_late, summary.late_lists, summary.attributed) == (1, 1, 0)
    assert tables.update(log.at(OVER + 3)).too_late == 0  # told once
    assert {key: data for key, data in written(log.home).items() if key in before} == before


def test_what_belongs_to_no_list_is_told(log):
    log.lists(1, log.shown("r1", "u", 1, "xy"), log.shown("s", "u", 1, "z", variant="shadow"))
    log.events(
        2, log.event("e1", "w", "x", 2), log.event("e2", "u", "z", 2), log.event("e3", "u", "x", 40, request="r1")
    )
    summary = JoinedTables(log.home, SETTINGS).update(log.at(41))
    assert (summary.lists, summary.events, summary.unattributed, summary.outside) == (1, 3, 3, 0)


def test_an_event_on_the_next_day_labels_the_day_of_its_list(log):
    log.lists(23, log.shown("r1", "u", 23, "x"))
    log.events(25, log.event("e1", "u", "x", 25))
    tables = JoinedTables(log.home, SETTINGS)
    tables.update(log.at(60))
    assert clicks(tables) == [1]


def test_broken_lines_and_damaged_segments_are_counted_and_stop_nothing(log):
    log.lists(1, log.shown("r1", "u", 1, "x"), b'{"request_id":"torn', b"[]")
    log.events(2, log.event("e1", "u", "x", 2), b"null", b'{"user_id":"u"}')
    log.home.store.create(f"{EVENTS}/2026-11-01/damaged.jsonl.gz", segment([b"{}"])[:-9])
    log.home.store.create(f"{PREDICTIONS}/notes.txt", b"no segment")
    tables = JoinedTables(log.home, SETTINGS)
    summary = tables.update(log.at(30))
    assert (summary.lists, summary.events, summary.broken) == (1, 1, 5)
    assert clicks(tables) == [1]
    assert tables.update(log.at(31)).broken == 0


def test_a_closed_day_that_somebody_changed_is_not_believed(log):
    log.lists(1, log.shown("r1", "u", 1, "x"))
    tables = JoinedTables(log.home, SETTINGS)
    tables.update(log.at(OVER))
    key = f"{TABLES}/2026-11-01.parquet"
    log.home.store.write(key, log.home.store.read(key)[:-1] + b"!")
    with pytest.raises(Refused, match=r"2026-11-01\.parquet was changed after it was closed"):
        JoinedTables(log.home, SETTINGS).read(DAY0, DAY0)


def test_days_without_a_table_have_no_rows(log):
    frame = JoinedTables(log.home, SETTINGS).read(DAY0, DAY0 + timedelta(days=3))
    assert frame.height == 0
    assert "clicked" in frame.columns


def test_only_what_concerns_open_days_is_held(log):
    tables = JoinedTables(log.home, SETTINGS)
    for day in range(12):
        hours = 24 * day + 1
        log.lists(hours, log.shown(f"r{day}", "u", hours, "xy"))
        log.events(hours + 1, log.event(f"e{day}", "u", "x", hours + 1))
        tables.update(log.at(hours + 2))
        assert len(tables.lists) <= 3
        assert tables.events.height <= 6
        assert len(tables.fates) <= 6
        assert len(tables.folders.seen) <= 8
    assert list(tables.days().values()) == [True] * 9 + [False] * 3
    assert tables.read(DAY0, DAY0 + timedelta(days=8))["clicks"].to_list() == [1, 0] * 9


def test_a_new_process_goes_on_from_the_open_days_alone(log):
    for day in range(8):
        hours = 24 * day + 1
        log.lists(hours, log.shown(f"r{day}", "u", hours, "xy"))
        log.events(hours + 1, log.event(f"e{day}", "u", "x", hours + 1))
    JoinedTables(log.home, SETTINGS).update(log.at(24 * 8))
    before = written(log.home)
    summary = JoinedTables(log.home, SETTINGS).update(log.at(24 * 8))
    assert summary.segments <= 6
    assert (summary.too_late, summary.late_lists, summary.unattributed) == (0, 0, 0)
    assert written(log.home) == before


def test_the_tables_of_a_home_in_object_storage_are_the_same(store_url, logs):
    log = logs(Home(store_url))
    log.lists(1, log.shown("r1", "u", 1, "xy"))
    log.events(2, log.event("e1", "u", "x", 2))
    tables = JoinedTables(log.home, SETTINGS)
    tables.update(log.at(OVER))
    assert clicks(tables) == [1, 0]
    assert tables.days() == {DAY0: True}
    before = written(log.home)
    assert JoinedTables(log.home, SETTINGS).update(log.at(OVER + 1)).lists == 0
    assert written(log.home) == before


HOURS = st.integers(0, 24 * 7 - 1)
LISTS = st.lists(st.tuples(HOURS, st.sampled_from(["u", "v"]), st.sampled_from(["x", "xy", "yz", ""])), max_size=8)
DONE = st.lists(
    st.tuples(
        HOURS,
        st.integers(0, 90),  # hours until it is exported
        st.sampled_from(["u", "v"]),
        st.sampled_from("xyz"),
        st.sampled_from(["click", "booking"]),
        st.sampled_from(["", "r0", "r1", "r2", "gone"]),
    ),
    max_size=10,
)
LOOKS = st.lists(st.tuples(st.integers(0, 24 * 9), st.booleans()), max_size=6)
COMMON = settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def written_log(log, lists, events):
    """(hour at which it is there, key, bytes) of every segment, oldest first."""
    rows = [(at, PREDICTIONS, log.shown(f"r{n}", user, at, items)) for n, (at, user, items) in enumerate(lists)]
    for number, (at, wait, user, item, kind, request) in enumerate(events):
        line = log.event(f"e{number}", user, item, at, kind, request or None, value=1.25)
        rows.append((at + wait, EVENTS, line))
    return sorted(
        (hour, f"{prefix}/{log.at(hour):%Y-%m-%d}/w-{number:03d}.jsonl.gz", segment([line]))
        for number, (hour, prefix, line) in enumerate(rows)
    )


@COMMON
@given(lists=LISTS, events=DONE, looks=LOOKS, order=st.randoms(use_true_random=False))
def test_replayed_from_nothing_in_another_order_and_repeated_the_tables_are_the_same_bytes(
    tmp_path_factory, logs, lists, events, looks, order
):
    """The tables that grew hour by hour, processes coming and going, and those made in one go afterwards."""
    folder = tmp_path_factory.mktemp("replay")
    live = logs(Home(folder / "live"))
    segments = written_log(live, lists, events)
    tables, closed = JoinedTables(live.home, SETTINGS), {}
    for hour, restart in sorted([*looks, (24 * 12, False)]):
        for _, key, data in [each for each in segments if each[0] <= hour]:
            live.home.store.create(key, data)
        tables = JoinedTables(live.home, SETTINGS) if restart else tables
        tables.update(live.at(hour))
        now = written(live.home)
        assert closed.items() <= now.items(), "a closed day changed"
        days = {key.removesuffix(".closed.json") for key in now if key.endswith(".closed.json")}
        closed = {key: data for key, data in now.items() if key.removesuffix(".parquet") in days}

    again = Home(folder / "again")
    shutil.copytree(folder / "live/keys", folder / "again/keys")
    order.shuffle(segments)
    for number, (_, key, data) in enumerate(segments):
        again.store.create(key.replace("/w-", f"/{order.randrange(1000):03d}-{number}-"), data)
        if order.random() < 0.4:
            again.store.create(key.replace("/w-", f"/copy-{number}-"), data)
    JoinedTables(again, SETTINGS).update(live.at(24 * 12))
    assert written(again) == written(live.home)
    shutil.rmtree(folder)


@COMMON
@given(lists=LISTS, events=DONE)
def test_while_nothing_is_late_the_closed_tables_are_the_join_of_everything(tmp_path_factory, logs, lists, events):
    folder = tmp_path_factory.mktemp("sums")
    log = logs(Home(folder))
    segments = written_log(log, lists, [(at, 0, *more) for at, _, *more in events])
    for _, key, data in segments:
        log.home.store.create(key, data)
    tables = JoinedTables(log.home, SETTINGS)
    summary = tables.update(log.at(24 * 12))
    assert (summary.lists, summary.events, summary.too_late) == (len(lists), len(events), 0)
    assert set(tables.days().values()) <= {True}

    lines = {
        prefix: [gzip.decompress(data) for _, key, data in segments if prefix in key]
        for prefix in (PREDICTIONS, EVENTS)
    }
    shown = impressions_of(map(prediction_of, lines[PREDICTIONS]))
    done = events_of(event_of(line, log.secret) for line in lines[EVENTS])
    expected = joined(shown, done, SETTINGS, log.at(24 * 12))
    assert expected.height == sum(len(items) for *_, items in lists)
    assert tables.read(DAY0, DAY0 + timedelta(days=7)).equals(expected)
    shutil.rmtree(folder)
