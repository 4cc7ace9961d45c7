"""The judged part of the report: candidates, the gate's verdict, user groups, popularity and coverage.

>>> order_candidates(report)
['ease', 'item_knn', 'popularity']
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from components.recsys.evaluation import METRICS, figure, label
from components.recsys.report import plots
from components.recsys.report.data import Json, ReportData
from components.recsys.report.figures import counts_of, number, share

OTHERS = (
    ("coverage", "coverage"),
    ("novelty", "novelty (bits)"),
    ("diversity", "diversity"),
    ("popularity_lift", "popularity lift"),
)
SHOWN = 6  # candidates in one plot: as many as there are colours
EXPLAINED = {
    "coverage": "share of the catalogue that appears in anybody's list",
    "gini": "0: all items are shown equally; 1: one item takes all",
    "novelty": "bits of surprise: high when few people know the items shown",
    "diversity": "how unlike each other the items of one list are",
    "popularity_lift": "how much more popular the items shown are than what people take; 0 is like them",
    "serendipity": "share of a list that was right and that nobody would have expected",
}


def order_candidates(report: ReportData) -> list[str]:
    """Candidates, best first on the gate's metric."""
    metric = (report.verdict or {}).get("metric", "ndcg")

    def place(name: str) -> tuple[float, str]:
        value = report.evaluations[name].get("metrics", {}).get(metric, {}).get("value")
        return (-value if value is not None else 1.0, name)

    return sorted(report.evaluations, key=place)


def compare_candidates(report: ReportData, order: list[str]) -> Json | None:
    if not order:
        return None
    verdict, first = report.verdict or {}, report.evaluations[order[0]]
    metric, chosen, k = verdict.get("metric", "ndcg"), verdict.get("chosen", ""), first.get("k")
    found = {name: report.evaluations[name].get("metrics", {}) for name in order}
    named = [each for each in METRICS if any(each in metrics for metrics in found.values())]
    named += sorted({each for metrics in found.values() for each in metrics} - set(named))
    parts = (
        ("Accuracy, best candidate first", [each for each in named if each not in EXPLAINED]),
        ("Beyond accuracy", [each for each in named if each in EXPLAINED]),
    )
    known = [name for name in order if found[name].get(metric, {}).get("value") is not None]
    values = {
        name: {"accuracy": found[name][metric]["value"]}
        | {
            other: found[name][other]["value"]
            for other, _ in OTHERS
            if found[name].get(other, {}).get("value") is not None
        }
        for name in _few(known, chosen)
    }
    others = [pair for pair in OTHERS if any(pair[0] in each for each in values.values())]
    return {
        "users": number(first.get("users")),
        "k": k,
        "split": first.get("split", ""),
        "tables": [_table(found, chosen, names, k, caption) for caption, names in parts if names],
        "notes": first.get("notes") or [],
        "intervals": plots.candidates([(n, found[n][metric]) for n in known], label(metric, k), chosen)
        if known
        else None,
        "tradeoffs": plots.tradeoffs(values, label(metric, k), others) if values and others else None,
        "explained": [(label(each, k), EXPLAINED[each]) for each in named if each in EXPLAINED],
    }


def _table(found: Mapping[str, Json], chosen: str, metrics: Sequence[str], k: int | None, caption: str) -> Json:
    rows = [
        {"name": name, "chosen": name == chosen, "figures": [_split(own.get(each)) for each in metrics]}
        for name, own in found.items()
    ]
    return {"caption": caption, "columns": [label(each, k) for each in metrics], "rows": rows}


def _split(estimate: Mapping[str, Any] | None) -> tuple[str, str]:
    """A value and its interval, apart: the interval is set smaller."""
    value, _, interval = figure(estimate or {}).partition(" ")
    return value, interval


def _few(names: list[str], chosen: str) -> list[str]:
    """At most as many as a plot can tell apart, the chosen one among them."""
    kept = names[:SHOWN]
    return kept if chosen in kept or chosen not in names else [*kept[:-1], chosen]


