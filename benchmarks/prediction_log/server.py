"""The server under load: a bare ASGI application that appends one record a request to the real prediction log.

>>> python -m benchmarks.prediction_log.server s3://bucket/home FOLDER SPOOL_BYTES    # prints its port, ends with its stdin

GET / appends; GET /facts tells the log's facts, the process's RSS and the times of the appends since the last question.
"""

import asyncio
import json
import sys
import threading
import time
from datetime import UTC, datetime
from itertools import count
from pathlib import Path
from typing import Any

import uvicorn
from prometheus_client import CollectorRegistry

from components.recsys.predictions import Prediction, Shown
from components.recsys.settings import LogSettings
from components.recsys.store import open_store
from serving.predictions.log import PredictionLog

ITEMS, CANDIDATES = 10, 20  # as the gateway logs them: 790 bytes a record


def rss_bytes() -> int:
    """Memory of this process that is in RAM, as the kernel counts it."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * 4096


class App:
    def __init__(self, log: PredictionLog) -> None:
        self.log, self.numbers = log, count()
        self.appends: list[float] = []
        self.candidates = tuple(f"item-{place}" for place in range(CANDIDATES))

    def append(self) -> bool:
        shown = tuple(Shown(item, 1.0 / (place + 3), 0.95) for place, item in enumerate(self.candidates[:ITEMS]))
        number, now = next(self.numbers), datetime.now(UTC).isoformat()
        record = Prediction(
            f"{number:010d}", now, f"{number % 5000:032x}", "9f" * 32, "champion", shown, self.candidates, ITEMS, 1.25
        )
        began = time.perf_counter()
        kept = self.log.append(record)
        self.appends.append(time.perf_counter() - began)
        return kept

    def facts(self) -> dict[str, Any]:
        appends, self.appends = self.appends, []
        return {**self.log.facts(), "rss": rss_bytes(), "appends": [round(1e3 * each, 4) for each in appends]}

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        assert scope["type"] == "http", scope["type"]
        body = json.dumps(self.facts()) if scope["path"] == "/facts" else str(self.append())
        headers = [(b"content-length", str(len(body)).encode())]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": body.encode()})


async def serve(app: App) -> None:
    config = uvicorn.Config(app, host="127.0.0.1", port=0, log_level="error", access_log=False, lifespan="off")
    server = uvicorn.Server(config)
    threading.Thread(target=lambda: (sys.stdin.read(), setattr(server, "should_exit", True)), daemon=True).start()
    task = asyncio.create_task(server.serve())
    while not server.started:
        await asyncio.sleep(0.01)
    print(server.servers[0].sockets[0].getsockname()[1], flush=True)
    await task


def main() -> None:
    sink, folder, spool_bytes = sys.argv[1:]
    settings = LogSettings(spool_bytes=int(spool_bytes))
    log = PredictionLog(settings, open_store(sink), Path(folder) / "spool", "bench", CollectorRegistry())
    asyncio.run(serve(App(log)))
    log.close(seconds=30)
    print(json.dumps(log.facts()))


if __name__ == "__main__":
    main()
