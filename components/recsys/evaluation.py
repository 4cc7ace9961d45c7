"""One model on held-out users: accuracy and what accuracy does not see, with intervals, by user group.

>>> evaluation = evaluate_model("ease", model, parts, items, users, EvaluateSettings())
>>> evaluation.headline()
'nDCG@10 0.241 [0.229, 0.254] on 943 users (user_time), coverage 0.35'

Every list is a ranking of all items that the user has not had. What counts as right is what the user then took for the
first time; somebody who only came back to known items is not judged.
"""

import copy
import json
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from components.recsys import metrics as m
from components.recsys.errors import NotFound
from components.recsys.frames import Histories, Ints, Strings
from components.recsys.heldout import HeldOut
from components.recsys.models.base import Model
from components.recsys.ranking import NOBODY, rank
from components.recsys.settings import EvaluateSettings
from components.recsys.slices import group_users, order_of
from components.recsys.splits import Split
from components.recsys.stats import Doubles, mean_intervals, ratio_interval, whole_intervals, wilson

Json = dict[str, Any]

PER_USER = (*m.ACCURACY, "novelty", "diversity", "serendipity")  # means over users
LIFT = ("list_popularity", "usual_popularity")  # per user; the lift is the ratio of their means, - 1
METRICS = (*m.ACCURACY, "coverage", "gini", "novelty", "diversity", "popularity_lift", "serendipity")
LABELS = {"ndcg": "nDCG", "map": "MAP", "mrr": "MRR", "gini": "Gini"}
FRAMES = ("per_user", "lists")
GROUP = "group:"  # prefix of the columns of per_user that hold user groups
DIGITS = 6  # figures are kept to a millionth, so that a sum in another order is the same figure
ROUNDED = 9  # digits of a user's figures, for the same reason


@dataclass(frozen=True)
class Evaluation:
    """One model's figures.

    metrics: name -> {value, low, high}, 95 %; None where it cannot be known. slices: dicts of attribute, group, users,
    judged (large enough for the gate) and metrics. counts: who and what was judged. notes: sentences for people.

    per_user: user_id, history, relevant, each metric of PER_USER and LIFT, and a column `group:NAME` per attribute.
    lists: user_id and items (list of ids), as shown.
    """

    name: str
    k: int
    split: str
    part: str
    users: int
    counts: dict[str, int]
    metrics: dict[str, dict[str, float | None]]
    slices: list[Json]
    notes: list[str]
    per_user: pl.DataFrame = field(repr=False)
    lists: pl.DataFrame = field(repr=False)

    def headline(self) -> str:
        if not self.users:
            return "nobody could be judged: no user took anything new in the test part"
        quality, coverage = figure(self.metrics["ndcg"]), self.metrics["coverage"]["value"]
        return f"{label('ndcg', self.k)} {quality} on {self.users:,} users ({self.split}), coverage {coverage:.2f}"

    def to_dict(self) -> Json:
        """All but the frames; JSON only."""
        return copy.deepcopy({each.name: getattr(self, each.name) for each in fields(self) if each.name not in FRAMES})

    def save(self, folder: Path) -> None:
        """evaluation.json, per_user.parquet and lists.parquet; equal evaluations give equal bytes."""
        folder.mkdir(parents=True, exist_ok=True)
        self.per_user.write_parquet(folder / "per_user.parquet", statistics=False, row_group_size=1 << 20)
        self.lists.write_parquet(folder / "lists.parquet", statistics=False, row_group_size=1 << 20)
        text = json.dumps(self.to_dict(), indent=1, ensure_ascii=False, allow_nan=False)  # in our order, for people
        (folder / "evaluation.json").write_text(text, encoding="utf-8")

    @classmethod
    def load(cls, folder: Path) -> "Evaluation":
        """What `save` wrote. Raises NotFound when it is not whole."""
        try:
            plain = json.loads((folder / "evaluation.json").read_text(encoding="utf-8"))
            return cls(
                **plain,
                per_user=pl.read_parquet(folder / "per_user.parquet"),
                lists=pl.read_parquet(folder / "lists.parquet"),
            )
        except FileNotFoundError:
            raise NotFound(f"there is no whole evaluation in {folder}: the step `evaluate` did not finish") from None


