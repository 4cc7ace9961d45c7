"""Measures the prediction log under load while its sink is dead: memory, latency, drops, loss.

>>> python -m benchmarks.prediction_log                 # ten seconds before, sixty without the sink
>>> python -m benchmarks.prediction_log --minutes 10    # ten minutes without it

On a machine with other work: chrt -f 10 python -m benchmarks.prediction_log, so that the figures are the log's own.
Writes results.md and results.json beside this file. Exits with 1 when a target is missed.
"""

import argparse
import asyncio
import json
import os
import platform
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import boto3
import numpy as np

from benchmarks.prediction_log.load import Load
from benchmarks.prediction_log.report import render, verdicts
from components.recsys.predictions import PREDICTIONS, prediction_of, segments
from components.recsys.store import open_store
from components.recsys.version import VERSION

HERE = Path(__file__).parent
BUCKET = "bench"
RECORD = 790  # bytes, roughly: how many seconds fill the spool follows from it
WARM_SECONDS = 8.0  # imports, connections and the allocator's first pages are not what is measured
RECOVERY_SECONDS = 10.0
Json = dict[str, Any]


def main() -> int:
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # ended from outside, it ends what it started
    parser = argparse.ArgumentParser(prog="python -m benchmarks.prediction_log", description=__doc__.splitlines()[0])
    parser.add_argument("--minutes", type=float, default=1.0, help="length of the outage")
    parser.add_argument("--rate", type=float, default=500.0, help="records a second")
    parser.add_argument("--out", type=Path, default=HERE, help="folder of results.md and results.json")
    given = parser.parse_args()
    busy = os.getloadavg()[0]
    if busy > 0.5:
        say(f"the machine is busy (load {busy:.1f}): figures will be worse than they are")
    outage = 60 * given.minutes
    spool_bytes = int(outage * given.rate * RECORD * 2 / 3)
    with tempfile.TemporaryDirectory() as folder, Sink() as dead:
        results = asyncio.run(measured(Path(folder), dead, given.rate, outage, spool_bytes))
    results["setup"] = {
        "date": datetime.now(UTC).date().isoformat(),
        "machine": f"{os.cpu_count()} cores ({cpu()})",
        "python": platform.python_version(),
        "version": VERSION,
        "load": busy,
        "rate": given.rate,
        "outage": outage,
        "spool_bytes": spool_bytes,
        "record_bytes": results.pop("record_bytes"),
        "realtime": os.sched_getscheduler(0) == os.SCHED_FIFO,
        "command": " ".join(["python -m benchmarks.prediction_log", *sys.argv[1:]]),
    }
    results["targets"] = verdicts(results)
    text = render(results)
    print(text)
    (given.out / "results.md").write_text(text)
    (given.out / "results.json").write_text(json.dumps(results, indent=1) + "\n")
    return 0 if all(one["met"] for one in results["targets"]) else 1


