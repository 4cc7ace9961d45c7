"""The report's plots. Each takes plain numbers and gives inline SVG.

>>> candidates([("ease", {"value": 0.24, "low": 0.23, "high": 0.25})], "nDCG@10", chosen="ease")
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from markupsafe import Markup

from components.recsys.report.svg import FAINT, INK, MARKERS, SERIES, drawing, safe

Json = Mapping[str, Any]
WIDE = 4.6  # inches: 440 px, so that text is still readable when a phone shrinks it
ROW = 0.3  # inches a row
POINTS = 400  # of a curve, enough for the eye


def over_time(counts: Sequence[tuple[str, float]]) -> Markup:
    """Events by day, or by the first day of longer spells, in order."""
    values = [count for _, count in counts]
    with drawing(
        WIDE, 2.0, "Events over time", f"{len(counts)} spells, from {min(values):g} to {max(values):g} events each."
    ) as (done, axes):
        axes.fill_between(range(len(values)), values, step="mid", color=SERIES[0], alpha=0.35, linewidth=0)
        axes.plot(range(len(values)), values, drawstyle="steps-mid", color=SERIES[0], linewidth=1.2)
        places = sorted({round(place) for place in np.linspace(0, len(values) - 1, min(4, len(values)))})
        axes.set_xticks(places, [safe(counts[place][0], 10) for place in places])
        axes.set_ylim(bottom=0)
        axes.grid(axis="x", visible=False)
        axes.set_ylabel("events")
    return done.markup


def histogram(counts: Sequence[tuple[str, float]], title: str, what: str) -> Markup:
    """Bars in the given order, such as users by length of their history."""
    described = ", ".join(f"{name}: {count:g}" for name, count in counts[:12])
    with drawing(WIDE, 2.0, title, described) as (done, axes):
        axes.bar(range(len(counts)), [count for _, count in counts], color=SERIES[0], width=0.8)
        step = max(1, len(counts) // 10)
        names = [safe(name, 10) for name, _ in counts[::step]]
        # About 45 characters of the usual size go below the axis; longer labels would run into their neighbours.
        size = 10 if max(map(len, names), default=0) * len(names) <= 42 else 8
        axes.set_xticks(range(0, len(counts), step), names, size=size)
        axes.grid(axis="x", visible=False)
        axes.set_ylabel(what)
    return done.markup


def candidates(estimates: Sequence[tuple[str, Json]], metric: str, chosen: str) -> Markup:
    """A row per candidate: the value and its 95 % interval; the chosen one is filled."""
    described = "; ".join(f"{name} {estimate['value']:.3f}" for name, estimate in estimates)
    with drawing(WIDE, 0.8 + ROW * len(estimates), f"Candidates by {metric}", described) as (done, axes):
        for row, (name, estimate) in enumerate(estimates):
            _interval(axes, row, estimate, SERIES[0] if name == chosen else INK, hollow=name != chosen)
        _rows(axes, [name for name, _ in estimates])
        axes.set_xlabel(f"{metric}, 95 % interval")
    return done.markup


def tradeoffs(values: Mapping[str, Mapping[str, float]], metric: str, others: Sequence[tuple[str, str]]) -> Markup:
    """What accuracy costs: a panel for each of `others` (name, label). values: candidate -> metric -> value."""
    names, rows = list(values), (len(others) + 1) // 2
    described = "; ".join(
        f"{name}: "
        + ", ".join(f"{label} {values[name][other]:.2f}" for other, label in others if other in values[name])
        for name in names
    )
    title = f"{metric} against what it does not see"
    size = {"nrows": rows, "ncols": 2, "sharey": True, "squeeze": False}
    with drawing(WIDE, 1.7 * rows + 0.6, title, described, **size) as (done, panels):
        for panel, (other, label) in zip(panels.flat, others, strict=False):
            for index, name in enumerate(names):
                if other in values[name]:
                    style = _style(index)
                    panel.plot(
                        values[name][other], values[name]["accuracy"], linestyle="none", label=safe(name, 16), **style
                    )
            panel.set_xlabel(label)
            panel.margins(0.15)
        for panel in list(panels.flat)[len(others) :]:
            panel.set_visible(False)
        for panel in panels[:, 0]:
            panel.set_ylabel(metric)
        handles, labels = panels[0, 0].get_legend_handles_labels()
        panels[0, 0].figure.legend(handles, labels, loc="outside upper center", ncols=min(3, len(names)))
    return done.markup


def forest(comparisons: Sequence[Json], metric: str) -> Markup:
    """Differences with their intervals against zero."""
    names = [f"{each['challenger']} − {each['against']}" for each in comparisons]
    described = "; ".join(f"{name} {each['difference']:+.3f}" for name, each in zip(names, comparisons, strict=True))
    with drawing(WIDE, 0.8 + ROW * len(names), f"Differences in {metric}", described) as (done, axes):
        axes.axvline(0, color=INK, linewidth=1, linestyle="--")
        for row, each in enumerate(comparisons):
            estimate = {"value": each["difference"], "low": each["low"], "high": each["high"]}
            _interval(
                axes, row, estimate, SERIES[0] if each.get("passed") else SERIES[1], hollow=not each.get("passed")
            )
        _rows(axes, names)
        axes.set_xlabel(f"difference in {metric}; right is better")
    return done.markup


def slices(attribute: str, groups: Sequence[str], values: Mapping[str, Sequence[Json]], metric: str) -> Markup:
    """A row per group, a mark per candidate. values: candidate -> an estimate per group, in the groups' order."""
    names = list(values)
    described = "; ".join(
        f"{group}: "
        + ", ".join(f"{name} {values[name][row]['value']:.3f}" for name in names if _known(values[name][row]))
        for row, group in enumerate(groups)
    )
    height = 1.1 + (0.12 * len(names) + 0.16) * len(groups)
    with drawing(WIDE, height, f"{metric} by {attribute}", described) as (done, axes):
        for index, name in enumerate(names):
            shift = (index - (len(names) - 1) / 2) * 0.8 / len(names)
            for row, estimate in enumerate(values[name]):
                if _known(estimate):
                    style = _style(index)
                    _whisker(axes, row + shift, estimate, style["color"])
                    axes.plot(estimate["value"], row + shift, linestyle="none", **{**style, "markersize": 4.5})
        for row in range(1, len(groups)):
            axes.axhline(row - 0.5, color=FAINT, linewidth=0.5)
        _rows(axes, groups)
        axes.set_xlabel(f"{metric}, 95 % interval")
        marks = [
            axes.plot([], [], linestyle="none", label=safe(name, 16), **_style(index))[0]
            for index, name in enumerate(names)
        ]
        axes.figure.legend(handles=marks, loc="outside upper center", ncols=min(3, len(names)))
    return done.markup