def evaluate_model(
    name: str,
    model: Model,
    split: Split,
    items: pl.DataFrame | None,
    users: pl.DataFrame | None,
    settings: EvaluateSettings,
    part: str = "test",
) -> Evaluation:
    """Rank for every user of a part and judge the lists.

    Users without history are judged too. Items that the model does not know cannot be hit, and count as missed.
    """
    held = HeldOut.of(split, model.items, part)
    ranked, _ = rank(model, held.histories, settings.k)
    found = m.hits(ranked, held.truth)
    expected = popular_unseen(held.popularity, held.histories, settings.k)
    columns: dict[str, Doubles] = {metric: compute(found, held.relevant) for metric, compute in m.ACCURACY.items()}
    columns["novelty"] = m.novelty(ranked, held.popularity, held.n_users)
    columns["diversity"] = m.diversity(ranked, held.features(model.items, items))
    columns["serendipity"] = m.serendipity(ranked, found, expected)
    columns["list_popularity"] = m.mean_popularity(ranked, held.popularity)
    columns["usual_popularity"] = held.usual_popularity()
    groups, notes = group_users(held.people, users, settings)
    per_user = held.people.with_columns(
        *(pl.Series(column, np.round(values, ROUNDED)) for column, values in columns.items()),
        *(values.alias(GROUP + values.name) for values in groups),
    )
    counts = {**held.counts, "catalogue": held.catalogue_size(model.items, items)}
    estimates = _estimate(per_user, settings) | _whole(ranked, counts["catalogue"], len(model.items), settings)
    return Evaluation(
        name=name,
        k=settings.k,
        split=split.kind,
        part=part,
        users=held.people.height,
        counts=counts,
        metrics={metric: estimates[metric] for metric in METRICS},
        slices=_slice(per_user, groups.columns, settings),
        notes=[*_sentences(counts), *notes],
        per_user=per_user,
        lists=_lists(held.people, ranked, model.items),
    )


def popular_unseen(popularity: m.Counts, histories: Histories, k: int, batch: int = 4096) -> Ints:
    """(rows, k) the items of most users that a row has not had, padded with -1: what anybody would expect."""
    order = np.argsort(-popularity, kind="stable").astype(np.int32)
    lists = np.full((len(histories), k), NOBODY, np.int32)
    for start in range(0, len(histories), batch):
        rows = histories[start : start + batch]
        longest = int(rows.lengths.max(initial=0))
        offered = np.tile(order[: k + longest], (len(rows), 1))
        fresh = ~m.hits(offered, rows)
        first = np.argsort(~fresh, axis=1, kind="stable")[:, :k]
        chosen = np.where(np.take_along_axis(fresh, first, axis=1), np.take_along_axis(offered, first, axis=1), NOBODY)
        lists[start : start + batch, : chosen.shape[1]] = chosen
    return lists


def label(metric: str, k: int | None = None) -> str:
    """What people call a metric: nDCG@10, hit rate@10, coverage."""
    text = LABELS.get(metric, metric.replace("_", " "))
    return f"{text}@{k}" if k and metric in m.ACCURACY else text


def figure(estimate: Mapping[str, float | None], digits: int = 3) -> str:
    """0.241 [0.229, 0.254], or what of it is known."""
    value, low, high = (estimate.get(part) for part in ("value", "low", "high"))
    if value is None:
        return "unknown"
    return (
        f"{value:.{digits}f}"
        if low is None or high is None
        else f"{value:.{digits}f} [{low:.{digits}f}, {high:.{digits}f}]"
    )


def cell(text: str) -> str:
    """Text that cannot break out of a Markdown table."""
    return text.replace("|", "\\|").replace("\n", " ").replace("<", "&lt;")


