"""What a report is made from: plain dicts, as the steps write them.

>>> ReportData(quality={"ok": False, "sentence": "...", "checks": []})
"""

from dataclasses import dataclass, field
from typing import Any

import polars as pl

Json = dict[str, Any]


@dataclass(frozen=True)
class ReportData:
    """All parts are optional.

    quality: `Quality.to_dict()`: ok, sentence, checks (dicts of name, severity, ok, column, rows, share, threshold,
        examples, sentence) and summary. Of the summary are shown: rows, users, items, first and last (or span: [first,
        last]), density, and as counts: events (by kind), per_day, history_lengths, popularity (events per item, in any
        order), top_items, quarantine (by reason), cleaning (by change). Counts are a dict, a list of pairs, a list of
        numbers, or a list of dicts with one text and one number.
    evaluations: candidate -> `Evaluation.to_dict()`. verdict: `Verdict.to_dict()`, plus champion (a digest).
    manifest: release.json. card: markdown.
    samples: dicts of user, history (titles, newest first) and items (dicts of title, score, reason).
    lineage: step -> its lineage record. timings: step -> seconds, or a dict of seconds and cached.
    exposure: name -> events or list places per item, zeros included; the first is the data, the others are candidates.
    serve: the command that serves the champion. label: what must be said of the data, such as that they are made up.
    part: title of a page that shows one step's part of a run.
    """

    quality: Json = field(default_factory=dict)
    evaluations: dict[str, Json] = field(default_factory=dict)
    verdict: Json | None = None
    manifest: Json | None = None
    card: str = ""
    samples: list[Json] = field(default_factory=list)
    lineage: Json = field(default_factory=dict)
    timings: Json = field(default_factory=dict)
    exposure: dict[str, list[float]] = field(default_factory=dict)
    serve: str = "everloop serve"
    label: str = ""
    part: str = ""


def exposure_of(lists: pl.DataFrame, catalogue: int) -> list[float]:
    """Places in lists per item, most shown first, zeros for what no list shows. lists: `Evaluation.lists`."""
    counts = lists.select(pl.col("items").explode().drop_nulls()).to_series().value_counts()["count"]
    shown = counts.sort(descending=True).cast(pl.Float64).to_list()
    return [*shown, *[0.0] * (catalogue - len(shown))]
