"""What Redis adds to the contract of all histories (test_history.py): several servers, and a network that fails."""

import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import polars as pl
import pytest

from components.recsys.errors import InputError, StoreError
from serving.history import Feedback, open_history


@pytest.fixture
def two(redis_url):
    """The histories of two servers on one Redis."""
    opened = open_history(redis_url, 50), open_history(redis_url, 50)
    yield opened
    for one in opened:
        one.close()


def event(item, at=0, user="a", own=None):
    return Feedback(user, item, at, "click", None, "", own or f"{user}/{item}/{at}")


def table(*rows):
    columns = {"user_id": pl.String, "item_id": pl.String, "timestamp": pl.Datetime("us", "UTC"), "event": pl.String}
    return pl.DataFrame([(*row, "click") for row in rows], orient="row", schema=columns)


def items(history, user="a"):
    return [item for item, _ in history.read(user)]


def test_what_one_server_took_the_other_knows(two):
    first, second = two
    assert first.append([event("x", 1)]) == [True]
    assert items(second) == ["x"]
    assert second.append([event("x", 1)]) == [False]
    assert first.identity() == second.identity()


def test_an_event_sent_to_many_servers_at_once_is_taken_once(redis_url):
    events = [event(f"{n}", n) for n in range(100)]
    taken, histories = [], [open_history(redis_url, 500) for _ in range(4)]

    def send(history):
        for start in range(0, 100, 5):
            taken.extend(history.append(events[start : start + 5]))

    threads = [threading.Thread(target=send, args=(history,)) for history in histories]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (len(taken), sum(taken)) == (400, 100)
    assert items(histories[0]) == [f"{n}" for n in range(100)]
    assert sorted(histories[0].feedback()["item_id"]) == sorted(e.item_id for e in events)
    for history in histories:
        history.close()


def test_a_server_hears_whose_history_another_one_changed(two):
    first, second = two
    assert second.changed() is None, "at first anybody's may have"
    assert second.changed() == []
    first.append([event("x", 1), event("y", 1, "b")])
    assert sorted(second.changed()) == ["a", "b"]
    assert second.changed() == []
    first.seed(table(("a", "old", 0)), version=1)
    assert second.changed() is None


def test_a_seed_that_was_cut_off_counts_for_nothing_and_is_cleared_away(two):
    first, second = two
    first.seed(table(("a", "old", 1)), version=1)
    first.writer.hset("everloop:seed:2", "a", b'[[1,"half","click"]]')  # as a server killed in the middle leaves it
    first.writer.sadd("everloop:seeds", 2)
    assert items(second) == ["old"]
    assert second.seed(table(("a", "new", 1)), version=3)
    assert items(first) == ["new"]
    assert {key.decode() for key in first.writer.keys("everloop:seed:*")} == {"everloop:seed:3"}


def test_ids_may_hold_any_character(two):
    first, second = two
    strange = Feedback("ключ:*\n", '商品 \0 "x"', 5, "click", 1.5, "", 'id "quoted" é')
    assert first.append([strange]) == [True]
    assert second.read(strange.user_id) == [(strange.item_id, "click")]
    assert second.users(5) == [strange.user_id]
    assert second.feedback_after(0, 5) == [(1, strange)]