def lorenz(exposure: Mapping[str, Sequence[float]]) -> Markup:
    """Share of all places or events that the least shown share of items gets; the diagonal is perfect equality."""
    with drawing(WIDE, 3.0, "Who gets shown", _told(exposure)) as (done, axes):
        axes.plot([0, 1], [0, 1], color=INK, linewidth=1, linestyle="--")
        for index, (name, counts) in enumerate(exposure.items()):
            share = np.concatenate([[0.0], np.cumsum(np.sort(np.asarray(counts, float)))])
            share /= max(share[-1], 1e-12)
            at = np.unique(np.linspace(0, len(share) - 1, POINTS).astype(int))
            line = ("-", "--", ":", "-.")[index % 4]
            axes.plot(
                at / (len(share) - 1),
                share[at],
                color=SERIES[index % 6],
                linestyle=line,
                linewidth=1.8,
                label=safe(name),
            )
        axes.set(xlim=(0, 1), ylim=(0, 1), xlabel="share of items, least shown first", ylabel="share of what is shown")
        axes.legend(loc="upper left")
    return done.markup


def half_share(counts: Sequence[float]) -> float:
    """The smallest share of items that holds half of all events or places."""
    ordered = np.cumsum(-np.sort(-np.asarray(counts, float)))
    if not len(ordered) or ordered[-1] <= 0:
        return 0.0
    return float((np.searchsorted(ordered, ordered[-1] / 2) + 1) / len(ordered))


def _told(exposure: Mapping[str, Sequence[float]]) -> str:
    return " ".join(
        f"Half of {name} falls on {half_share(counts):.1%} of the items." for name, counts in exposure.items()
    )


def _known(estimate: Json) -> bool:
    return estimate.get("value") is not None


def _style(index: int) -> dict[str, Any]:
    return {"color": SERIES[index % 6], "marker": MARKERS[index % 6], "markersize": 6}


def _interval(axes: Any, row: float, estimate: Json, color: str, *, hollow: bool) -> None:
    _whisker(axes, row, estimate, color)
    fill = {"markerfacecolor": "none"} if hollow else {}
    axes.plot(estimate["value"], row, marker="o", markersize=6, color=color, linestyle="none", **fill)


def _whisker(axes: Any, row: float, estimate: Json, color: str) -> None:
    if estimate.get("low") is not None and estimate.get("high") is not None:
        axes.plot([estimate["low"], estimate["high"]], [row, row], color=color, linewidth=1.6, solid_capstyle="round")


def _rows(axes: Any, names: Sequence[str]) -> None:
    axes.set_yticks(range(len(names)), [safe(name) for name in names])
    axes.set_ylim(len(names) - 0.5, -0.5)
    axes.grid(axis="y", visible=False)
