"""Measures our server beside a plain kserve.Model server and FastAPI, in one run on one machine.

>>> python -m benchmarks.serving          # about four minutes; writes results.md and results.json beside this file

All do the same top 10 for MovieLens 100K's users over one release. Rounds are interleaved, so that a noisy minute hits all.
Exits with 1 when a target is missed.
"""

import argparse
import json
import os
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
import urllib.request
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

from benchmarks.serving.report import render, verdicts
from benchmarks.serving.servers import NAMES, Server, cores, servers
from components.recsys.datasets import movielens_100k
from components.recsys.errors import EverloopError
from components.recsys.events import ingest, read_events, read_items
from components.recsys.frames import Catalogue, Interactions
from components.recsys.home import Home
from components.recsys.ledger import Ledger
from components.recsys.models import MODELS
from components.recsys.models.base import Training
from components.recsys.release import releases_of, save
from components.recsys.settings import Settings
from components.recsys.version import VERSION

HERE = Path(__file__).parent
Json = dict[str, Any]


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.serving", description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5, help="interleaved measurements of each server")
    parser.add_argument("--seconds", type=float, default=8, help="length of each")
    parser.add_argument("--connections", type=int, default=16)
    parser.add_argument("--out", type=Path, default=HERE, help="folder of results.md and results.json")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        try:
            prepare(work)
        except EverloopError as error:
            print(f"error: {error}", file=sys.stderr)
            return error.exit_code
        busy = os.getloadavg()[0]
        if busy > 0.5:
            say(f"the machine is busy (load {busy:.1f}): figures will be worse than they are")
        with servers(work / "home", work / "release", work / "histories.json", work) as running:
            same_lists(running, work)
            results = measure(running, work, given.rounds, given.seconds, given.connections)
    results["setup"] = {**setup(given), "load_before": round(busy, 2)}
    results["targets"] = verdicts(results)
    given.out.mkdir(parents=True, exist_ok=True)
    (given.out / "results.json").write_text(json.dumps(results, indent=1) + "\n")
    (given.out / "results.md").write_text(render(results))
    print(render(results))
    return 0 if all(target["met"] for target in results["targets"]) else 1


def prepare(work: Path) -> None:
    """A home with MovieLens 100K, one EASE release and its champion; the release folder and the histories for the peers."""
    say("preparing: MovieLens 100K, one EASE release")
    home = Home(work / "home")
    data = ingest(home, movielens_100k(), Settings().data).data
    events, items = read_events(home, data), read_items(home, data)
    interactions = Interactions.from_frame(events)
    catalogue = Catalogue.align(interactions.items, items)
    kind = MODELS["ease"]
    model = kind(kind.Config()).fit(Training(interactions, catalogue))
    hashes = {name: {k: v for k, v in part.items() if k != "version"} if part else None for name, part in data.items()}
    versions = {name: part["version"] if part else None for name, part in data.items()}
    digest = save(releases_of(home), model, catalogue, {"data": hashes}, {"data_version": versions})
    Ledger(home).append("promote", digest, "benchmark")
    shutil.copytree(work / "home" / "releases" / digest, work / "release")
    ordered = events.sort("timestamp", "item_id").group_by("user_id", maintain_order=True).agg("item_id")
    limit = Settings().serving.max_history
    histories = {user: history[-limit:] for user, history in ordered.iter_rows()}
    (work / "histories.json").write_text(json.dumps(histories))
    (work / "users.txt").write_text("\n".join(histories))


def same_lists(running: dict[str, Server], work: Path) -> None:
    """All must answer the same, or the comparison says nothing."""
    for user in list(json.loads((work / "histories.json").read_text()))[:100]:
        lists = {name: asked(server, user) for name, server in running.items()}
        if len({tuple(ids) for ids in lists.values()}) != 1:
            raise SystemExit(f"error: the servers disagree on user {user}: {lists}")
    say("all servers give the same lists")