def test_what_was_confirmed_outlives_a_kill_of_the_client_and_of_redis(own_redis):
    program = f"""
import os, signal
from serving.history import Feedback, open_history
history = open_history({own_redis.url!r}, 500)
for n in range(50):
    assert history.append([Feedback("a", str(n), n, "click", None, "", str(n))]) == [True]
    print(n, flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, cwd=Path.cwd())
    assert done.returncode == -signal.SIGKILL, done.stderr
    own_redis.stop()
    own_redis.start()
    history = open_history(own_redis.url, 500)
    assert items(history) == done.stdout.split() == [str(n) for n in range(50)]
    history.close()


def test_without_redis_each_method_says_so_in_a_sentence_and_works_again_afterwards(own_redis):
    history = open_history(own_redis.url, 5)
    history.append([event("x", 1)])
    own_redis.stop()
    for call in (lambda: history.read("a"), lambda: history.append([event("y")]), history.seeded, history.feedback):
        with pytest.raises(StoreError, match=r"^the online history redis://127.0.0.1:\d+/0 failed: [^\n]+$"):
            call()
    began = time.monotonic()
    with pytest.raises(StoreError, match="failed a moment ago"):
        history.read("a")
    assert time.monotonic() - began < 0.05, "nobody waits for what failed a moment ago"
    with pytest.raises(StoreError, match="failed:"):
        open_history(own_redis.url, 5)
    own_redis.start()
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        try:
            assert items(history) == ["x"]
            break
        except StoreError:
            time.sleep(0.1)
    assert history.append([event("y", 2)]) == [True]
    assert items(history) == ["x", "y"]
    history.close()


def test_a_redis_that_hangs_holds_up_a_read_for_a_moment_only(own_redis):
    history = open_history(own_redis.url, 5)
    own_redis.process.send_signal(signal.SIGSTOP)
    try:
        began = time.monotonic()
        with pytest.raises(StoreError, match="failed:"):
            history.read("a")
        assert time.monotonic() - began < 2
    finally:
        own_redis.process.send_signal(signal.SIGCONT)
    history.close()


def test_a_full_redis_refuses_the_whole_batch(own_redis):
    history = open_history(own_redis.url, 500)
    history.append([event("x", 1)])
    assert own_redis.ask("CONFIG SET maxmemory 1").startswith(b"+OK")
    with pytest.raises(StoreError, match=r"failed: .*maxmemory"):
        history.append([event(f"{n}", n) for n in range(10)])
    assert own_redis.ask("CONFIG SET maxmemory 0").startswith(b"+OK")
    assert items(history) == ["x"]
    assert history.feedback().height == 1
    history.close()


def test_the_password_is_asked_for_and_never_shown(own_redis, monkeypatch):
    assert own_redis.ask("CONFIG SET requirepass hush").startswith(b"+OK")
    with pytest.raises(StoreError, match="Authentication required") as told:
        open_history(own_redis.url, 5)
    with_password = own_redis.url.replace("//", "//:hush@")
    history = open_history(with_password, 5)
    assert "hush" not in history.url + str(told.value)
    history.close()
    monkeypatch.setenv("REDIS_PASSWORD", "hush")
    open_history(own_redis.url, 5).close()


@pytest.mark.parametrize("url", ["redis://", "redis://host:port/0", "redis://127.0.0.1:6379/zero"])
def test_an_address_that_is_none_is_told_with_what_one_looks_like(url):
    with pytest.raises(InputError, match=r"redis://HOST:6379/0"):
        open_history(url, 5)


def test_two_predictors_share_a_history_and_go_on_without_it(world, serve, own_redis):
    with serve(world.home, history=own_redis.url) as one, serve(world.home, history=own_redis.url) as other:
        assert other.one(user_id="newcomer")["fallback"] == "unknown_user"
        sent = one.http.post("/v1/events", json={"user_id": "newcomer", "item_id": "f1"})
        assert sent.status_code == 200, sent.text
        answer = other.one(user_id="newcomer", k=3)
        assert {item["reason"] for item in answer["items"]} == {"because of Film 1"}

        own_redis.stop()
        answer = other.one(user_id="somebody else", k=3)
        assert (answer["fallback"], len(answer["items"])) == ("history_unavailable", 3)
        refused = one.http.post("/v1/events", json={"user_id": "newcomer", "item_id": "f3"})
        assert refused.status_code == 503
        assert "send them again" in refused.json()["error"]
        own_redis.start()
        deadline = time.monotonic() + 10
        while other.one(user_id="newcomer", k=3).get("fallback") and time.monotonic() < deadline:
            time.sleep(0.1)
        assert "fallback" not in other.one(user_id="newcomer", k=3)
