"""Load: as fast as it goes over kept connections, or at a constant rate, measured from when each request was due.

>>> python -m benchmarks.serving.load constant 127.0.0.1 8080 USERS --rate 2000 --seconds 10 --connections 16
{"rate": 1999.8, "p50": 0.6, "p99": 2.1, "errors": 0, ...}

At a constant rate a request that had to wait because the one before was late counts its waiting (no coordinated omission).
One thread that hardly ever sleeps: it takes a core of its own.
"""

import argparse
import json
import select
import socket
import sys
import time
from collections import deque
from dataclasses import dataclass, field
from pathlib import Path

PATH = "/v1/models/everloop:predict"
HEAD = b"POST %s HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n%s"
GRACE = 0.005  # seconds; who is asked last cannot be answered before the end
AWAKE = 0.002  # seconds before the next due time from which on we spin


@dataclass(eq=False)
class Connection:
    socket: socket.socket
    due: float = 0.0
    received: bytearray = field(default_factory=bytearray)


def bodies(users: list[str]) -> list[bytes]:
    made = [json.dumps({"instances": [{"user_id": user, "k": 10}]}).encode() for user in users]
    return [HEAD % (PATH.encode(), len(body), body) for body in made]


def whole(received: bytearray) -> int | None:
    """The status, once the answer is complete."""
    end = received.find(b"\r\n\r\n")
    if end < 0:
        return None
    head = bytes(received[:end]).lower()
    length = int(head.partition(b"content-length:")[2].split(b"\r\n")[0])
    return int(head[9:12]) if len(received) >= end + 4 + length else None


def drive(
    host: str, port: int, requests: list[bytes], connections: int, seconds: float, rate: float | None
) -> dict[str, float]:
    """rate None: each connection sends its next request when it has its answer."""
    poll, by_file, free = select.epoll(), {}, deque[Connection]()
    for _ in range(connections):
        one = Connection(socket.create_connection((host, port)))
        one.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        one.socket.setblocking(False)
        poll.register(one.socket, select.EPOLLIN)
        by_file[one.socket.fileno()] = one
        free.append(one)
    latencies: list[float] = []
    sent = errors = 0
    start = time.perf_counter()
    end = start + seconds
    while True:
        now = time.perf_counter()
        if now >= end:
            break
        while free and (rate is None or start + sent / rate <= now):
            one = free.popleft()
            one.due = now if rate is None else start + sent / rate
            one.socket.send(requests[sent % len(requests)])
            sent += 1
        wait = 0.001 if rate is None or start + sent / rate - now > AWAKE else 0
        for file, _ in poll.poll(wait):
            one = by_file[file]
            part = one.socket.recv(262_144)
            if not part:
                raise ConnectionError("the server closed a connection")
            one.received += part
            status = whole(one.received)
            if status is not None:
                latencies.append(time.perf_counter() - one.due)
                errors += status != 200
                one.received.clear()
                free.append(one)
    taken = time.perf_counter() - start
    for one in by_file.values():
        one.socket.close()
    answered = len(latencies)
    if rate is not None:
        # Whoever was due and is not answered has waited until now, and would wait longer.
        late = [start + number / rate for number in range(sent, int(taken * rate))]
        asked = [one.due for one in by_file.values() if one not in free]
        latencies += [end - due for due in [*late, *asked] if end - due > GRACE]
    latencies.sort()
    at = lambda share: 1000 * latencies[min(len(latencies) - 1, int(share * len(latencies)))]  # noqa: E731
    return {
        "rate": answered / taken,
        "p50": at(0.5),
        "p90": at(0.9),
        "p99": at(0.99),
        "p999": at(0.999),
        "errors": errors,
        "unanswered": len(latencies) - answered,
        "requests": answered,
    }


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("mode", choices=["closed", "constant"])
    parser.add_argument("host")
    parser.add_argument("port", type=int)
    parser.add_argument("users", type=Path, help="a JSON file whose keys are user ids")
    parser.add_argument("--rate", type=float)
    parser.add_argument("--seconds", type=float, default=10)
    parser.add_argument("--connections", type=int, default=16)
    given = parser.parse_args()
    people = list(json.loads(given.users.read_text()))
    rate = given.rate if given.mode == "constant" else None
    json.dump(drive(given.host, given.port, bodies(people), given.connections, given.seconds, rate), sys.stdout)
