"""One writer at a time where no kernel holds a lock: taken over from the dead, never from the living."""

import threading

import pytest

from components.recsys.errors import StoreError
from components.recsys.lease import TRUST, Fenced, Lease
from components.recsys.store import open_store

SECONDS = 30.0


class Clock:
    def __init__(self) -> None:
        self.time = 1000.0

    def __call__(self) -> float:
        return self.time


@pytest.fixture
def clock() -> Clock:
    return Clock()


def lease(url: str, clock: Clock) -> Lease:
    return Lease(open_store(url), "rollout", SECONDS, clock)


def test_the_first_has_it_and_the_second_waits(store_url: str, clock: Clock) -> None:
    first, second = lease(store_url, clock), lease(store_url, clock)
    assert first.take()
    assert not second.take()
    assert first.held
    assert not second.held
    assert second.who() == first.holder


def test_who_lives_keeps_it_for_ever(store_url: str, clock: Clock) -> None:
    first, second = lease(store_url, clock), lease(store_url, clock)
    first.take()
    for _ in range(20):
        clock.time += TRUST * SECONDS * 0.9
        assert first.beat()
        assert first.held
        assert not second.take()


def test_who_died_is_replaced_after_a_while_and_not_before(store_url: str, clock: Clock) -> None:
    first, second = lease(store_url, clock), lease(store_url, clock)
    first.take()
    assert not second.take()
    clock.time += SECONDS - 0.1
    assert not second.take()
    assert not first.held  # long before that it no longer trusts itself
    clock.time += 0.2
    assert second.take()
    assert second.held


def test_who_was_frozen_wakes_up_without_the_right_to_write(store_url: str, clock: Clock) -> None:
    first, second = lease(store_url, clock), lease(store_url, clock)
    store = Fenced(open_store(store_url), first)
    first.take()
    store.write("routes.json", b"1")
    second.take()
    clock.time += SECONDS
    assert second.take()
    for write in (
        lambda: store.write("routes.json", b"2"),
        lambda: store.create("ledger/0000000001.json", b"2"),
        lambda: store.delete("routes.json"),
    ):
        with pytest.raises(StoreError, match="another process leads"):
            write()
    assert store.read("routes.json") == b"1"
    assert not first.beat()
    assert not first.take()  # and does not take it back from who lives


def test_a_beat_whose_write_takes_long_counts_from_before_it(store_url: str, clock: Clock) -> None:
    one = lease(store_url, clock)
    one.take()
    write = one.store.write

    def slowly(key: str, data: bytes) -> None:
        write(key, data)
        clock.time += SECONDS

    one.store.write = slowly  # type: ignore[method-assign]
    assert one.beat()
    assert not one.held


def test_clocks_that_differ_change_nothing(store_url: str) -> None:
    early, late = Clock(), Clock()
    late.time += 10**6
    first, second = lease(store_url, early), lease(store_url, late)
    first.take()
    assert not second.take()
    late.time += SECONDS - 1
    first.beat()
    assert not second.take()


def test_one_that_is_given_back_is_free_at_once(store_url: str, clock: Clock) -> None:
    first, second = lease(store_url, clock), lease(store_url, clock)
    first.take()
    assert not second.take()
    first.give_back()
    assert not first.held
    assert second.take()


def test_of_many_that_take_over_at_once_one_does(store_url: str, clock: Clock) -> None:
    lease(store_url, clock).take()
    waiting = [lease(store_url, clock) for _ in range(4)]
    assert not any(one.take() for one in waiting)
    clock.time += SECONDS
    got: list[bool] = []
    threads = [threading.Thread(target=lambda one=one: got.append(one.take())) for one in waiting]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(got) == [False, False, False, True]
    assert sum(one.held for one in waiting) == 1


def test_it_beats_by_itself(store_url: str) -> None:
    one = Lease(open_store(store_url), "rollout", seconds=0.5)
    one.take()
    one.start()
    try:
        threading.Event().wait(1.0)
        assert one.held
        assert one.beats > 2
    finally:
        one.give_back()


def test_old_numbers_are_cleared_away(store_url: str, clock: Clock) -> None:
    for _ in range(3):
        one = lease(store_url, clock)
        one.take()
        clock.time += SECONDS
        one.take()
        one.give_back()
    assert len(open_store(store_url).list("leases/rollout")) == 1
