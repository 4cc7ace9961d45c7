"""Who served a user at a time, during a rollout too."""

from datetime import UTC, datetime, timedelta

import pytest

from components.recsys.buckets import bucket, secret_of, user_key, variant_of
from components.recsys.errors import StoreError
from components.recsys.home import Home
from components.recsys.ledger import Ledger
from components.recsys.predictions import PREDICTIONS, Prediction, Shown, segment
from components.recsys.served import who_served
from components.recsys.store import open_store

A, B = "a" * 64, "b" * 64
NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)
SALT, ROLLOUT = "r-2-salt", "r-0000000002"


@pytest.fixture
def home(tmp_path) -> Home:
    """A at noon; B to 5 % at 13:00, to 25 % at 14:00, taken back at 15:00, approved again and champion at 16:00."""
    made = Home(tmp_path / "home")
    hours = iter(range(10))
    ledger = Ledger(made, clock=lambda: NOON + timedelta(hours=next(hours)))
    ledger.append("promote", A, "the first")
    for share in (0.05, 0.25):
        ledger.append(
            "share", B, f"{share:.0%}", evidence={"rollout": ROLLOUT, "salt": SALT, "share": share, "candidate": B}
        )
    ledger.append("abort", B, "errors", evidence={"rollout": ROLLOUT})
    ledger.append("promote", B, "by hand")
    return made


def at(hours, minutes=30):
    return NOON + timedelta(hours=hours, minutes=minutes)


def user_in(home, low, high):
    """Somebody whose bucket lies between."""
    secret = secret_of(home.store)
    return next(f"u{n}" for n in range(10_000) if low <= bucket(SALT, user_key(secret, f"u{n}")) < high)


def write(store, home, user, time, release, variant="candidate", failed="", name="gateway-1"):
    record = Prediction(
        f"q-{time:%H%M}", time.isoformat(timespec="microseconds"), user_key(secret_of(home.store), user), release,
        variant, (Shown("i1", 1.0, 1.0),), ("i1",), 1, 3.0, failed=failed, rollout=ROLLOUT, epoch=3,
    )  # fmt: skip
    store.write(f"{PREDICTIONS}/{time:%Y-%m-%d}/{name}.jsonl.gz", segment([record.to_json()]))


def test_the_ledger_alone_tells_everybodys_group_at_every_time(home):
    few, some, most = user_in(home, 0, 0.05), user_in(home, 0.05, 0.25), user_in(home, 0.25, 1)
    told = {
        hour: [who_served(home, at(hour), user).release[0] for user in (few, some, most)] for hour in (0, 1, 2, 3, 4)
    }
    assert told == {0: [*"aaa"], 1: [*"baa"], 2: [*"bba"], 3: [*"aaa"], 4: [*"bbb"]}
    assert who_served(home, at(1), few).told_by == "ledger"
    assert who_served(home, at(1)).rollout() == {"id": ROLLOUT, "candidate": B, "share": 0.05}
    assert who_served(home, at(3)).rollout() is None
    assert who_served(home, at(-1)) is None


def test_of_many_users_each_is_told_as_the_gateway_would_send_them(home):
    secret = secret_of(home.store)
    for n in range(200):
        group = variant_of(bucket(SALT, user_key(secret, f"u{n}")), 0.25)
        assert who_served(home, at(2), f"u{n}").variant == group


def test_the_log_tells_who_really_answered_when_another_stood_in(home):
    few = user_in(home, 0, 0.05)
    write(home.store, home, few, at(1, 10), A, failed="timeout")
    served = who_served(home, at(1), few)
    assert (served.release, served.variant, served.told_by) == (A, "candidate", "log")
    assert served.last.failed == "timeout"
    assert who_served(home, at(1, 5), few).told_by == "ledger"  # before that list


def test_a_list_of_before_the_last_change_says_nothing_of_who_serves_after_it(home):
    few = user_in(home, 0, 0.05)
    write(home.store, home, few, at(2, 10), B)
    assert who_served(home, at(2), few).told_by == "log"
    after = who_served(home, at(3), few)
    assert (after.release, after.told_by, after.last.release) == (A, "ledger", B)


def test_the_last_of_several_lists_counts_and_a_shadow_never(home):
    few = user_in(home, 0, 0.05)
    write(home.store, home, few, at(1, 10), A, failed="timeout", name="gateway-2")
    write(home.store, home, few, at(1, 20), B, name="gateway-1")
    write(home.store, home, few, at(1, 25), A, variant="shadow", name="gateway-3")
    assert who_served(home, at(1), few).release == B
    assert who_served(home, at(1, 15), few).release == A


def test_the_log_may_lie_elsewhere(home, tmp_path):
    few, sink = user_in(home, 0, 0.05), open_store(str(tmp_path / "sink"))
    write(sink, home, few, at(1, 10), A, failed="timeout")
    assert who_served(home, at(1), few).told_by == "ledger"
    assert who_served(home, at(1), few, sink).told_by == "log"


def test_nothing_is_told_from_a_log_that_is_damaged(home):
    """The list that is asked for may be the one that cannot be read."""
    few = user_in(home, 0, 0.05)
    key = f"{PREDICTIONS}/{at(1):%Y-%m-%d}/gateway-9.jsonl.gz"
    home.store.create(key, segment([user_key(secret_of(home.store), few).encode()]))
    with pytest.raises(StoreError, match="has a line of this user that cannot be read"):
        who_served(home, at(1), few)
    home.store.write(key, b"no gzip")
    with pytest.raises(StoreError, match="cut short or damaged"):
        who_served(home, at(1), few)