def candidates_markdown(evaluations: Mapping[str, Evaluation]) -> str:
    """All candidates side by side, best first, for the Kubeflow UI."""
    ordered = sorted(evaluations.items(), key=lambda item: (-(item[1].metrics["ndcg"]["value"] or 0.0), item[0]))
    if not ordered:
        return "# No candidates\n"
    first = ordered[0][1]
    lines = ["# Candidates", "", f"{first.users:,} users, split {first.split}, full ranking, 95 % intervals.", ""]
    lines += [
        "| | " + " | ".join(label(metric, first.k) for metric in METRICS) + " |",
        "| - |" + " -: |" * len(METRICS),
    ]
    for name, each in ordered:
        lines.append(f"| {name} | " + " | ".join(figure(each.metrics[metric]) for metric in METRICS) + " |")
    lines += ["", f"## {label('ndcg', first.k)} by user group", ""]
    lines += [
        "| group | users | " + " | ".join(name for name, _ in ordered) + " |",
        "| - | -: |" + " -: |" * len(ordered),
    ]
    for index, part in enumerate(first.slices):
        figures = " | ".join(figure(each.slices[index]["metrics"]["ndcg"]) for _, each in ordered)
        lines.append(f"| {part['attribute']} {cell(part['group'])} | {part['users']} | {figures} |")
    return "\n".join([*lines, "", *(f"- {note}" for note in first.notes)]) + "\n"


def _whole(
    ranked: Ints, catalogue: int, n_items: int, settings: EvaluateSettings
) -> dict[str, dict[str, float | None]]:
    def statistic(weights: Doubles) -> Doubles:
        shown = np.zeros(catalogue)
        shown[:n_items] = m.exposure(ranked, n_items, weights)
        return np.array([m.coverage(shown), m.gini(shown)])

    found = whole_intervals(statistic, len(ranked), settings.seed)
    return {metric: _estimate_of(*(part[index] for part in found)) for index, metric in enumerate(("coverage", "gini"))}


def _estimate(per_user: pl.DataFrame, settings: EvaluateSettings) -> dict[str, dict[str, float | None]]:
    """Metric -> value and 95 % interval, over the users of a frame."""
    value, low, high = mean_intervals(per_user.select(PER_USER).to_numpy(), settings.bootstrap, settings.seed)
    found = {metric: _estimate_of(value[index], low[index], high[index]) for index, metric in enumerate(PER_USER)}
    if per_user.height:
        found["hit_rate"] = _estimate_of(
            value[PER_USER.index("hit_rate")], *wilson(float(per_user["hit_rate"].sum()), per_user.height)
        )
    shown, usual = (per_user[name].to_numpy() for name in LIFT)
    lift = ratio_interval(shown, usual, settings.bootstrap, settings.seed)
    found["popularity_lift"] = _estimate_of(*(bound - 1 for bound in lift))
    return found


def _slice(per_user: pl.DataFrame, attributes: list[str], settings: EvaluateSettings) -> list[Json]:
    slices: list[Json] = []
    for attribute in attributes:
        parts = per_user.partition_by(GROUP + attribute, as_dict=True, maintain_order=True)
        for group in order_of(attribute, [str(key[0]) for key in parts]):
            part = parts[(group,)]
            judged = part.height >= settings.min_slice_users
            slices.append(
                {
                    "attribute": attribute,
                    "group": group,
                    "users": part.height,
                    "judged": judged,
                    "metrics": _estimate(part, settings),
                }
            )
    return slices


def _estimate_of(value: float, low: float, high: float) -> dict[str, float | None]:
    parts = {"value": float(value), "low": float(low), "high": float(high)}
    return {name: round(part, DIGITS) if np.isfinite(part) else None for name, part in parts.items()}


def _sentences(counts: Mapping[str, int]) -> list[str]:
    told = {
        "users_nothing_new": "{} users took nothing new in the held-out part and are not judged",
        "users_few_events": "{} users have fewer events than prepare.min_events_per_user and are not judged",
        "users_no_history": "{} judged users have no history",
        "events_unknown": "{} held-out events are on items unknown to the model: no list holds them, they are missed",
    }
    return [text.format(f"{counts[name]:,}") for name, text in told.items() if counts[name]]


def _lists(judged: pl.DataFrame, ranked: Ints, items: Strings) -> pl.DataFrame:
    rows, columns = np.nonzero(ranked >= 0)
    shown = pl.DataFrame({"row": rows, "item": pl.Series(items[ranked[rows, columns]], dtype=pl.String)})
    lists = shown.group_by("row", maintain_order=True).agg(items=pl.col("item"))
    every = judged.select("user_id").with_columns(row=pl.int_range(pl.len(), dtype=pl.Int64))
    return every.join(lists, on="row", how="left", maintain_order="left").select(
        "user_id", pl.col("items").fill_null([])
    )
