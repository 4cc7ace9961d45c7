import signal
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from components.recsys.errors import InputError, StoreError
from serving.history import Feedback, SQLiteHistory, open_history


@pytest.fixture(params=["sqlite", "memory", "redis"])
def history(request, tmp_path):
    urls = {"sqlite": f"sqlite://{tmp_path}/online/history.sqlite", "memory": "memory://"}
    url = urls.get(request.param) or request.getfixturevalue("redis_url")
    opened = open_history(url, limit=5)
    yield opened
    opened.close()


def event(item, at=0, user="a", kind="click", own=None):
    return Feedback(user, item, at, kind, None, "", own or f"{user}/{item}/{at}/{kind}")


def table(*rows):
    columns = {"user_id": pl.String, "item_id": pl.String, "timestamp": pl.Datetime("us", "UTC"), "event": pl.String}
    moments = [(user, item, datetime.fromtimestamp(at / 1e6, UTC), "click") for user, item, at in rows]
    return pl.DataFrame(moments, schema=columns, orient="row")


def items(history, user="a"):
    return [item for item, _ in history.read(user)]


def test_nobody_has_an_empty_history(history):
    assert history.read("nobody") == []


def test_a_history_is_in_the_order_of_time_whatever_the_order_of_arrival(history):
    history.append([event("x", 3), event("y", 1)])
    history.append([event("z", 2)])
    assert history.read("a") == [("y", "click"), ("z", "click"), ("x", "click")]


def test_only_the_newest_count(history):
    history.append([event(f"{n}", n) for n in range(9)])
    assert items(history) == ["4", "5", "6", "7", "8"]
    history.append([event("older", 1, own="late")])
    assert items(history) == ["4", "5", "6", "7", "8"]


def test_an_event_id_is_taken_once_also_inside_one_batch(history):
    assert history.append([event("x", own="1"), event("y", own="1"), event("z", own="2")]) == [True, False, True]
    assert history.append([event("w", own="2")]) == [False]
    assert sorted(items(history)) == ["x", "z"]


def test_seeding_puts_the_event_table_beneath_the_feedback(history):
    history.append([event("mine", 5), event("both", 2)])
    assert history.seed(table(("a", "old", 1), ("a", "both", 2), ("b", "other", 1)), version=3)
    assert items(history) == ["old", "both", "mine"]
    assert items(history, "b") == ["other"]
    assert history.seeded() == 3


def test_a_version_is_seeded_once_and_an_older_one_never(history):
    assert history.seed(table(("a", "x", 1)), version=3)
    assert not history.seed(table(("a", "y", 1)), version=3)
    assert not history.seed(table(("a", "y", 1)), version=2)
    assert items(history) == ["x"]


def test_what_was_withdrawn_from_the_event_table_is_gone_after_the_next_seed(history):
    history.seed(table(("a", "wrong", 1), ("a", "right", 2), ("gone", "wrong", 1), ("kept", "wrong", 1)), version=1)
    history.append([event("mine", 3, "kept")])
    history.seed(table(("a", "right", 2)), version=2)
    assert items(history) == ["right"]
    assert items(history, "gone") == []
    assert items(history, "kept") == ["mine"]


def test_seeding_keeps_the_newest(history):
    history.seed(table(*[("a", f"{n}", n) for n in range(9)]), version=0)
    assert items(history) == ["4", "5", "6", "7", "8"]


def test_an_unknown_scheme_is_refused_with_the_known_ones():
    with pytest.raises(InputError, match=r"no online history for 'etcd://'; known are sqlite://, memory://"):
        open_history("etcd://host", 5)


def test_a_file_that_is_no_database_is_told_in_a_sentence(tmp_path):
    (tmp_path / "history.sqlite").write_text("this is not a database, and it is long enough to be one" * 100)
    with pytest.raises(StoreError, match=r"online history .* failed: file is not a database"):
        open_history(f"sqlite://{tmp_path}/history.sqlite", 5)


