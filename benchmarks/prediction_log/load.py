"""Requests at a constant rate, each timed from when it was due, so that a stall counts for all that wait behind it.

>>> load = Load(port, rate=500)
>>> await load.run(seconds=10)          # appends to load.done: (when due, milliseconds)
"""

import asyncio
import json
import time
from typing import Any

CONNECTIONS = 8


async def ask(streams: tuple[asyncio.StreamReader, asyncio.StreamWriter], path: str) -> bytes:
    reader, writer = streams
    writer.write(f"GET {path} HTTP/1.1\r\nhost: bench\r\n\r\n".encode())
    head = await reader.readuntil(b"\r\n\r\n")
    length = next(line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:"))
    return await reader.readexactly(int(length.split(b":")[1]))


class Load:
    def __init__(self, port: int, rate: float) -> None:
        self.port, self.rate = port, rate
        self.done: list[tuple[float, float]] = []
        self.kept = 0
        self.facts: list[dict[str, Any]] = []

    async def run(self, seconds: float, look: float = 0.5) -> None:
        """Load for this long; the server's facts every `look` seconds go to `facts`, with the time."""
        due: asyncio.Queue[float | None] = asyncio.Queue()
        workers = [asyncio.create_task(self._work(due)) for _ in range(CONNECTIONS)]
        looker = asyncio.create_task(self._look(look))
        start = time.perf_counter()
        for number in range(int(seconds * self.rate)):
            when = start + number / self.rate
            await asyncio.sleep(max(when - time.perf_counter(), 0))
            due.put_nowait(when)
        for _ in workers:
            due.put_nowait(None)
        await asyncio.gather(*workers)
        looker.cancel()

    async def _work(self, due: asyncio.Queue[float | None]) -> None:
        streams = await asyncio.open_connection("127.0.0.1", self.port)
        while (when := await due.get()) is not None:
            kept = await ask(streams, "/") == b"True"
            self.kept += kept  # not across the wait, in which the others count too
            self.done.append((when, 1e3 * (time.perf_counter() - when)))
        streams[1].close()

    async def look(self) -> dict[str, Any]:
        """The server's facts now."""
        streams = await asyncio.open_connection("127.0.0.1", self.port, limit=1 << 24)
        facts = {"at": time.perf_counter(), **json.loads(await ask(streams, "/facts"))}
        streams[1].close()
        self.facts.append(facts)
        return facts

    async def _look(self, every: float) -> None:
        while True:
            await self.look()
            await asyncio.sleep(every)
