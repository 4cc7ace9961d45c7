"""Which group a user is in: pseudonymous keys and sticky buckets.

>>> key = user_key(secret, "42")          # 32 hex characters; without the secret nobody can tell whose
>>> variant_of(bucket(salt="rollout-7", key=key), share=0.05)
'champion'

A bucket is a hash, so any gateway, the engine and an auditor find the same group without asking each other. A larger share
holds every user of the smaller one: who has the candidate keeps it while the rollout widens.
"""

import hashlib
import hmac
import secrets

from components.recsys.errors import NotFound
from components.recsys.store import Store

CHAMPION, CANDIDATE, SHADOW = "champion", "candidate", "shadow"
SECRET = "keys/pseudonyms"


def user_key(secret: bytes, user_id: str) -> str:
    """HMAC-SHA256 (RFC 2104) of the user's id, 128 bits in hex. Deleting the secret makes every log anonymous."""
    return hmac.new(secret, user_id.encode(), hashlib.sha256).hexdigest()[:32]


def secret_of(store: Store) -> bytes:
    """The home's secret, made on first use; of several makers at once one wins."""
    try:
        return store.read(SECRET)
    except NotFound:
        store.create(SECRET, secrets.token_bytes(32), private=True)
        return store.read(SECRET)


def bucket(salt: str, key: str) -> float:
    """A number in [0, 1), uniform over keys, independent between salts."""
    return int.from_bytes(hashlib.sha256(f"{salt}:{key}".encode()).digest()[:7], "big") / 2**56


def variant_of(where: float, share: float) -> str:
    """The group of a bucket while the candidate has this share."""
    return CANDIDATE if where < share else CHAMPION