def test_what_was_confirmed_survives_a_kill(tmp_path):
    program = f"""
import os, signal
from serving.history import Feedback, open_history
history = open_history("sqlite://{tmp_path}/history.sqlite", 500)
for n in range(50):
    assert history.append([Feedback("a", str(n), n, "click", None, "", str(n))]) == [True]
    print(n, flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, cwd=Path.cwd())
    assert done.returncode == -signal.SIGKILL, done.stderr
    confirmed = done.stdout.split()
    history = open_history(f"sqlite://{tmp_path}/history.sqlite", 500)
    assert items(history) == confirmed
    assert len(confirmed) == 50
    history.close()


def test_a_commit_that_fails_leaves_nothing_half_done_and_the_next_one_works(tmp_path):
    history = SQLiteHistory(tmp_path / "history.sqlite", 5)
    history.append([event("x", 1)])
    pages = history.writer.execute("PRAGMA page_count").fetchone()[0]
    history.writer.execute(f"PRAGMA max_page_count = {pages}")  # a full disk, as SQLite sees it
    with pytest.raises(StoreError, match="full"):
        history.append([event("y" * 1000, n) for n in range(100)])
    assert items(history) == ["x"]
    history.writer.execute("PRAGMA max_page_count = 1000000")
    assert history.append([event("z", 2)]) == [True]
    assert items(history) == ["x", "z"]
    history.close()


def test_a_store_that_is_closed_under_us_is_a_store_error(tmp_path):
    history = SQLiteHistory(tmp_path / "history.sqlite", 5)
    history.close()
    with pytest.raises(StoreError):
        history.read("a")
    with pytest.raises(StoreError):
        history.append([event("x")])


def test_the_feedback_log_keeps_every_event_whole_in_the_columns_of_the_event_table(history):
    history.append([Feedback("a", "x", 1, "book", 2.5, "r1", "e1"), Feedback("a", "y", 2, "click", None, "", "e2")])
    history.append([event(f"{n}", n) for n in range(3, 20)])
    frame = history.feedback()
    assert frame.columns == ["user_id", "item_id", "timestamp", "event", "value", "event_id", "request_id"]
    assert frame.height == 19
    first = datetime(1970, 1, 1, tzinfo=UTC)
    assert frame.row(0) == ("a", "x", first.replace(microsecond=1), "book", 2.5, "e1", "r1")
    assert frame.row(1) == ("a", "y", first.replace(microsecond=2), "click", None, "e2", None)


def test_events_are_taken_up_where_one_left_off(history):
    sent = [event(f"{n}", n) for n in range(7)]
    history.append(sent)
    first = history.feedback_after(0, 3)
    assert [one for _, one in first] == sent[:3]
    rest = history.feedback_after(first[-1][0], 100)
    assert [one for _, one in rest] == sent[3:]
    assert sorted({row for row, _ in first + rest}) == [row for row, _ in first + rest]
    assert history.feedback_after(rest[-1][0], 100) == []


def test_a_store_has_a_name_that_stays(history):
    assert history.identity() == history.identity() != ""


def test_users_are_those_of_the_table_and_of_the_feedback(history):
    assert history.users(10) == []
    history.seed(table(("b", "x", 1), ("c", "x", 1)), version=1)
    history.append([event("x", 1, "a"), event("y", 1, "c")])
    assert history.users(10) == ["a", "b", "c"]
    assert len(history.users(2)) == 2


def test_after_a_seed_anybodys_history_may_have_changed(history):
    assert history.changed() is None
    assert history.changed() == []
    history.seed(table(("a", "x", 1)), version=1)
    assert history.changed() in (None, []), "no other connection wrote, so nothing need be said"


MOMENTS = st.lists(st.tuples(st.sampled_from("ab"), st.sampled_from("xyz"), st.integers(0, 6)), max_size=12)


@settings(max_examples=60, deadline=None)
@given(seeded=MOMENTS, sent=MOMENTS, again=MOMENTS)
def test_a_history_is_the_newest_of_what_the_table_and_the_clients_said(seeded, sent, again):
    history = open_history("memory://", limit=5)
    history.append([event(item, at, user) for user, item, at in sent])
    history.seed(table(*seeded), version=1)
    history.append([event(item, at, user) for user, item, at in again])
    for user in "ab":
        expected = sorted({(at, item) for who, item, at in [*seeded, *sent, *again] if who == user})[-5:]
        assert items(history, user) == [item for _, item in expected]
    history.close()
