"""Draws the dashboards from what a real Prometheus answers to their queries: pictures for docs/.

>>> python -m monitoring.dashboards.preview docs/dashboards
docs/dashboards/serving.png

Grafana's grid, titles, units, legends and limits; not its every detail.
"""

import io
import sys
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.dates import DateFormatter, HourLocator
from matplotlib.figure import Figure
from matplotlib.patches import FancyBboxPatch
from matplotlib.ticker import FuncFormatter, MaxNLocator

from monitoring.dashboards.backfill import Prometheus, prometheus_over
from monitoring.dashboards.panel import WIDTH, Dashboard
from monitoring.dashboards.render import dashboards
from monitoring.dashboards.story import HOURS, story
from monitoring.dashboards.units import spelled

END = 1_764_000_000.0  # any moment: a picture must be the same tomorrow
RATE_INTERVAL = "2m"  # as Grafana takes it for scrapes every 30 s
CELL, INCH = 0.42, 100  # inches a grid cell is wide and high; dots an inch
PAPER, BOX, INK, FAINT, LINE = "#111217", "#181b1f", "#d8d9da", "#8e9193", "#2c3235"
GOOD, BAD, UNSURE = "#73bf69", "#f2495c", "#6e7074"
COLOURS = ("#73bf69", "#f2cc0c", "#5794f2", "#ff9830", "#b877d9", "#8ab8ff", "#ffa6b0", "#96d98d", "#ca95e5", "#fade2a")

Json = dict[str, Any]
Found = list[tuple[str, tuple[list[float], list[float]]]]  # legend, times (days, as matplotlib counts), values


def draw(dashboard: Dashboard, prometheus: Prometheus, end: float = END) -> Figure:
    """The whole dashboard, six hours until `end`."""
    panels = dashboard.json()["panels"]
    rows = max(panel["gridPos"]["y"] + panel["gridPos"]["h"] for panel in panels) + 2
    figure = Figure(figsize=(WIDTH * CELL * 1.55, rows * CELL), dpi=INCH, facecolor=PAPER)
    figure.text(0.008, 1 - 0.9 / rows, dashboard.title, color=INK, fontsize=15, fontweight="bold", va="center")
    figure.text(0.992, 1 - 0.9 / rows, "six made-up hours", color=FAINT, fontsize=10, va="center", ha="right")
    for panel in panels:
        at = panel["gridPos"]
        left, top = at["x"] / WIDTH, 1 - (at["y"] + 2) / rows
        box = (left + 0.004, top - at["h"] / rows + 0.003, at["w"] / WIDTH - 0.008, at["h"] / rows - 0.006)
        if panel["type"] == "row":
            figure.text(box[0] + 0.004, box[1] + box[3] / 2, panel["title"], color=INK, fontsize=12, va="center")
        else:
            _panel(figure, panel, box, rows, prometheus, end)
    return figure


def _panel(
    figure: Figure, panel: Json, box: tuple[float, ...], rows: float, prometheus: Prometheus, end: float
) -> None:
    x, y, width, height = box
    figure.add_artist(
        FancyBboxPatch(
            (x, y), width, height, boxstyle="square,pad=0", facecolor=BOX, edgecolor=LINE, linewidth=0.8, zorder=-1
        )
    )
    line = 1 / rows
    figure.text(
        x + 0.006, y + height - 0.75 * line, panel["title"], color=INK, fontsize=9.5, fontweight="bold", va="center"
    )
    if panel["type"] == "stat":
        _stat(figure, panel, box, prometheus, end)
        return
    found = _series(panel, prometheus, end)
    state = panel["type"] == "state-timeline"
    margin = min(max([len(name) for name, _ in found], default=0) * 0.0042 + 0.008, width * 0.45) if state else 0.034
    legend = (0.9 if state else 1.1 + 0.62 * _legend_lines(found, width)) * line
    axes = figure.add_axes((x + margin, y + legend, width - margin - 0.01, height - legend - 1.6 * line), facecolor=BOX)
    _frame(axes)
    if state:
        _states(axes, panel, found)
    else:
        _lines(axes, panel, found, line)
    axes.xaxis.set_major_formatter(DateFormatter("%H:%M"))
    axes.xaxis.set_major_locator(HourLocator())


def _series(panel: Json, prometheus: Prometheus, end: float) -> Found:
    """Of every query of a panel."""
    found: Found = []
    for target in panel["targets"]:
        expr = target["expr"].replace("$__rate_interval", RATE_INTERVAL)
        for series in prometheus.query_range(expr, end - HOURS * 3600, end, 60):
            name = target["legendFormat"]
            for label in ("variant", "release", "reason", "outcome", "code", "job", "kind", "feature", "guard", "model",
                          "endpoint", "operation", "instance", "alertname"):  # fmt: skip
                name = name.replace(f"{{{{{label}}}}}", series["metric"].get(label, ""))
            times, values = _whole(series["values"])
            found.append((name.strip() or "value", (times, values)))
    return found


def _whole(samples: list[list[Any]]) -> tuple[list[float], list[float]]:
    """With a NaN where samples are missing, so that no line bridges a gap."""
    times: list[float] = []
    values: list[float] = []
    for moment, text in samples:
        if times and moment - times[-1] * 86_400 > 90:
            times.append((times[-1] * 86_400 + 60) / 86_400)
            values.append(float("nan"))
        times.append(moment / 86_400)
        values.append(float(text))
    return times, values


