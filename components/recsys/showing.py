"""What Kubeflow's page of a run shows beside what steps hand on: tables, figures, charts and a curve, from their artifacts.

>>> show_comparison("/tmp/evaluation", "/tmp/charts.html")     # a page that loads nothing, for dsl.HTML
>>> show_figures({"ndcg": 0.241}, metrics.log_metric, metrics.path)

Nothing here decides anything, and nothing later reads it. Every artifact is also a file: the local runner's cache believes
only in what lies on the disk.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from components.recsys import evaluation as evaluations
from components.recsys import splits
from components.recsys.discrimination import discriminate
from components.recsys.lineage import TIMES
from components.recsys.release import load
from components.recsys.report import ReportData, exposure_of, render
from components.recsys.settings import EvaluateSettings, parse
from components.recsys.store import open_store

Json = dict[str, Any]
Log = Callable[[str, float], None]


class Roc(Protocol):
    """kfp's ClassificationMetrics, as far as it is used here."""

    path: str

    def log_roc_curve(self, fpr: list[float], tpr: list[float], threshold: list[float]) -> None: ...


def show_figures(figures: Mapping[str, float], log: Log, path: str) -> None:
    """Numbers by name (dsl.Metrics)."""
    for name, value in figures.items():
        log(name, value)
    _write(path, json.dumps(dict(figures), indent=1, sort_keys=True))


def show_data(report: str, charts: str, log: Log, path: str) -> None:
    """What `validate` found: the data's charts and checks as a page, its sizes as figures."""
    quality = _read(Path(report) / "quality.json")
    _write(charts, render(ReportData(quality=quality, part="The data of this run")))
    sizes = {name: quality["summary"][name] for name in ("rows", "users", "items", "density", "gini")}
    failed = [check for check in quality["checks"] if not check["ok"]]
    show_figures({**sizes, "checks": len(quality["checks"]), "warnings": len(failed)}, log, path)


def show_split(split: str, candidates: Sequence[str], summary: str) -> None:
    """The three parts of `prepare`, and what will be trained."""
    parts, _, _ = splits.load(Path(split))
    lines = [
        f"# Split: {parts.kind}",
        "",
        "| part | events | users | items | first | last |",
        "| - | -: | -: | -: | - | - |",
    ]
    for name, part in (("training", parts.train), ("validation", parts.validation), ("test", parts.test)):
        times, users, items = part["timestamp"], part["user_id"].n_unique(), part["item_id"].n_unique()
        span = " | ".join(str(time)[:16] if part.height else "" for time in (times.min(), times.max()))  # to the minute
        lines.append(f"| {name} | {part.height:,} | {users:,} | {items:,} | {span} |")
    _write(summary, "\n".join([*lines, "", f"Candidates, trained side by side: {', '.join(candidates)}.", ""]))


def show_fit(model: str, log: Log, path: str) -> None:
    """What `train` learnt, and how long the fit took."""
    fit, seconds = _read(Path(model) / "fit.json"), _read(Path(model) / TIMES)["seconds"]
    show_figures({"fit_seconds": round(float(seconds), 3), **dict(_numbers(fit["learnt"]))}, log, path)


def show_comparison(evaluation: str, charts: str) -> None:
    """The candidates of `evaluate` side by side, by user group, and what of the catalogue they show."""
    fits = _read(Path(evaluation) / "fits.json")
    found = {name: evaluations.Evaluation.load(Path(evaluation) / name) for name in sorted(fits)}
    shown = {name: {**each.to_dict(), "learnt": fits[name]["learnt"]} for name, each in found.items()}
    exposure = {name: exposure_of(each.lists, each.counts["catalogue"]) for name, each in found.items()}
    _write(charts, render(ReportData(evaluations=shown, exposure=exposure, part="The candidates of this run")))


def show_curve(evaluate: Json, split: str, challenger: str, curve: Roc, summary: str) -> None:
    """How well the model that `gate` chose tells what people take next from all else; a sentence goes below the verdict."""
    model = load(open_store(challenger), _read(Path(challenger) / "fit.json")["digest"]).model
    found = discriminate(model, splits.load(Path(split))[0], parse(EvaluateSettings, evaluate, "evaluate").seed)
    if found is None:
        _write(curve.path, "{}")
        return
    points = {"fpr": found.shown.tolist(), "tpr": found.found.tolist(), "threshold": found.thresholds().tolist()}
    curve.log_roc_curve(**points)
    _write(curve.path, json.dumps({**points, "lengths": found.lengths.tolist(), "area": found.area}))
    _write(summary, Path(summary).read_text(encoding="utf-8") + f"\n{found.sentence()}\n")


def show_chosen(evaluation: str, verdict: str, log: Log, path: str) -> None:
    """The metrics of the one candidate that `register` is about, to compare runs by."""
    chosen = _read(Path(verdict) / "verdict.json")["chosen"]
    metrics = evaluations.Evaluation.load(Path(evaluation) / chosen).metrics
    show_figures({name: each["value"] for name, each in metrics.items() if each["value"] is not None}, log, path)


def _numbers(value: Any, name: str = "") -> list[tuple[str, float]]:
    """Name and number of every number inside: parts_ease_l2, 500."""
    if isinstance(value, Mapping):
        return [pair for key, part in value.items() for pair in _numbers(part, f"{name}_{key}" if name else str(key))]
    return [(name, float(value))] if isinstance(value, int | float) and not isinstance(value, bool) else []


def _read(path: Path) -> Json:
    return dict(json.loads(path.read_text(encoding="utf-8")))


def _write(path: str, text: str) -> None:
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    Path(path).write_text(text, encoding="utf-8")