def asked(server: Server, user: str) -> list[str]:
    request = urllib.request.Request(
        f"http://127.0.0.1:{server.port}/v1/models/everloop:predict",
        json.dumps({"instances": [{"user_id": user, "k": 10}]}).encode(),
        {"content-type": "application/json"},
    )
    with urllib.request.urlopen(request, timeout=10) as answer:
        return [item["id"] for item in json.load(answer)["predictions"][0]["items"]]


def measure(running: dict[str, Server], work: Path, rounds: int, seconds: float, connections: int) -> Json:
    results: Json = {name: {"peak": [], "half": []} for name in NAMES}
    for name in NAMES:  # each has run every code path before anything counts
        peak(running[name], work, 2, connections)
    for number in range(rounds):
        for name in NAMES:
            one = peak(running[name], work, seconds, connections)
            results[name]["peak"].append(one)
            say(f"round {number + 1}/{rounds} {name}: {one['rate']:.0f} requests/s, p99 {one['p99']:.1f} ms")
    for number in range(rounds):
        for name in NAMES:
            rate = statistics.median(one["rate"] for one in results[name]["peak"]) / 2
            one = loaded("constant", running[name], work, seconds, connections, "--rate", str(rate))
            results[name]["half"].append(one)
            say(f"round {number + 1}/{rounds} {name} at {rate:.0f} requests/s: p99 {one['p99']:.1f} ms")
    for name in NAMES:
        results[name]["rss_mb"] = running[name].rss_mb
    return results


def peak(server: Server, work: Path, seconds: float, connections: int) -> Json:
    """As many requests as it takes. wrk where there is one, else our own client, which is slower."""
    before = server.cpu_seconds()
    if wrk := shutil.which("wrk"):
        command = [wrk, "-t1", f"-c{connections}", f"-d{max(1, round(seconds))}s", "-s", str(HERE / "wrk.lua")]
        said = on_load_cores(
            [*command, f"http://127.0.0.1:{server.port}/v1/models/everloop:predict"], {"USERS": str(work / "users.txt")}
        )
        one = json.loads(said.partition("RESULT ")[2])
        one["rate"] = one["requests"] / one["seconds"]
    else:
        one = loaded("closed", server, work, seconds, connections)
    if one["errors"]:
        raise SystemExit(f"error: {one['errors']} requests to {server.name} failed")
    return {**one, "cpu_us": 1e6 * (server.cpu_seconds() - before) / one["requests"]}


def loaded(mode: str, server: Server, work: Path, seconds: float, connections: int, *more: str) -> Json:
    options = ["--seconds", str(seconds), "--connections", str(connections), *more]
    command = [
        sys.executable,
        "-m",
        "benchmarks.serving.load",
        mode,
        "127.0.0.1",
        str(server.port),
        str(work / "histories.json"),
    ]
    return dict(json.loads(on_load_cores([*command, *options], {})))


def on_load_cores(command: list[str], environment: dict[str, str]) -> str:
    done = subprocess.run(
        command,
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, **environment},
        preexec_fn=lambda: os.sched_setaffinity(0, cores()[1]),
    )
    if done.returncode:
        raise SystemExit(f"error: {' '.join(command[:4])} failed: {done.stderr[-500:]}")
    return done.stdout


def setup(given: argparse.Namespace) -> Json:
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    packages = ("kserve", "fastapi", "uvicorn", "uvloop", "httptools", "orjson", "numpy", "pydantic")
    return {
        "date": datetime.now(UTC).date().isoformat(),
        "command": f"python -m benchmarks.serving --rounds {given.rounds} --seconds {given.seconds:g} --connections {given.connections}",
        "cores": len(os.sched_getaffinity(0)),
        "memory_gb": round(memory),
        "cpu": cpu(),
        "python": platform.python_version(),
        "load": "wrk"
        if shutil.which("wrk")
        else "benchmarks/serving/load.py (`apt-get install wrk` gives a faster one)",
        "versions": {"everloop": VERSION, **{name: version(name) for name in packages}},
    }


def cpu() -> str:
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.machine())


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
