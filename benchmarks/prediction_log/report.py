"""The figures as tables, and whether they meet what we promise.

>>> verdicts(results)[0]
{'target': 'MB that memory grew ...', 'value': 0.3, 'limit': 8.0, 'met': True}
"""

from typing import Any

Json = dict[str, Any]
GROWTH_MB = 8.0  # between the first and the last third of the outage; ten seconds of held records would be more
WITHIN_MS = 2.0
HEADINGS = """\
| phase | seconds | requests | p99 of a request, ms | p99 of an append, ms | RSS at its end, MB \
| RSS slope, MB a minute | spool at most, MB | dropped |
| - | -: | -: | -: | -: | -: | -: | -: | -: |"""


def verdicts(results: Json) -> list[Json]:
    before, outage, after = (results[name] for name in ("before", "outage", "after"))

    def most(target: str, value: float, limit: float) -> Json:
        return {"target": target, "value": value, "limit": limit, "met": value <= limit}

    return [
        most(
            "MB that memory grew from the first to the last third of the outage, at most", outage["growth"], GROWTH_MB
        ),
        most("ms that p99 of a request rose in the outage, at most", outage["request"] - before["request"], WITHIN_MS),
        most("ms that p99 of an append rose in the outage, at most", outage["append"] - before["append"], WITHIN_MS),
        most("records dropped before the spool was full, at most", outage["dropped_early"], 0),
        most("records neither in the sink nor counted as dropped, at most", abs(after["lost"]), 0),
        most("records in the sink more than once, at most", after["repeated"], 0),
    ]


def note(setup: Json) -> str:
    """A table that was taken beside other work says so, and what was done about it."""
    if setup["load"] <= 1:
        return ""
    if setup["realtime"]:
        return "The machine had other work; client, server and sink ran with real-time priority (SCHED_FIFO).\n\n"
    return "Other work kept the machine busy meanwhile, which is most of the time of a request here.\n\n"


def render(results: Json) -> str:
    setup, after = results["setup"], results["after"]
    rows = [
        f"| {title} | {one['seconds']:.0f} | {one['requests']:,} | {one['request']:.2f} | {one['append']:.3f} "
        f"| {one['rss']:.0f} | {one['slope']:+.2f} | {one['spool']:.1f} | {one['dropped']:,} |"
        for title, one in ((name, results[name]) for name in ("before", "outage", "recovery"))
    ]
    targets = [
        f"| {one['target']} | {one['limit']:g} | {one['value']:.3g} | {'yes' if one['met'] else 'no'} |"
        for one in results["targets"]
    ]
    full, limit = results["outage"]["full_after"], setup["spool_bytes"] / 1e6
    return f"""\
# Prediction log: {setup["outage"] / 60:g} minutes with a dead sink

A server (uvicorn, one ASGI callable) appends one record of {setup["record_bytes"]:,} bytes a request, {setup["rate"]:g} a second, to the
log with its default settings, apart from the spool's limit, which is set so that two thirds of the outage fit. The sink is
an S3 server over a socket; during the outage its process is stopped (SIGSTOP), so that connections hang, then it goes on.
A request is timed from when it was due. Append: the call alone.

{HEADINGS}
{chr(10).join(rows)}

The spool's limit was {limit:.1f} MB; it was reached {full:.0f} s into the outage. Afterwards: {after["appended"]:,} appended,
{after["sunk"]:,} in the sink, {after["dropped"]:,} dropped and counted;
the spool was empty {after["drained"]:.1f} s after the sink came back.

| target | limit | measured | met |
| - | -: | -: | - |
{chr(10).join(targets)}

{note(setup)}{setup["date"]}, {setup["machine"]}, Python {setup["python"]}, load average before: {setup["load"]:.2f}.
everloop {setup["version"]}.

```
{"chrt -f 10 " if setup["realtime"] else ""}{setup["command"]}
```
"""