class Sink:
    """An S3 server in a process of its own, with an empty bucket; `stop` and `go_on` are what happens to it."""

    def __enter__(self) -> "Sink":
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        self.process = subprocess.Popen(
            [sys.executable, "-m", "moto.server", "-p", str(port)],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        os.environ.update(
            AWS_ENDPOINT_URL=f"http://127.0.0.1:{port}",
            AWS_ACCESS_KEY_ID="bench",
            AWS_SECRET_ACCESS_KEY="bench",
            AWS_REGION="us-east-1",
        )
        for _ in range(300):
            try:
                urllib.request.urlopen(os.environ["AWS_ENDPOINT_URL"], timeout=5).close()
                break
            except (urllib.error.URLError, OSError):
                time.sleep(0.1)
        boto3.client("s3", region_name="us-east-1").create_bucket(Bucket=BUCKET)
        return self

    def __exit__(self, *_: object) -> None:
        self.process.send_signal(signal.SIGCONT)
        self.process.kill()
        self.process.wait()

    def stop(self) -> None:
        self.process.send_signal(signal.SIGSTOP)

    def go_on(self) -> None:
        self.process.send_signal(signal.SIGCONT)


async def measured(folder: Path, dead: Sink, rate: float, outage: float, spool_bytes: int) -> Json:
    command = [sys.executable, "-m", "benchmarks.prediction_log.server", f"s3://{BUCKET}/home", str(folder)]
    server = subprocess.Popen([*command, str(spool_bytes)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert server.stdin is not None
    assert server.stdout is not None
    try:
        port = int(server.stdout.readline())
        loads = {name: Load(port, rate) for name in ("warm", "before", "outage", "recovery")}
        say("warming up")
        await loads["warm"].run(WARM_SECONDS)
        say("before the outage")
        await loads["before"].run(10.0)
        say(f"{outage:.0f} s without the sink")
        dead.stop()
        await loads["outage"].run(outage)
        dead.go_on()
        say("the sink is back")
        back = time.perf_counter()
        await loads["recovery"].run(RECOVERY_SECONDS)
        drained = await _drained(loads["recovery"], back)
        server.stdin.close()
        facts = json.loads(server.stdout.readlines()[-1])
        server.wait(60)
    finally:
        server.kill()
        server.wait()
    results: Json = {name: phase(load) for name, load in loads.items() if name != "warm"}
    results["outage"].update(outage_facts(loads["outage"]))
    appended = sum(load.kept for load in loads.values())
    store = open_store(f"s3://{BUCKET}/home")
    lines = [line for _, each in segments(store, PREDICTIONS, set()) for line in each]
    raw = Counter(prediction_of(line).request_id for line in lines)  # repeated ones too
    results["record_bytes"] = round(statistics.mean(len(line) + 1 for line in lines))
    results["after"] = {
        "appended": appended,
        "sunk": len(raw),
        "dropped": facts["dropped"],
        "lost": appended - len(raw) - facts["dropped"],
        "repeated": sum(raw.values()) - len(raw),
        "drained": drained,
    }
    return results


async def _drained(load: Load, back: float) -> float:
    """Seconds until the sink had everything: nothing waits but the segment that is open."""
    while (await load.look())["spool_bytes"] > 0:
        await asyncio.sleep(0.2)
        assert time.perf_counter() - back < 180, "the spool did not empty"
    return time.perf_counter() - back


def phase(load: Load) -> Json:
    times = [ms for _, ms in load.done]
    appends = [ms for facts in load.facts for ms in facts["appends"]]
    at = np.array([facts["at"] for facts in load.facts])
    rss = np.array([facts["rss"] for facts in load.facts]) / 1e6
    return {
        "seconds": max(when for when, _ in load.done) - min(when for when, _ in load.done),
        "requests": len(times),
        "request": float(np.quantile(times, 0.99)),
        "append": float(np.quantile(appends, 0.99)),
        "rss": float(rss[-1]),
        "slope": float(np.polyfit(at - at[0], rss, 1)[0] * 60),
        "spool": max(facts["spool_bytes"] for facts in load.facts) / 1e6,
        "dropped": load.facts[-1]["dropped"] - load.facts[0]["dropped"],
    }


def outage_facts(load: Load) -> Json:
    """growth: MB between medians of the first and last third. dropped_early: while the spool had room for more."""
    rss = [facts["rss"] / 1e6 for facts in load.facts]
    third = len(rss) // 3
    most = max(facts["spool_bytes"] for facts in load.facts)
    full = next((facts for facts in load.facts if facts["dropped"]), None)
    early = [facts["dropped"] for facts in load.facts if facts["spool_bytes"] < most - 4 * RECORD]
    return {
        "growth": statistics.median(rss[-third:]) - statistics.median(rss[:third]),
        "dropped_early": max(early, default=0),
        "full_after": (full["at"] if full else load.facts[-1]["at"]) - load.facts[0]["at"],
    }


def cpu() -> str:
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.machine())


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
