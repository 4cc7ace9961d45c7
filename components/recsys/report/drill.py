"""The drill's report: what each scene had to show, and the story as one picture.

>>> page = drill_page({"scenes": [{"name": "steady", "title": "steady weeks", "ok": True, "figures": {"triggers": 0},
...                                "evidence": [], "seconds": 31.0}], "failed_requests": 0, "seconds": 31.0, "timeline": {}})

Self-contained and without scripts, as the report of a run. A drill of some scenes only, or one that broke off, gets a page of
what there is.
"""

from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

from markupsafe import Markup

from components.recsys.report.figures import number, share
from components.recsys.report.style import style
from components.recsys.report.svg import FAINT, INK, SERIES, drawing

Json = Mapping[str, Any]
LEAST_DAYS = 2  # a line needs two points
RATES = ("rate", "share", "of_informed")  # figures that are parts of a whole, by the end of their name


def drill_page(result: Json) -> str:
    """The page, complete. result: of `pipelines.drill.story.play`. Equal results give equal bytes."""
    timeline = result.get("timeline") or {}
    failed, scenes = result.get("failed_requests", 0), result.get("scenes") or []
    unfinished = [scene for scene in scenes if not scene.get("ok")]
    return str(
        _template().render(
            style=style(),
            ok=not unfinished and not failed and bool(scenes),
            headline=headline(len(scenes), len(unfinished), failed),
            label=result.get("label", ""),
            watched_by=result.get("watched_by", ""),
            requests=number(result.get("requests")),
            failed=number(failed),
            failures=[str(why) for why in result.get("failures") or []],
            seconds=number(round(result.get("seconds", 0))),
            scenes=[told_scene(scene) for scene in scenes],
            picture=Markup(drill_picture(result)),  # ours, its texts escaped
            marks=[mark for mark, _ in numbered(timeline.get("marks") or [])],
        )
    )


def drill_picture(result: Json) -> str:
    """Click rate by day, the level of a model that knows everything, the candidate's share below; inline SVG.

    Empty where fewer than two days passed. Numbers at the top are the marks, in order.
    """
    timeline = result.get("timeline") or {}
    days, rates = list(timeline.get("days") or []), list(timeline.get("click_rate") or [])
    if min(len(days), len(rates)) < LEAST_DAYS:
        return ""
    shares = [*(timeline.get("share") or []), *[0.0] * len(days)][: len(days)]
    oracle, marks = timeline.get("oracle_rate"), numbered(timeline.get("marks") or [])
    described = f"{len(days)} days, from {min(rates):.1%} to {max(rates):.1%}. " + "; ".join(
        f"{mark['number']}: day {mark['day']}, {mark['text']}" for mark, _ in marks
    )
    panels = {"nrows": 2, "sharex": True, "height_ratios": (3, 1)}
    with drawing(9.0, 4.6, "Click rate and the candidate's share by simulated day", described, **panels) as (
        done,
        axes,
    ):
        above, below = axes
        above.plot(days, rates, color=SERIES[0], linewidth=1.8, marker="o", markersize=3, label="lists with a click")
        if oracle is not None:
            above.axhline(
                oracle, color=SERIES[2], linewidth=1.2, linestyle="--", label="of a model that knew of the shift"
            )
        for day, label in labels_of(marks).items():
            for panel in axes:
                panel.axvline(day, color=FAINT, linewidth=0.8, linestyle=":")
            above.annotate(
                label, (day, 1), xycoords=("data", "axes fraction"), xytext=(0, 3), textcoords="offset points",
                ha="center", fontsize=9, color=INK,
            )  # fmt: skip
        above.set_ylim(bottom=0)
        above.yaxis.set_major_formatter(_percent)
        above.set_ylabel("click rate")
        above.legend(loc="lower left")
        below.fill_between(days, shares, step="mid", color=SERIES[1], alpha=0.45, linewidth=0)
        below.plot(days, shares, drawstyle="steps-mid", color=SERIES[1], linewidth=1.2)
        below.set_ylim(0, 1.05)
        below.set_yticks([0, 0.5, 1])
        below.yaxis.set_major_formatter(_percent)
        below.set_ylabel("candidate")
        below.set_xlabel("simulated day")
    return str(done.markup)


def headline(scenes: int, unfinished: int, failed: int) -> str:
    if not scenes:
        return "No scene was played"
    told = (
        "All scenes went as they must" if not unfinished else f"{unfinished} of {scenes} scenes did not go as they must"
    )
    return f"{told}; {'no client saw a failed request' if not failed else f'clients saw {failed:,} failed requests'}"


def told_scene(scene: Json) -> Json:
    return {
        "name": str(scene.get("name", "")),
        "title": str(scene.get("title") or scene.get("name", "")),
        "ok": bool(scene.get("ok")),
        "figures": [
            (name.replace("_", " "), told_figure(name, value)) for name, value in scene.get("figures", {}).items()
        ],
        "evidence": [str(line) for line in scene.get("evidence") or []],
        "seconds": number(round(scene.get("seconds", 0))),
    }


def told_figure(name: str, value: Any) -> str:
    """In words.

    >>> told_figure("largest_share", 0.05), told_figure("paged", True), told_figure("shares", [0.05, 1.0])
    ('5 %', 'yes', '5 %, 100 %')
    """
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list | tuple):
        return ", ".join(told_figure(name.removesuffix("s"), each) for each in value) or "none"
    if isinstance(value, int | float) and (name.endswith(RATES) or "click_rate" in name):
        return share(value)
    return number(value) or "none"


def numbered(marks: Sequence[Json]) -> list[tuple[Json, int]]:
    """Marks in the order of their days, with the number that the picture shows, and the day."""
    ordered = sorted(marks, key=lambda mark: mark["day"])
    return [
        ({"number": place, "day": mark["day"], "text": str(mark["text"])}, mark["day"])
        for place, mark in enumerate(ordered, start=1)
    ]


def labels_of(marks: Sequence[tuple[Json, int]]) -> dict[int, str]:
    """Day -> its numbers, such as 3 or 4–6: many things happen on one day."""
    by_day: dict[int, list[int]] = {}
    for mark, day in marks:
        by_day.setdefault(day, []).append(mark["number"])
    return {day: str(each[0]) if len(each) == 1 else f"{each[0]}–{each[-1]}" for day, each in by_day.items()}


def _percent(value: float, _: int) -> str:
    return share(value)


@cache
def _template() -> Any:
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("components.recsys.report", "."),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=StrictUndefined,
    )
    return environment.get_template("drill.html.j2")
