"""How often a run is asked for in worlds where nothing shifts, and how soon where something does.

>>> python -m benchmarks.drift.false_alarms --worlds 50      # ten minutes on one core; writes false_alarms.md

Every seed is a world of its own: 600 people, 300 offers, 60 days that the champion is trained on. Then the monitor looks once a
day, and the rules whose action is to retrain are put to what it says, drift and clicks alike (ModelStale, which goes by the
calendar, is left out). An alarm is the first of a run of days on which any of them asks, as an alert that goes on firing is one
alert. Exits with 1 when quiet worlds give more than one false alarm in 50 world-months.
"""

import argparse
import json
import os
import platform
import sys
import time
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any, NamedTuple

from scipy.stats import beta
from threadpoolctl import threadpool_limits

from benchmarks.drift.living import (
    BASE_DAYS,
    DULLER,
    DULLER_BY,
    EXHAUSTING,
    INVERTED,
    LISTS,
    SEARCH,
    Harm,
    mornings,
)
from components.recsys.simulator import World
from components.recsys.version import VERSION

HERE = Path(__file__).parent
MONTH = 31  # days watched before the season changes: people and offers are the same, so nothing should be said
SEASON = BASE_DAYS + MONTH + 1  # the first of June: in the synthetic world all tastes for climates jump on that day
UNTIL = SEASON + 30
SHIFT_DAY = 74
WAIT = 14  # days after it that are watched
STRENGTHS = (1.0, 0.5, 0.25)
GOAL = 1 / 50
NAMES = {
    SEARCH: "people search by themselves",
    LISTS: "people choose from the champion's lists",
    EXHAUSTING: "the same, nothing clicked is shown again",
}
Json = dict[str, Any]


class Task(NamedTuple):
    """One world. strength: of the shift to economy flights; harm: what befalls the champion. Both on SHIFT_DAY."""

    seed: int
    kind: str
    until: int
    strength: float | None = None
    harm: str | None = None


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.drift.false_alarms", description=__doc__.splitlines()[0]
    )
    parser.add_argument("--worlds", type=int, default=50, help="quiet worlds of each kind")
    parser.add_argument(
        "--few", type=int, default=10, help="worlds that run out of items, and of lists when the season changes"
    )
    parser.add_argument("--power-worlds", type=int, default=6, help="worlds for each strength of the shift")
    parser.add_argument("--seed", type=int, default=3000, help="the first world's; the others follow")
    parser.add_argument("--processes", type=int, default=1, help="worlds at the same time")
    parser.add_argument("--out", type=Path, default=HERE, help="folder of false_alarms.md and false_alarms.json")
    given = parser.parse_args()
    few = min(given.few, given.worlds)
    quiet = [
        Task(given.seed + number, kind, until)
        for number in range(given.worlds)
        for kind, until in (
            (SEARCH, UNTIL),
            (LISTS, UNTIL if number < few else BASE_DAYS + MONTH),
            *([(EXHAUSTING, BASE_DAYS + MONTH)] if number < few else []),
        )
    ]
    seeds, end = range(given.seed, given.seed + given.power_worlds), SHIFT_DAY + WAIT
    shifted = [Task(seed, kind, end, strength) for strength in STRENGTHS for seed in seeds for kind in (SEARCH, LISTS)]
    harmed = [Task(seed, LISTS, end, harm=harm) for harm in (DULLER, INVERTED) for seed in seeds]
    tasks = quiet + shifted + harmed
    began = time.monotonic()
    with ProcessPoolExecutor(given.processes, mp_context=get_context("spawn")) as pool:
        results = []
        for result in pool.map(lived, tasks):
            results.append(result)
            if len(results) % 10 == 0:
                print(f"{len(results)} of {len(tasks)} worlds", file=sys.stderr, flush=True)
    summary = summed(results)
    summary["setup"] = {
        "command": " ".join(["python -m benchmarks.drift.false_alarms", *sys.argv[1:]]),
        "version": VERSION,
        "python": platform.python_version(),
        "cores": os.cpu_count(),
        "seconds": round(time.monotonic() - began),
        "seeds": f"{given.seed} to {given.seed + given.worlds - 1}",
    }
    given.out.mkdir(parents=True, exist_ok=True)
    (given.out / "false_alarms.json").write_text(json.dumps(summary, indent=1) + "\n")
    (given.out / "false_alarms.md").write_text(render(summary))
    print(render(summary))
    return 0 if all(row["rate"] <= GOAL for row in summary["quiet"] if row["goal"]) else 1


def lived(task: Task) -> Json:
    """One world: on which days what asked for a run."""
    world = World(task.seed, n_users=600, n_items=300)
    if task.strength is not None:
        world.shift("economy", day=SHIFT_DAY, strength=task.strength)
    with threadpool_limits(1):
        harm = Harm(task.harm, SHIFT_DAY) if task.harm else None
        said = list(mornings(world, task.kind, task.until, harm=harm))
    return {
        **task._asdict(),
        "asked": {morning.day: morning.asked for morning in said if morning.asked},
        "least_change": min((m.click_rate.change or 0.0 for m in said if m.click_rate), default=None),
    }