def tell_verdict(report: ReportData) -> Json | None:
    verdict = report.verdict
    if not verdict:
        return None
    metric = label(verdict.get("metric", "ndcg"), verdict.get("k"))
    comparisons = [
        {"challenger": verdict.get("chosen", ""), **each}
        for each in verdict.get("comparisons") or []
        if each.get("difference") is not None
    ]
    states = Counter(each.get("state", "") for each in verdict.get("slices") or [])
    return {
        "metric": metric,
        "harmed": bool(states["harmed"]),
        "states": ", ".join(f"{count} {state}" for state, count in sorted(states.items()) if state),
        "outcome": verdict.get("outcome", ""),
        "reasons": verdict.get("reasons") or [],
        "comparisons": [
            {
                **each,
                "difference": _signed(each).partition(" "),
                "p": f"{each['p']:.2g}" if each.get("p") is not None else "",
            }
            for each in comparisons
        ],
        "forest": plots.forest(comparisons, metric) if comparisons else None,
        "slices": [
            {
                "group": f"{_named(each['attribute'])} {each['group']}",
                "users": number(each.get("users")),
                "challenger": _short(each.get("challenger")),
                "champion": _short(each.get("champion")),
                "difference": _signed(each).partition(" "),
                "state": each.get("state", ""),
            }
            for each in verdict.get("slices") or []
        ],
    }


def _named(attribute: Any) -> str:
    """A column's name as people say it."""
    return str(attribute).replace("_", " ")


def _short(value: float | None) -> str:
    return "" if value is None else f"{value:.3f}"


def _signed(each: Json) -> str:
    if each.get("difference") is None:
        return ""
    text = f"{each['difference']:+.3f}"
    return (
        f"{text} [{each['low']:+.3f}, {each['high']:+.3f}]"
        if each.get("low") is not None and each.get("high") is not None
        else text
    )


def compare_groups(report: ReportData, order: list[str]) -> list[Json]:
    """One block per attribute: a plot of the candidates, and a table of the same."""
    verdict = report.verdict or {}
    metric, k = verdict.get("metric", "ndcg"), report.evaluations[order[0]].get("k") if order else None
    names = _few(order, verdict.get("chosen", ""))
    found = {
        name: {(each["attribute"], each["group"]): each for each in report.evaluations[name].get("slices") or []}
        for name in names
    }
    keys = list(dict.fromkeys(key for parts in found.values() for key in parts))
    blocks = []
    for attribute in dict.fromkeys(attribute for attribute, _ in keys):
        own = [key for key in keys if key[0] == attribute]
        estimates = {
            name: [found[name].get(key, {}).get("metrics", {}).get(metric) or {} for key in own] for name in names
        }
        sizes = [next(parts[key] for parts in found.values() if key in parts) for key in own]
        blocks.append(
            {
                "attribute": _named(attribute),
                "names": names,
                "metric": label(metric, k),
                "plot": plots.slices(_named(attribute), [str(group) for _, group in own], estimates, label(metric, k)),
                "rows": [
                    {
                        "group": group,
                        "users": number(size.get("users")),
                        "judged": size.get("judged", True),
                        "figures": [_split(estimates[name][row]) for name in names],
                    }
                    for row, ((_, group), size) in enumerate(zip(own, sizes, strict=True))
                ],
            }
        )
    return blocks


def measure_exposure(report: ReportData) -> Json | None:
    found = {name: counts for name, counts in report.exposure.items() if len(counts)}
    popularity = [count for _, count in counts_of((report.quality.get("summary") or {}).get("popularity"))]
    if not found and len(popularity) > 1:
        found = {"the events": popularity}
    if not found:
        return None
    rows = [
        (
            name,
            number(len(counts)),
            share(sum(count > 0 for count in counts) / len(counts)),
            share(plots.half_share(counts)),
        )
        for name, counts in found.items()
    ]
    return {"plot": plots.lorenz(dict(list(found.items())[:SHOWN])), "rows": rows}
