"""Frames of 50,000 rows and 10 columns, some of which drift by construction, and our verdict on them.

>>> reference, current, drifted = planted(seed=1)
>>> judge(reference, current, DriftSettings())
{'number 0': False, 'number 1': True, ...}

The monitor's own parts in one call: bins by the reference's quantiles or values, counts by shard of users, Jensen-Shannon
distance, the swapped null, max-T. There are no earlier windows here, so the limit is `min_effect` and chance alone.
"""

from typing import Any

import numpy as np
import polars as pl

from components.recsys.drift.aggregates import SHARDS, shards_of
from components.recsys.drift.bins import NUMBER_BINS
from components.recsys.drift.distances import jensen_shannon
from components.recsys.drift.null import measure_of, swap_test
from components.recsys.settings import DriftSettings

ROWS = 50_000
NUMBERS, CATEGORIES = 6, 4
MOVED = 3  # columns that drift
LETTERS = np.array(list("abcdefgh"))


def planted(seed: int) -> tuple[pl.DataFrame, pl.DataFrame, set[str]]:
    """Reference, current, and which columns differ. Numbers move by half a deviation, categories by a third of their mass."""
    rng = np.random.default_rng(seed)
    names = [*(f"number {n}" for n in range(NUMBERS)), *(f"category {n}" for n in range(CATEGORIES))]
    drifted = {str(name) for name in rng.choice(names, MOVED, replace=False)}
    shares = {name: rng.dirichlet(np.full(len(LETTERS), 5.0)) for name in names}
    frames = []
    for side in ("reference", "current"):
        columns: dict[str, Any] = {"user": [f"u{number}" for number in rng.integers(0, 5_000, ROWS)]}
        for name in names:
            moves = side == "current" and name in drifted
            if name.startswith("number"):
                columns[name] = rng.normal(0.5 if moves else 0.0, 1.0, ROWS)
            else:
                mass = shares[name] * (2 / 3) + np.eye(len(LETTERS))[0] / 3 if moves else shares[name]
                columns[name] = rng.choice(LETTERS, ROWS, p=mass)
        frames.append(pl.DataFrame(columns))
    return frames[0], frames[1], drifted


def judge(reference: pl.DataFrame, current: pl.DataFrame, settings: DriftSettings) -> dict[str, bool]:
    """Drift by column."""
    shards = _shards(reference["user"], current["user"])
    columns = [name for name in reference.columns if name != "user"]
    parts, before, after, start = [], [], [], 0
    for name in columns:
        width, binned = _bins(reference[name], current[name], settings.max_bins)
        for side, place, bins in zip((before, after), shards, binned, strict=True):
            side.append(np.bincount(place * width + bins, minlength=SHARDS * width).reshape(SHARDS, width))
        parts.append((slice(start, start + width), jensen_shannon))
        start += width
    old, new = np.concatenate(before, axis=1), np.concatenate(after, axis=1)
    measure = measure_of(parts)
    _, p, expected = swap_test(old, new, np.zeros_like(old), measure, settings.permutations, settings.seed)
    distance = measure(old.sum(axis=0).astype(float), new.sum(axis=0).astype(float))
    limit = np.maximum(settings.min_effect, settings.baseline_factor * expected)
    return {
        name: bool(d > most and q <= settings.alpha)
        for name, d, most, q in zip(columns, distance, limit, p, strict=True)
    }


def _shards(*sides: pl.Series) -> list[Any]:
    """Of the rows of both sides; each user is hashed once."""
    distinct = pl.concat(sides).unique()
    known = pl.DataFrame({"user": distinct, "shard": shards_of(distinct)})
    return [
        side.alias("user").to_frame().join(known, on="user", how="left", maintain_order="left")["shard"].to_numpy()
        for side in sides
    ]


def _bins(reference: pl.Series, current: pl.Series, max_bins: int) -> tuple[int, list[Any]]:
    """How many bins there are, and the bin of each row on both sides."""
    if reference.dtype.is_numeric():
        values = reference.to_numpy()
        edges = np.unique(
            np.quantile(values, np.arange(1, NUMBER_BINS) / NUMBER_BINS)
        )  # every row counts the same here
        return len(edges) + 1, [np.searchsorted(edges, side.to_numpy(), side="right") for side in (reference, current)]
    kept = reference.value_counts(sort=True)[reference.name].to_list()[: max_bins - 1]
    codes = {value: index for index, value in enumerate(kept)}
    return len(kept) + 1, [
        side.replace_strict(codes, default=len(kept), return_dtype=pl.Int64).to_numpy() for side in (reference, current)
    ]
