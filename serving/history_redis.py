"""The online history in Redis: several servers share it.

>>> history = RedisHistory("redis://cache.example:6379/0", limit=500)     # rediss:// for TLS
>>> history.append([Feedback("42", "242", 1_700_000_000_000_000, "click", None, "", "e1")])
[True]

Keys, all below `everloop:` (another recommender takes another database number):

    own:USER       sorted set, by time: what came as feedback, the newest `limit`
    seed:VERSION   hash USER -> history as the event table has it; `seeded` names the version that counts, `seeds` all begun
    log, ids       list of every event, whole; set of the event ids taken
    identity       the name of this store; gone with everything else when somebody empties it

A script runs alone in Redis, so an append is all or nothing and an id is taken once whoever sends it. The event table is
written beside the version that counts; the change-over is one step. What is confirmed is as durable as Redis is told to
make it (`appendonly yes`, `appendfsync always`). A password stands in the URL or in $REDIS_PASSWORD.
"""

import os
import secrets
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict
from typing import Any, cast
from urllib.parse import urlsplit

import orjson
import polars as pl

from components.recsys.errors import InputError, StoreError
from serving.history import FEEDBACK, Feedback, histories, merged

PREFIX = "everloop:"
CHUNK = 2_000  # users, or events, in one message: some hundred kB
READ_SECONDS = 0.25  # a read holds up other requests, so it is given up early
WRITE_SECONDS = 5.0
PAUSE_SECONDS = 1.0  # after a failed read nobody waits again for so long
READ = """
local seeded = redis.call('GET', KEYS[1] .. 'seeded')
return {
  seeded and redis.call('HGET', KEYS[1] .. 'seed:' .. seeded, ARGV[1]) or false,
  redis.call('ZRANGE', KEYS[1] .. 'own:' .. ARGV[1], -ARGV[2], -1)}
"""
APPEND = """
local fresh = {}
for i = 2, #ARGV, 5 do
  local id, user, at, member, event = ARGV[i], ARGV[i + 1], ARGV[i + 2], ARGV[i + 3], ARGV[i + 4]
  local new = redis.call('SADD', KEYS[1] .. 'ids', id)
  if new == 1 then
    local own = KEYS[1] .. 'own:' .. user
    redis.call('RPUSH', KEYS[1] .. 'log', event)
    redis.call('ZADD', own, at, member)
    redis.call('ZREMRANGEBYRANK', own, 0, -ARGV[1] - 1)
  end
  fresh[#fresh + 1] = new
end
return fresh
"""
CHANGE = """
local now = tonumber(redis.call('GET', KEYS[1] .. 'seeded') or '-1')
local mine = tonumber(ARGV[1])
if mine > now then redis.call('SET', KEYS[1] .. 'seeded', ARGV[1]) end
for _, version in ipairs(redis.call('SMEMBERS', KEYS[1] .. 'seeds')) do
  if tonumber(version) < math.max(mine, now) then
    redis.call('UNLINK', KEYS[1] .. 'seed:' .. version)
    redis.call('SREM', KEYS[1] .. 'seeds', version)
  end
end
return mine > now and 1 or 0
"""


