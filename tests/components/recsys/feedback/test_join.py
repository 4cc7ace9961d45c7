"""Which list an event belongs to, and labels that are null until they are final."""

from datetime import UTC, datetime, timedelta
from itertools import pairwise

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from components.recsys.feedback.frames import EVENTS, IMPRESSIONS
from components.recsys.feedback.join import JOINED, attributed, click_rates, joined
from components.recsys.feedback.tables import parquet
from components.recsys.settings import FeedbackSettings

START = datetime(2026, 11, 1, tzinfo=UTC)
HOUR = timedelta(hours=1)
SETTINGS = FeedbackSettings(
    attribution_seconds=6 * 3600, maturity_seconds={"booking": 48 * 3600}, default_maturity_seconds=12 * 3600
)
LATER = START + timedelta(days=30)


def shown(*lists):
    """(request id, user, hour, items), one letter an item."""
    rows = [
        (request, START + hour * HOUR, user, "champion", "a", "", 0, "", "", False, place, item, 1.0, 0.5)
        for request, user, hour, items in lists
        for place, item in enumerate(items, start=1)
    ]
    return pl.DataFrame(rows, schema=IMPRESSIONS, orient="row")


def done(*events):
    """(event id, user, item, hour, kind, request id)."""
    rows = [
        (own, START + hour * HOUR, user, item, kind, 2.5 if kind == "booking" else None, request)
        for own, user, item, hour, kind, request in events
    ]
    return pl.DataFrame(rows, schema=EVENTS, orient="row")


def clicked(frame):
    """(request id, item) of every place with a click, as often as it was clicked."""
    return [(row["request_id"], row["item"]) for row in frame.iter_rows(named=True) for _ in range(row["clicks"] or 0)]


def test_a_request_id_names_the_list():
    lists = shown(("r1", "u", 0, "xy"), ("r2", "u", 1, "xy"))
    frame = joined(lists, done(("e", "u", "x", 2, "click", "r1")), SETTINGS, LATER)
    assert clicked(frame) == [("r1", "x")]


def test_a_named_list_that_did_not_show_the_item_is_passed_over_for_the_latest_that_did():
    lists = shown(("r1", "u", 0, "xy"), ("r2", "u", 1, "z"))
    frame = joined(lists, done(("e", "u", "x", 2, "click", "r2"), ("f", "u", "y", 2, "click", "r9")), SETTINGS, LATER)
    assert clicked(frame) == [("r1", "x"), ("r1", "y")]


def test_a_named_list_whose_window_has_passed_is_passed_over_too():
    lists = shown(("r1", "u", 0, "x"), ("r2", "u", 20, "x"))
    frame = joined(lists, done(("e", "u", "x", 21, "click", "r1")), SETTINGS, LATER)
    assert clicked(frame) == [("r2", "x")]


def test_without_a_request_id_it_is_the_latest_list_before_the_event_that_showed_the_item_to_the_user():
    lists = shown(
        ("r1", "u", 0, "x"), ("r2", "u", 1, "x"), ("r3", "v", 2, "x"), ("r4", "u", 2, "y"), ("r5", "u", 4, "x")
    )
    frame = joined(lists, done(("e", "u", "x", 3, "click", "")), SETTINGS, LATER)
    assert clicked(frame) == [("r2", "x")]


@pytest.mark.parametrize(("hour", "counts"), [(6, True), (6.01, False), (-0.01, False), (0, True)])
def test_attribution_ends_with_its_window(hour, counts):
    frame = joined(shown(("r1", "u", 0, "x")), done(("e", "u", "x", hour, "click", "")), SETTINGS, LATER)
    assert clicked(frame) == ([("r1", "x")] if counts else [])


@pytest.mark.parametrize(("hour", "counts"), [(12, True), (12.01, False), (-23, True), (-25, False)])
def test_a_named_list_counts_clicks_until_they_are_mature_also_those_of_a_slow_clock(hour, counts):
    frame = joined(shown(("r1", "u", 0, "x")), done(("e", "u", "x", hour, "click", "r1")), SETTINGS, LATER)
    assert clicked(frame) == ([("r1", "x")] if counts else [])


def test_nobodys_list_gets_labels_by_request_id_only():
    lists = shown(("r1", "", 0, "xy"))
    frame = joined(lists, done(("e", "", "x", 1, "click", ""), ("f", "u", "y", 1, "click", "r1")), SETTINGS, LATER)
    assert clicked(frame) == [("r1", "y")]


def test_an_item_shown_twice_in_a_list_is_clicked_in_its_first_place():
    frame = joined(shown(("r1", "u", 0, "xyx")), done(("e", "u", "x", 1, "click", "")), SETTINGS, LATER)
    assert frame["clicks"].to_list() == [1, 0, 0]
    frame = joined(shown(("r1", "u", 0, "xyx")), done(("e", "u", "x", 1, "click", "r1")), SETTINGS, LATER)
    assert frame["clicks"].to_list() == [1, 0, 0]


def test_an_event_for_no_list_labels_nothing():
    hits = attributed(shown(("r1", "u", 0, "x")), done(("e", "w", "x", 1, "click", "")), SETTINGS)
    assert hits["list"].to_list() == [None]
    assert hits["counts"].to_list() == [False]


def test_an_event_that_came_twice_counts_once():
    event = ("e", "u", "x", 1, "click", "")
    frame = joined(shown(("r1", "u", 0, "x")), done(event, event), SETTINGS, LATER)
    assert frame["clicks"].to_list() == [1]


