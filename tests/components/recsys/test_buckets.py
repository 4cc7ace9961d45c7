import stat
from pathlib import Path

import pytest

from components.recsys.buckets import CANDIDATE, CHAMPION, SECRET, bucket, secret_of, user_key, variant_of
from components.recsys.store import open_store


def test_the_secret_is_made_once_and_is_the_owners_alone(tmp_path):
    store = open_store(str(tmp_path))
    assert secret_of(store) == secret_of(store)
    assert len(secret_of(store)) == 32
    assert stat.S_IMODE(Path(tmp_path / SECRET).stat().st_mode) == 0o600


def test_a_key_says_nothing_without_the_secret_and_is_the_same_with_it():
    assert user_key(b"a", "42") == user_key(b"a", "42") != user_key(b"b", "42")
    assert user_key(b"a", "42") != user_key(b"a", "43")


@pytest.mark.parametrize("share", [0.05, 0.25, 0.6])
def test_groups_have_the_share_asked_for_and_a_wider_one_keeps_everybody(share):
    places = [bucket("salt", user_key(b"secret", str(user))) for user in range(4000)]
    candidates = {user for user, where in enumerate(places) if variant_of(where, share) == CANDIDATE}
    assert abs(len(candidates) / 4000 - share) < 0.03
    assert candidates <= {user for user, where in enumerate(places) if variant_of(where, share + 0.1) == CANDIDATE}
    assert variant_of(1.0 - 2**-56, share) == CHAMPION


def test_another_salt_makes_other_groups():
    keys = [user_key(b"secret", str(user)) for user in range(2000)]
    first = {key for key in keys if bucket("a", key) < 0.25}
    second = {key for key in keys if bucket("b", key) < 0.25}
    assert abs(len(first & second) / 2000 - 0.0625) < 0.02
