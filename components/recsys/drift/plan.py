"""What is counted and in which column: features of what people do, of lists asked for, and of what is shown.

>>> plan = make_plan(items, reference_events, settings, release="9f2c...", vectors=vectors)
>>> [feature.name for feature in plan.features][:3]
['organic.genres', 'organic.kind', 'organic.class']

Streams part what must not be mixed: what people do by themselves (`organic`), what they do with lists (`lists`), the lists
they ask for (`asked`), and what the champion shows (`shown`). Lists change with the release that makes them, so mixing the
first two would call every release a drift.
"""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import polars as pl
import scipy.sparse as sp

from components.recsys.drift.aggregates import UNIT
from components.recsys.drift.bins import Bins, bins_of, number_labels, weighted_quantiles
from components.recsys.drift.distances import Doubles, energy, jensen_shannon
from components.recsys.drift.vectors import Codebook, codebook
from components.recsys.frames import Strings
from components.recsys.settings import DriftSettings

DATA, PREDICTION, EMBEDDING = "data", "prediction", "embedding"
ORGANIC, LISTS, ASKED, SHOWN = "organic", "lists", "asked", "shown"
STREAMS = (ORGANIC, LISTS, ASKED, SHOWN)
VALUE_BINS = 8
# Scores have no known scale, so their bins are half powers of two on both sides of 0: no reference is needed.
SCORE_EDGES = np.concatenate([-(2.0 ** (np.arange(16, -17, -1) / 2)), [0.0], 2.0 ** (np.arange(-16, 17) / 2)])
# How much is known of whoever asks. Coarse, since histories of faithful people grow for ever and that is no drift.
HISTORY_EDGES = np.array([1, 3, 10], np.float64)
HISTORIES = ("nobody known", "1 or 2 events", "3 to 9 events", "10 events or more")
OUTCOMES = ("its own model", "another model", "no model")


@dataclass(frozen=True)
class Feature:
    """columns: where its bins lie. apart: distances between the bins, for the energy statistic; None: they are unordered."""

    kind: str
    name: str
    stream: str
    labels: tuple[str, ...]
    columns: slice
    apart: Doubles | None = None

    def distance(self, a: Any, b: Any) -> Doubles:
        """Of counts (..., bins): Jensen-Shannon, or the energy coefficient of vectors."""
        return jensen_shannon(a, b) if self.apart is None else energy(a, b, self.apart)


@dataclass
class Plan:
    """acted: (items + 1, columns) counts that one act on an item gives; shown: the same for an item shown."""

    release: str
    items: Strings
    events: tuple[str, ...]
    value_edges: Doubles
    acted: Any = None
    shown: Any = None
    features: list[Feature] = field(default_factory=list)
    starts: dict[str, int] = field(default_factory=dict)  # first column of a stream's part
    width: int = 0

    def columns_of(self, stream: str) -> slice:
        own = [feature.columns for feature in self.features if feature.stream == stream]
        return slice(min(c.start for c in own), max(c.stop for c in own))

    def put(
        self, kind: str, stream: str, name: str, labels: tuple[str, ...], apart: Doubles | None = None, part: str = ""
    ) -> None:
        """The next columns for a feature. part: what the counting code knows their beginning by."""
        if part:
            self.starts[f"{stream}.{part}"] = self.width
        columns = slice(self.width, self.width + len(labels))
        self.features.append(Feature(kind, f"{stream}.{name}", stream, labels, columns, apart))
        self.width = columns.stop


def make_plan(
    items: pl.DataFrame,
    reference: pl.DataFrame,
    settings: DriftSettings,
    release: str = "",
    vectors: Doubles | None = None,
) -> Plan:
    """items: item_id and attributes, a row each. reference: recent events, by which bins are cut.

    vectors: (items, dimensions), a row of NaN for an item that the model does not know; None: no embedding drift.
    """
    ids: Strings = np.array(items["item_id"], dtype=object)
    counts = items.select("item_id").join(reference.group_by("item_id").len(), on="item_id", how="left")
    weights = counts["len"].fill_null(0).to_numpy().astype(np.float64)
    kinds = reference["event"].drop_nulls().value_counts(sort=True)["event"].to_list() if reference.height else []
    values = (
        reference["value"].drop_nulls().drop_nans() if "value" in reference.columns else pl.Series([], dtype=pl.Float64)
    )
    plan = Plan(
        release,
        ids,
        tuple(sorted(kinds[: settings.max_bins - 1])),
        weighted_quantiles(values.to_numpy(), np.ones(len(values)), VALUE_BINS) if len(values) else np.array([]),
    )
    bins = bins_of(items, weights, settings.max_bins)
    codes = _codes(items, vectors, weights, settings)
    for stream in (ORGANIC, LISTS):
        plan.starts[f"{stream}.items"] = plan.width
        for one in bins:
            plan.put(DATA, stream, one.name, one.labels)
        if codes:
            plan.put(EMBEDDING, stream, "items", codes[0].labels, codes[1].apart)
        plan.put(DATA, stream, "event", (*plan.events, "other"), part="event")
        if len(plan.value_edges):
            plan.put(DATA, stream, "value", (*number_labels(plan.value_edges), "none"), part="value")
    plan.put(DATA, ASKED, "history", HISTORIES, part="history")
    plan.put(PREDICTION, ASKED, "answered_by", OUTCOMES, part="outcome")
    plan.starts[f"{SHOWN}.items"] = plan.width
    for one in bins:
        plan.put(PREDICTION, SHOWN, one.name, one.labels)
    plan.put(PREDICTION, SHOWN, "score", number_labels(SCORE_EDGES), part="score")
    nothing = sp.csr_array((len(ids) + 1, 0), dtype=np.int64)
    plan.shown = sp.hstack([nothing, *(one.matrix for one in bins)], format="csr", dtype=np.int64)
    plan.acted = sp.hstack([plan.shown, *([codes[0].matrix] if codes else [])], format="csr", dtype=np.int64)
    return plan


def _codes(
    items: pl.DataFrame, vectors: Doubles | None, weights: Doubles, settings: DriftSettings
) -> tuple[Bins, Codebook] | None:
    """Which code each item counts for; an item without a vector counts for none."""
    if vectors is None:
        return None
    known = np.flatnonzero(np.isfinite(vectors).all(axis=1))
    if len(known) < 2:
        return None
    codes = codebook(vectors[known], weights[known], settings.max_bins, settings.seed)
    size = len(codes.apart)
    matrix = sp.csr_array((np.full(len(known), UNIT, np.int64), (known, codes.nearest)), shape=(items.height + 1, size))
    titles = items["title"] if "title" in items.columns else items["item_id"]
    labels = tuple(_like(titles, known[codes.nearest == code], weights) for code in range(size))
    return Bins("items", labels, matrix), codes


def _like(titles: pl.Series, members: Any, weights: Doubles) -> str:
    """A code is known by its best-known item."""
    return f"like {titles[int(members[np.argmax(weights[members])])]}" if len(members) else "empty"