def summed(results: list[Json]) -> Json:
    """Rows of the tables."""
    plain = [result for result in results if result["strength"] is None and result["harm"] is None]
    quiet, power = [], []
    for kind in NAMES:
        own = [result for result in plain if result["kind"] == kind]
        if own:
            month = range(BASE_DAYS, BASE_DAYS + MONTH)
            quiet.append({"kind": kind, "month": "quiet", "goal": kind != EXHAUSTING, **alarms(own, month)})
        longer = [result for result in own if result["until"] == UNTIL]
        if longer:
            season = range(BASE_DAYS + MONTH, UNTIL)
            quiet.append({"kind": kind, "month": "season", "goal": False, **alarms(longer, season)})
    for kind in (SEARCH, LISTS):
        for strength in STRENGTHS:
            own = [result for result in results if result["strength"] == strength and result["kind"] == kind]
            what = f"people turn to economy flights, strength {strength:g}"
            power.append({"kind": kind, "what": what, "drift": delays(own, "drift"), "quality": delays(own, "quality")})
    whats = {
        DULLER: f"every list loses its clicks with probability {DULLER_BY:g}",
        INVERTED: "the champion's order is inverted",
    }
    for harm, what in whats.items():
        own = [result for result in results if result["harm"] == harm]
        power.append({"kind": LISTS, "what": what, "drift": delays(own, "drift"), "quality": delays(own, "quality")})
    changes = [one["least_change"] for one in plain if one["kind"] == LISTS and one["until"] == BASE_DAYS + MONTH]
    return {"quiet": quiet, "power": power, "least_change": min(changes, default=None), "least_of": len(changes)}


def alarms(worlds: list[Json], days: range) -> Json:
    """Runs of days with anything that asks for a run which begin in `days`, and worlds that have one, with the interval of Clopper
    and Pearson. by: at the beginning of how many alarms each reason or feature asked."""
    by: Counter[str] = Counter()
    count = with_any = 0
    for world in worlds:
        begun = [day for day in days if day in world["asked"] and (day == days.start or day - 1 not in world["asked"])]
        count += len(begun)
        with_any += bool(begun)
        by.update(
            f"{reason}: {name}" for day in begun for reason, names in world["asked"][day].items() for name in names
        )
    n = len(worlds)
    low = float(beta.ppf(0.025, with_any, n - with_any + 1)) if with_any else 0.0
    high = float(beta.ppf(0.975, with_any + 1, n - with_any)) if with_any < n else 1.0
    return {"alarms": count, "worlds": with_any, "of": n, "rate": count / n, "low": low, "high": high, "by": dict(by)}


def delays(worlds: list[Json], reason: str) -> Json:
    """Complete days of the new world until this reason asks for a run; none within WAIT."""
    waits = [
        min(
            (day - SHIFT_DAY + 1 for day, asked in one["asked"].items() if day >= SHIFT_DAY and reason in asked),
            default=None,
        )
        for one in worlds
    ]
    seen = sorted(wait for wait in waits if wait is not None)
    return {
        "worlds": len(waits),
        "seen": len(seen),
        "median": seen[len(seen) // 2] if len(seen) > len(waits) // 2 else None,
        "longest": seen[-1] if seen else None,
    }


def render(summary: Json) -> str:
    setup = summary["setup"]
    lines = [
        "# How often a run is asked for without reason, and how soon with one",
        "",
        f"`{setup['command']}`, seeds {setup['seeds']}, Everloop {setup['version']}, Python {setup['python']}, "
        f"{setup['cores']} cores, {setup['seconds']} s. Synthetic travel world, not real data.",
        "",
        "600 people, 300 offers; an EASE champion trained on 60 days; then one look a day with the default settings. What is",
        "counted: mornings on which a rule with the action `retrain` holds, evaluated as it stands in the rule file:",
        "`DriftDetected` (any feature) or `QualityDropped` (people click less). `ModelStale` asks by the calendar and is left out.",
        "An alarm is the first of a run of such days. Intervals: Clopper-Pearson, 95 %, of the share of worlds with an alarm.",
        "Goal for the two quiet rows without exhaustion: at most 1 alarm in 50 world-months.",
        "",
        "| world | month | alarms | worlds with one | interval | by |",
        "| - | - | - | - | - | - |",
    ]
    names = {
        "quiet": f"quiet (days {BASE_DAYS}-{BASE_DAYS + MONTH - 1})",
        "season": f"first season changes (day {SEASON})",
    }
    for row in summary["quiet"]:
        by = ", ".join(f"{name} {count}" for name, count in sorted(row["by"].items(), key=lambda x: -x[1])[:4])
        lines.append(
            f"| {NAMES[row['kind']]} | {names[row['month']]} | {row['alarms']} in {row['of']} world-months | "
            f"{row['worlds']} of {row['of']} | {row['low']:.1%} to {row['high']:.1%} | {by or '-'} |"
        )
    if summary["least_change"] is not None:
        lines += [
            "",
            f"The lowest click rate of any last window in the {summary['least_of']} quiet worlds with lists that were watched",
            f"for the month alone: {summary['least_change']:+.1%} against the baseline.",
        ]
    lines += [
        "",
        "The rows of the season and of exhaustion are reported, not counted against the goal. The season: on that day the synthetic",
        "world's tastes for climates do jump, and with less than a year of events nobody can tell a first summer from a change of",
        "taste. Worlds in which nothing that was clicked is shown again run out of things to show: their click rate does fall.",
        "",
        f"## Power: what happens on day {SHIFT_DAY}, and how many of {WAIT} days it takes",
        "",
        "| world | what | drift asks | median days | longest | clicks ask | median days | longest |",
        "| - | - | - | - | - | - | - | - |",
    ]
    for row in summary["power"]:
        told = " | ".join(
            f"{each['seen']} of {each['worlds']} | {each['median'] or '-'} | {each['longest'] or '-'}"
            for each in ([row["drift"], row["quality"]])
        )
        lines.append(f"| {NAMES[row['kind']]} | {row['what']} | {told} |")
    return "\n".join([*lines, ""])


if __name__ == "__main__":
    sys.exit(main())
