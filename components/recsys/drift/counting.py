"""Rows into counts: events and prediction records, in pieces of any size and in any order.

>>> counter = Counter(plan)
>>> counter.add_events(frame)          # columns user_id, item_id, timestamp, and event, value, request_id where there are any
>>> counter.add_predictions(records)
>>> counter.counts, counter.exposure

What cannot be used is counted in `skipped`, never guessed: rows without a time or an item. NaN and infinite numbers count as
absent, ids that are not known as unknown.
"""

from collections.abc import Iterable
from datetime import datetime

import numpy as np
import polars as pl
import scipy.sparse as sp

from components.recsys.buckets import SHADOW
from components.recsys.drift.aggregates import UNIT, Aggregates, Longs, shard_of, shards_of
from components.recsys.drift.exposure import Exposure
from components.recsys.drift.plan import ASKED, HISTORY_EDGES, LISTS, ORGANIC, OUTCOMES, SCORE_EDGES, SHOWN, Plan
from components.recsys.predictions import Prediction

DAY_SECONDS = 86_400


class Counter:
    """Adds to `counts` and `exposure`, which may be taken over from an earlier process."""

    def __init__(self, plan: Plan, counts: Aggregates | None = None, exposure: Exposure | None = None) -> None:
        self.plan = plan
        self.counts = counts or Aggregates(plan.width)
        self.exposure = exposure or Exposure(len(plan.items))
        self.skipped = 0
        self.place = {item: index for index, item in enumerate(plan.items)}
        self._index = pl.DataFrame(
            {"item_id": pl.Series(plan.items, dtype=pl.String), "__item": np.arange(len(plan.items), dtype=np.int64)}
        )

    def add_events(self, events: pl.DataFrame) -> None:
        usable = events.filter(pl.col("timestamp").is_not_null() & pl.col("item_id").is_not_null())
        self.skipped += events.height - usable.height
        if not usable.height:
            return
        days = (usable["timestamp"].dt.epoch("s") // DAY_SECONDS).to_numpy().astype(np.int64)
        users = usable["user_id"].fill_null("")
        distinct = users.unique()
        shard = pl.DataFrame({"user_id": distinct, "__shard": shards_of(distinct)})
        shards = users.to_frame().join(shard, on="user_id", how="left", maintain_order="left")["__shard"].to_numpy()
        known = usable.select("item_id").join(self._index, on="item_id", how="left", maintain_order="left")
        items = known["__item"].fill_null(len(self.plan.items)).to_numpy()
        kinds, values = self._kinds(usable), self._values(usable)
        listed = _column(usable, "request_id", pl.String).fill_null("").str.len_bytes().to_numpy() > 0
        for stream, rows in ((ORGANIC, ~listed), (LISTS, listed)):
            self.counts.add(days[rows], shards[rows], items[rows], self.plan.acted, self.plan.starts[f"{stream}.items"])
            self._one_of(days[rows], shards[rows], kinds[rows], f"{stream}.event", len(self.plan.events) + 1)
            if len(self.plan.value_edges):
                self._one_of(days[rows], shards[rows], values[rows], f"{stream}.value", len(self.plan.value_edges) + 2)

    def add_predictions(self, records: Iterable[Prediction]) -> None:
        """Lists that people saw; what a shadow said is not among them."""
        asked: list[tuple[int, int, int, int]] = []
        shown: list[tuple[int, int, int, float]] = []
        for record in records:
            if record.variant == SHADOW:
                continue
            try:
                day = int(datetime.fromisoformat(record.time).timestamp()) // DAY_SECONDS
            except ValueError:
                self.skipped += 1
                continue
            shard = shard_of(record.user)
            asked.append((day, shard, record.history, _outcome(record)))
            places = [self.place.get(item.item, len(self.place)) for item in record.items]
            self.exposure.add(day, places, record.explored)
            if record.release == self.plan.release and not record.fallback:
                shown += [(day, shard, place, item.score) for place, item in zip(places, record.items, strict=True)]
        if asked:
            days, shards, lengths, outcomes = np.array(asked, np.int64).T
            lengths = np.searchsorted(HISTORY_EDGES, lengths, side="right")
            self._one_of(days, shards, lengths, f"{ASKED}.history", len(HISTORY_EDGES) + 1)
            self._one_of(days, shards, outcomes, f"{ASKED}.outcome", len(OUTCOMES))
        if shown:
            days, shards, items = np.array([row[:3] for row in shown], np.int64).T
            self.counts.add(days, shards, items, self.plan.shown, self.plan.starts[f"{SHOWN}.items"])
            scores = np.array([row[3] for row in shown], np.float64)
            finite = np.isfinite(scores)
            bins = np.searchsorted(SCORE_EDGES, scores[finite], side="right")
            self._one_of(days[finite], shards[finite], bins, f"{SHOWN}.score", len(SCORE_EDGES) + 1)

    def _one_of(self, days: Longs, shards: Longs, bins: Longs, part: str, width: int) -> None:
        """Rows that each lie in one bin of a feature."""
        self.counts.add(
            days, shards, bins, sp.eye_array(width, dtype=np.int64, format="csr") * UNIT, self.plan.starts[part]
        )

    def _kinds(self, events: pl.DataFrame) -> Longs:
        names = {name: index for index, name in enumerate(self.plan.events)}
        kinds = _column(events, "event", pl.String).replace_strict(names, default=len(names), return_dtype=pl.Int64)
        return kinds.fill_null(len(names)).to_numpy()

    def _values(self, events: pl.DataFrame) -> Longs:
        values = _column(events, "value", pl.Float64).fill_null(float("nan")).to_numpy()
        finite, edges = np.isfinite(values), self.plan.value_edges
        return np.where(finite, np.searchsorted(edges, np.where(finite, values, 0.0), side="right"), len(edges) + 1)


def _column(frame: pl.DataFrame, name: str, dtype: type[pl.DataType]) -> pl.Series:
    if name in frame.columns:
        return frame[name].cast(dtype)
    return pl.Series(name, [None] * frame.height, dtype=dtype)


def _outcome(record: Prediction) -> int:
    return 2 if record.fallback else 1 if record.failed else 0