class RedisHistory:
    """One Redis for all servers. Opening it fails at once when it cannot be reached."""

    def __init__(self, url: str, limit: int) -> None:
        self.url, self.limit = _without_password(url), limit
        self.retry_at = 0.0
        self.looked: tuple[int, int] | None = None  # events and data version at the last look
        self.looking = threading.Lock()
        with _told(self.url):
            # What a person waits for and what may take longer go over connections of their own.
            self.reader, self.writer = (_client(url, seconds) for seconds in (READ_SECONDS, WRITE_SECONDS))
            self._read = self.reader.register_script(READ)
            self._append, self._change = (self.writer.register_script(script) for script in (APPEND, CHANGE))
            self.writer.ping()

    def read(self, user: str) -> list[tuple[str, str]]:
        with self._quick():
            seed, own = cast(Any, self._read(keys=[PREFIX], args=[user, self.limit]))
        moments = merged([*(orjson.loads(seed) if seed else ()), *map(_moment, own)], self.limit)
        return [(str(item), str(kind)) for _, item, kind in moments]

    def changed(self) -> list[str] | None:
        with self._quick(), self.looking:
            pipe = self.reader.pipeline()
            count, seeded = pipe.llen(f"{PREFIX}log").get(f"{PREFIX}seeded").execute()
            before, self.looked = self.looked, (count, int(seeded or -1))
            if before == self.looked:
                return []
            if before is None or before[1] != self.looked[1] or not 0 < count - before[0] <= CHUNK:
                return None
            return list({row["user_id"] for row in self._log(before[0], count - before[0], self.reader)})

    def users(self, most: int) -> list[str]:
        found: set[str] = set()
        with _told(self.url):
            seed = self.writer.get(f"{PREFIX}seeded")
            if seed is not None:
                for user, _ in self.writer.hscan_iter(f"{PREFIX}seed:{int(seed)}", count=CHUNK):
                    found.add(user.decode())
                    if len(found) >= most:
                        return sorted(found)
            own = f"{PREFIX}own:"
            for key in self.writer.scan_iter(f"{own}*", count=CHUNK):
                found.add(key.decode().removeprefix(own))
                if len(found) >= most:
                    break
        return sorted(found)

    def append(self, events: Sequence[Feedback]) -> list[bool]:
        parts: list[str | bytes | int] = []
        with _told(self.url):
            for event in events:
                moment = f"{event.item_id}\0{event.event}\0{event.timestamp}"
                parts += [event.event_id, event.user_id, event.timestamp, moment, orjson.dumps(asdict(event))]
            fresh = cast(Any, self._append(keys=[PREFIX], args=[self.limit, *parts]))
        return [new == 1 for new in fresh]

    def seed(self, events: pl.DataFrame, version: int) -> bool:
        if self.seeded() >= version:
            return False
        table, key = histories(events, self.limit), f"{PREFIX}seed:{version}"
        with _told(self.url):
            self.writer.sadd(f"{PREFIX}seeds", version)
            for start in range(0, table.height, CHUNK):
                rows = table.slice(start, CHUNK).iter_rows()
                parts = {user: orjson.dumps(list(zip(*lists, strict=True))) for user, *lists in rows}
                self.writer.hset(key, mapping=parts)
            return bool(self._change(keys=[PREFIX], args=[version]))

    def seeded(self) -> int:
        with _told(self.url):
            version = cast(Any, self.writer.get(f"{PREFIX}seeded"))
        return int(version) if version is not None else -1

    def feedback(self) -> pl.DataFrame:
        rows: list[list[Any]] = []
        with _told(self.url):
            while part := self._log(len(rows), CHUNK, self.writer):
                rows += [[event[name] for name in FEEDBACK] for event in part]
        frame = pl.DataFrame(rows, schema=FEEDBACK, orient="row")
        return frame.with_columns(pl.col("request_id").replace("", None))

    def feedback_after(self, row: int, most: int) -> list[tuple[int, Feedback]]:
        with _told(self.url):
            return [(row + n, Feedback(**event)) for n, event in enumerate(self._log(row, most, self.writer), 1)]

    def identity(self) -> str:
        with _told(self.url):
            self.writer.set(f"{PREFIX}identity", f"{secrets.randbits(48):012x}", nx=True)
            return str(self.writer.get(f"{PREFIX}identity").decode())

    def close(self) -> None:
        with suppress(Exception):
            self.reader.close()
            self.writer.close()

    def _log(self, start: int, count: int, client: Any) -> list[dict[str, Any]]:
        return [orjson.loads(event) for event in client.lrange(f"{PREFIX}log", start, start + count - 1)]

    @contextmanager
    def _quick(self) -> Iterator[None]:
        """What people wait for: after a failure the next answers come at once, without the history."""
        if time.monotonic() < self.retry_at:
            raise StoreError(f"the online history {self.url} failed a moment ago and is left alone for a second")
        try:
            with _told(self.url):
                yield
        except StoreError:
            self.retry_at = time.monotonic() + PAUSE_SECONDS
            raise


def _client(url: str, seconds: float) -> Any:
    try:
        from redis import Redis
        from redis.backoff import NoBackoff
        from redis.exceptions import ConnectionError as Broken
        from redis.retry import Retry
    except ImportError:
        raise InputError("redis:// needs the Python package: pip install 'everloop[redis]'") from None
    # A connection that broke while it lay idle (Redis was restarted) is made anew, once; an append sent twice is taken once.
    again = Retry(NoBackoff(), 1, supported_errors=(Broken,))
    try:
        parts = urlsplit(url)
        if not parts.hostname or (parts.port or 1) < 1 or not (parts.path.strip("/") or "0").isdecimal():
            raise ValueError
    except ValueError:
        raise InputError(
            f"{_without_password(url)} is no address of a Redis; one looks like redis://HOST:6379/0"
        ) from None
    secret = {"password": os.environ["REDIS_PASSWORD"]} if os.environ.get("REDIS_PASSWORD") else {}
    return Redis.from_url(
        url, socket_timeout=seconds, socket_connect_timeout=seconds, retry=again, protocol=2, **secret
    )


def _moment(member: bytes) -> tuple[int, str, str]:
    item, kind, at = member.decode().rsplit("\0", 2)
    return int(at), item, kind


def _without_password(url: str) -> str:
    parts = urlsplit(url)
    host = parts.netloc.rpartition("@")[2]
    return f"{parts.scheme}://{host}{parts.path}"


@contextmanager
def _told(url: str) -> Iterator[None]:
    """Redis' errors as one sentence."""
    try:
        yield
    except (InputError, StoreError):
        raise
    except Exception as error:  # noqa: BLE001 - the client's errors have no root of their own besides sockets' and values'
        raise StoreError(f"the online history {url} failed: {str(error).strip() or type(error).__name__}") from None