def test_values_of_conversions_are_added_and_other_kinds_label_nothing():
    events = done(("e", "u", "x", 1, "booking", ""), ("f", "u", "x", 2, "booking", ""), ("g", "u", "x", 2, "hide", ""))
    row = joined(shown(("r1", "u", 0, "x")), events, SETTINGS, LATER).row(0, named=True)
    assert (row["clicks"], row["conversions"], row["converted"], row["value"]) == (0, 2, True, 5.0)


def test_a_label_is_null_and_not_zero_until_its_kind_is_mature():
    """A day that is still young must not look like a fall of the click rate."""
    lists = shown(("old", "u", 0, "x"), ("new", "u", 11, "x"))
    events = done(("e", "u", "x", 1, "click", "old"))
    now = START + 13 * HOUR
    frame = joined(lists, events, SETTINGS, now)
    assert frame["clicked"].to_list() == [True, None]
    assert frame["converted"].to_list() == [None, None]
    assert frame["value"].to_list() == [None, None]
    rates = click_rates(frame)
    assert rates.select("lists", "mature", "clicked").row(0) == (2, 1, 1)
    assert joined(lists, events, SETTINGS, START + 48 * HOUR)["converted"].to_list() == [False, None]


def test_click_rates_count_a_list_once_however_often_it_was_clicked():
    lists = shown(("r1", "u", 0, "xyz"), ("r2", "v", 0, "xyz"))
    events = done(("e", "u", "x", 1, "click", ""), ("f", "u", "y", 1, "view", ""), ("g", "u", "x", 2, "click", ""))
    rates = click_rates(joined(lists, events, SETTINGS, LATER))
    assert rates.row(0) == (START.date(), "champion", "a", 2, 2, 1)
    assert click_rates(pl.DataFrame(schema=JOINED)).height == 0


HOURS = st.integers(-4, 60).map(lambda quarter: quarter / 4)
LISTS = st.lists(st.tuples(st.sampled_from(["u", "v", ""]), HOURS, st.text("wxyz", max_size=4)), max_size=6).map(
    lambda lists: [(f"r{number}", *each) for number, each in enumerate(lists)]
)
DONE = st.lists(
    st.tuples(
        st.sampled_from("abcdefgh"),
        st.sampled_from(["u", "v"]),
        st.sampled_from("wxyz"),
        HOURS,
        st.sampled_from(["click", "view", "booking", "hide"]),
        st.sampled_from(["", "", "r0", "r1", "r2", "gone"]),
    ),
    max_size=14,
    unique_by=lambda event: event[0],
)


def told(lists, events):
    """The same in plain Python: (request id, place) of each event that counts, by event id."""
    found = {}
    for own, user, item, hour, kind, request in events:
        window = 48 if kind == "booking" else 12
        named = [
            (r, at, items.index(item) + 1)
            for r, _, at, items in lists
            if r == request and item in items and -24 <= hour - at <= window
        ]
        latest = sorted(
            (at, r, items.index(item) + 1)
            for r, who, at, items in lists
            if who and who == user and item in items and at <= hour <= at + 6
        )
        hit = named[0] if named else (latest[-1][1], latest[-1][0], latest[-1][2]) if latest else None
        if hit and hour - hit[1] <= window:
            found[own] = (hit[0], hit[2], kind)
    return found


@settings(max_examples=80, deadline=None)
@given(lists=LISTS, events=DONE)
def test_every_impression_is_one_row_and_labels_add_up_to_the_events_that_fall_on_them(lists, events):
    frame = joined(shown(*lists), done(*events), SETTINGS, LATER)
    assert frame.height == sum(len(items) for *_, items in lists)
    expected = told(lists, events)
    for labels, kinds in (("clicks", ("click", "view")), ("conversions", ("booking",))):
        assert frame[labels].sum() == sum(kind in kinds for *_, kind in expected.values())
        assert frame[labels].null_count() == 0
        for request, place, kind in expected.values():
            at = frame.filter((pl.col("request_id") == request) & (pl.col("place") == place))
            assert at[labels].to_list() == [
                sum((r, p) == (request, place) and k in kinds for r, p, k in expected.values())
            ], kind
    assert frame["value"].sum() == 2.5 * frame["conversions"].sum()


@settings(max_examples=30, deadline=None)
@given(lists=LISTS, events=DONE, order=st.randoms(use_true_random=False))
def test_the_order_of_arrival_and_repeated_records_change_no_byte(lists, events, order):
    frame = joined(shown(*lists), done(*events), SETTINGS, LATER)
    again = lists + order.sample(lists, len(lists) // 2)
    repeated = events + order.sample(events, len(events) // 2)
    order.shuffle(again)
    order.shuffle(repeated)
    assert parquet(joined(shown(*again), done(*repeated), SETTINGS, LATER)) == parquet(frame)


@settings(max_examples=30, deadline=None)
@given(lists=LISTS, events=DONE)
def test_a_label_once_final_stays_what_it_is(lists, events):
    frames = [joined(shown(*lists), done(*events), SETTINGS, START + hour * HOUR) for hour in (0, 13, 20, 50, 70)]
    for before, after in pairwise(frames):
        for label in ("clicks", "conversions", "value"):
            kept = before[label].is_not_null()
            assert before[label].filter(kept).equals(after[label].filter(kept))
