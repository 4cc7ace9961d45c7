"""The results as a table, and whether they meet what we promise.

>>> verdicts(results)[0]
{'target': 'at least 2.5 times the rate of kserve', 'value': 3.4, 'limit': 2.5, 'met': True}
"""

import statistics
from typing import Any

Json = dict[str, Any]
TITLES = {
    "everloop": "Everloop",
    "kserve": "kserve.Model, defaults",
    "kserve-quiet": "kserve.Model, logs off",
    "fastapi": "FastAPI, uvicorn, orjson",
}
HEADINGS = """\
| server | requests/s | spread | times kserve | p50 at peak, ms | p99 at peak, ms | CPU a request, µs \
| p50 at half, ms | p99 at half, ms | RSS, MB |
| - | -: | -: | -: | -: | -: | -: | -: | -: | -: |"""
TIMES_KSERVE = 2.5
TIMES_FASTAPI = 1.0
P99_MS = 10.0


def median(results: Json, name: str, kind: str, figure: str) -> float:
    return statistics.median(one[figure] for one in results[name][kind])


def verdicts(results: Json) -> list[Json]:
    ours = median(results, "everloop", "peak", "rate")
    kserve, fastapi = (
        ours / median(results, "kserve", "peak", "rate"),
        ours / median(results, "fastapi", "peak", "rate"),
    )
    p99 = median(results, "everloop", "half", "p99")
    return [
        {
            "target": "times the rate of kserve's defaults, at least",
            "value": kserve,
            "limit": TIMES_KSERVE,
            "met": kserve >= TIMES_KSERVE,
        },
        {
            "target": "times the rate of FastAPI, at least",
            "value": fastapi,
            "limit": TIMES_FASTAPI,
            "met": fastapi >= TIMES_FASTAPI,
        },
        {"target": "ms for 99 % at half the peak rate, under", "value": p99, "limit": P99_MS, "met": p99 < P99_MS},
    ]


def render(results: Json) -> str:
    setup = results["setup"]
    rows = [row(results, name) for name in TITLES]
    targets = [
        f"| {one['target']} | {one['limit']:g} | {one['value']:.2f} | {'yes' if one['met'] else 'no'} |"
        for one in results["targets"]
    ]
    versions = ", ".join(f"{name} {version}" for name, version in setup["versions"].items())
    return f"""# Serving: the same top 10 over the same release

One process each, pinned to one core; the load on the other. MovieLens 100K, EASE, 1,682 items, the users in turn with their
whole history (106 events on average), k = 10. Rounds are interleaved. Ours is `everloop serve` as it is: online history in SQLite,
filters, reasons, metrics, following the ledger. The others have every history in memory as arrays and give items and scores only.

{HEADINGS}
{chr(10).join(rows)}

requests/s: median of the rounds; spread: lowest to highest. At peak: {setup["load"]}, closed loop, 16 connections unless the
command says otherwise. At half: each server at half of its own peak, constant rate, measured from when a request was due.

| target | limit | measured | met |
| - | -: | -: | - |
{chr(10).join(targets)}

{setup["date"]}, {setup["cores"]} cores ({setup["cpu"]}), {setup["memory_gb"]} GB, Python {setup["python"]}, load average before:
{setup["load_before"]}. {versions}.

```
{setup["command"]}
```
"""


def row(results: Json, name: str) -> str:
    rates = [one["rate"] for one in results[name]["peak"]]
    times = statistics.median(rates) / median(results, "kserve", "peak", "rate")
    return (
        f"| {TITLES[name]} | {statistics.median(rates):,.0f} | {min(rates):,.0f} to {max(rates):,.0f} | {times:.2f} "
        f"| {median(results, name, 'peak', 'p50'):.1f} | {median(results, name, 'peak', 'p99'):.1f} "
        f"| {median(results, name, 'peak', 'cpu_us'):.0f} | {median(results, name, 'half', 'p50'):.1f} "
        f"| {median(results, name, 'half', 'p99'):.1f} | {results[name]['rss_mb']:.0f} |"
    )