def _frame(axes: Axes) -> None:
    axes.tick_params(colors=FAINT, labelsize=7, length=0)
    axes.grid(color=LINE, linewidth=0.6)
    for spine in axes.spines.values():
        spine.set_visible(False)


def _lines(axes: Axes, panel: Json, found: Found, line: float) -> None:
    defaults = panel["fieldConfig"]["defaults"]
    stacked = defaults["custom"]["stacking"]["mode"] == "normal"
    below: dict[float, float] = {}
    for index, (name, (times, values)) in enumerate(found):
        colour = COLOURS[index % len(COLOURS)]
        if stacked:
            floor = [below.get(moment, 0.0) for moment in times]
            values = [low + value for low, value in zip(floor, values, strict=True)]
            axes.fill_between(times, floor, values, color=colour, alpha=0.3, linewidth=0)
            below |= dict(zip(times, values, strict=True))
        axes.plot(times, values, color=colour, linewidth=1.1, label=name)
    steps = defaults["thresholds"]["steps"]
    highest = max((value for _, (_, values) in found for value in values if value == value), default=1.0)
    if len(steps) > 1 and steps[1]["value"] <= max(highest * 3, 1e-9):
        axes.axhline(steps[1]["value"], color=BAD, linewidth=0.9, linestyle="--")
    bottom, top = axes.get_ylim()
    axes.set_ylim(defaults.get("min", bottom), defaults.get("max", top if top > 0 else 1))
    if not highest:
        axes.set_ylim(0, 1)
    axes.set_xlim(
        min((t for _, (ts, _) in found for t in ts), default=0), max((t for _, (ts, _) in found for t in ts), default=1)
    )
    axes.yaxis.set_major_locator(MaxNLocator(4))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: spelled(value, defaults["unit"])))
    axes.legend(
        loc="upper left",
        bbox_to_anchor=(-0.06, -0.9 * line / axes.get_position().height),
        ncol=_columns(found, axes.get_position().width),
        fontsize=7,
        frameon=False,
        labelcolor=INK,
        handlelength=1.0,
        columnspacing=1.2,
        borderaxespad=0,
        labelspacing=0.3,
    )


def _columns(found: Found, width: float) -> int:
    longest = max((len(name) for name, _ in found), default=1)
    return max(1, min(len(found), int(width * 265 / (longest + 5))))


def _legend_lines(found: Found, width: float) -> int:
    columns = _columns(found, width - 0.044)
    return min(-(-len(found) // columns), 3) if found else 1


def _states(axes: Axes, panel: Json, found: Found) -> None:
    """A bar a series; its colour says its state."""
    top = panel["fieldConfig"]["defaults"].get("max", 1)
    shades = {0: UNSURE if top == 2 else GOOD, 1: GOOD if top == 2 else BAD, 2: BAD}
    for index, (_, (times, values)) in enumerate(found):
        for start, end, value in zip(times, times[1:], values, strict=False):
            if value == value:
                axes.barh(index, end - start, left=start, height=0.7, color=shades.get(int(value), UNSURE), linewidth=0)
    axes.set_yticks(range(len(found)), [name for name, _ in found], color=INK, fontsize=7)
    axes.set_ylim(len(found) - 0.4, -0.6)
    end = END / 86_400
    axes.set_xlim(end - HOURS / 24, end)
    axes.grid(visible=False)


def _stat(figure: Figure, panel: Json, box: tuple[float, ...], prometheus: Prometheus, end: float) -> None:
    x, y, width, height = box
    defaults = panel["fieldConfig"]["defaults"]
    names = {key: each["text"] for mapping in defaults.get("mappings", ()) for key, each in mapping["options"].items()}
    shown = []
    for target in panel["targets"]:
        for series in prometheus.query(target["expr"].replace("$__rate_interval", RATE_INTERVAL), end):
            value = float(series["value"][1])
            text = names.get(str(int(value)), "") if names else ""
            label = next(iter(series["metric"].values()), "") if "{{" in target["legendFormat"] else ""
            shown.append((text or spelled(value, defaults["unit"]), label, _colour(value, defaults)))
    for index, (text, label, colour) in enumerate(shown):
        middle = x + width * (2 * index + 1) / (2 * len(shown))
        size = 19 if len(shown) == 1 else 14
        figure.text(middle, y + height * 0.42, text, color=colour, fontsize=size, ha="center", va="center")
        figure.text(middle, y + height * 0.14, label, color=FAINT, fontsize=7.5, ha="center", va="center")


def _colour(value: float, defaults: Json) -> str:
    shade = defaults["thresholds"]["steps"][0]["color"]
    for step in defaults["thresholds"]["steps"][1:]:
        if value >= step["value"]:
            shade = step["color"]
    return {"green": GOOD, "red": BAD, "text": INK}[shade]


def write_previews(target: Path) -> list[Path]:
    """A picture of each dashboard."""
    mpl.rcParams["font.family"] = "DejaVu Sans"
    target.mkdir(parents=True, exist_ok=True)
    written = []
    with prometheus_over(story(END)) as prometheus:
        for dashboard in dashboards():
            picture = io.BytesIO()
            draw(dashboard, prometheus).savefig(picture, format="png", metadata={"Software": None})
            path = target / f"{dashboard.name}.png"
            path.write_bytes(picture.getvalue())
            written.append(path)
    return written


if __name__ == "__main__":
    for path in write_previews(Path(sys.argv[1])):
        print(path)
