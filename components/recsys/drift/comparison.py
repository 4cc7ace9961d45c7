"""Whether the last window drifts: further from what the champion knows than chance, season and noise explain.

>>> findings = compare(counts, plan, windows, settings)
>>> next(finding for finding in findings if finding.detected)
Finding(kind='data', feature='organic.class', distance=0.35, limit=0.12, p=0.0005, detected=True, ..., moved=('economy 31 % -> 52 %', ...))

A feature drifts when there are enough events, the p-value corrected over all features is at most `alpha`, and the distance is
beyond `min_effect` and beyond `baseline_factor` times the largest of what the baseline's own windows differ by, what the same
two windows differed by a year before (where the counts reach back so far) and what chance gives windows of this size: the
second summer is no drift, the first one is. The p-value alone would call every slow change of a season drift, the limit alone
would not know how many people a difference rests on.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from itertools import pairwise
from typing import Any

import numpy as np

from components.recsys.drift.aggregates import SHARDS, UNIT, Aggregates, Longs
from components.recsys.drift.distances import shares
from components.recsys.drift.null import measure_of, swap_test
from components.recsys.drift.plan import Feature, Plan
from components.recsys.drift.windows import Windows, a_year_before
from components.recsys.settings import DriftSettings

Pair = tuple[Longs, Longs]  # (width,) counts of two windows, the newer first
TOLD = 3  # bins named in a finding


@dataclass(frozen=True)
class Finding:
    """One feature. untested: why nothing can be said yet, else "". limit and p are None then; expected: distance by chance.

    distance: None where one of the two windows holds nothing.
    """

    kind: str
    feature: str
    detected: bool
    distance: float | None
    events: int
    limit: float | None = None
    p: float | None = None
    expected: float | None = None
    moved: tuple[str, ...] = ()
    untested: str = ""

    def to_dict(self) -> dict[str, Any]:
        return asdict(self) | {"moved": list(self.moved)}


def compare(
    counts: Aggregates,
    plan: Plan,
    windows: Mapping[str, Windows | None],
    settings: DriftSettings,
    verdicts_only: bool = False,
) -> list[Finding]:
    """windows: of each stream; None where its baseline is too short yet.

    verdicts_only: no p-values where no distance is beyond its limit. The verdicts are the same at a tenth of the time.
    """
    before, after, shared = (np.zeros((SHARDS, plan.width), np.int64) for _ in range(3))
    baselines: dict[str, list[Pair]] = {}
    seasons: dict[str, Pair] = {}
    for stream, chosen in windows.items():
        columns = plan.columns_of(stream)
        if chosen is None:
            continue
        after[:, columns] = counts.window(chosen.last, chosen.days)[:, columns]
        whole = [counts.window(first, chosen.days) for first in chosen.baseline]
        before[:, columns] = whole[0][:, columns]
        both = chosen.shared()
        shared[:, columns] = counts.window(both.start, len(both))[:, columns]
        baselines[stream] = list(pairwise(window.sum(axis=0) for window in whole))
        last_year, baseline_then = (counts.total(first, chosen.days) for first in a_year_before(chosen))
        seasons[stream] = (last_year, baseline_then)
    facts = [_facts(feature, windows, before, after, baselines, seasons, settings) for feature in plan.features]
    tested = [feature for feature, (_, untested) in zip(plan.features, facts, strict=True) if not untested]
    p: dict[str, tuple[float, float]] = {}
    if tested and not (verdicts_only and not _any_beyond(plan.features, facts, before, after)):
        measure = measure_of([(feature.columns, feature.distance) for feature in tested])
        _, corrected, expected = swap_test(before, after, shared, measure, settings.permutations, settings.seed)
        p = {
            feature.name: (float(value), float(mean))
            for feature, value, mean in zip(tested, corrected, expected, strict=True)
        }
    return [
        _finding(feature, before, after, limit, untested, p.get(feature.name), settings)
        for feature, (limit, untested) in zip(plan.features, facts, strict=True)
    ]


def _any_beyond(features: list[Feature], facts: list[tuple[float, str]], before: Longs, after: Longs) -> bool:
    old, new = before.sum(axis=0), after.sum(axis=0)
    return any(
        not untested and feature.distance(old[feature.columns], new[feature.columns]) > limit
        for feature, (limit, untested) in zip(features, facts, strict=True)
    )


def _facts(
    feature: Feature,
    windows: Mapping[str, Windows | None],
    before: Longs,
    after: Longs,
    baselines: Mapping[str, list[Pair]],
    seasons: Mapping[str, Pair],
    settings: DriftSettings,
) -> tuple[float, str]:
    """The limit, or why there is none yet."""
    chosen = windows.get(feature.stream)
    if chosen is None:
        return 0.0, "the past is shorter than its baseline must be"
    if not chosen.settled:
        return 0.0, "the baseline is not over yet: the last window is part of it"
    least = settings.min_events
    for counted, which in ((after, "last window"), (before, "baseline's newest window")):
        if (rows := _rows(counted.sum(axis=0), feature)) < least:
            return 0.0, f"{rows} rows in the {which}, {least} needed"
    # One week tells nothing of how far weeks lie apart: until there are two, as far as the least that counts.
    apart = _apart(feature, baselines[feature.stream], least) or [_least(feature, settings)]
    season = _apart(feature, [seasons[feature.stream]], least)
    return max(_least(feature, settings), settings.baseline_factor * max(apart + season)), ""


def _apart(feature: Feature, pairs: list[Pair], least: int) -> list[float]:
    """Distances of the pairs that have rows enough."""
    return [
        float(feature.distance(newer[feature.columns], older[feature.columns]))
        for newer, older in pairs
        if min(_rows(newer, feature), _rows(older, feature)) >= least
    ]


def _finding(
    feature: Feature,
    before: Longs,
    after: Longs,
    limit: float,
    untested: str,
    chance: tuple[float, float] | None,
    settings: DriftSettings,
) -> Finding:
    old, new = before.sum(axis=0)[feature.columns], after.sum(axis=0)[feature.columns]
    distance, events = float(feature.distance(old, new)), _rows(after.sum(axis=0), feature)
    if untested or chance is None:
        known = round(distance, 6) if events and _rows(before.sum(axis=0), feature) else None
        return Finding(feature.kind, feature.name, False, known, events, untested=untested)
    p, expected = chance
    limit = max(limit, settings.baseline_factor * expected)
    detected = p <= settings.alpha and distance > limit
    moved = _moved(feature, shares(old), shares(new)) if detected else ()
    return Finding(
        feature.kind,
        feature.name,
        detected,
        round(distance, 6),
        events,
        round(limit, 6),
        round(p, 6),
        round(expected, 6),
        moved,
    )


def _least(feature: Feature, settings: DriftSettings) -> float:
    return settings.min_effect if feature.apart is None else settings.min_energy


def _moved(feature: Feature, old: Any, new: Any) -> tuple[str, ...]:
    """The bins whose share changed most, as words."""
    order = np.argsort(-np.abs(new - old), kind="stable")[:TOLD]
    return tuple(f"{feature.labels[bin]} {100 * old[bin]:.0f} % -> {100 * new[bin]:.0f} %" for bin in order)


def _rows(counted: Longs, feature: Feature) -> int:
    return round(float(counted[feature.columns].sum()) / UNIT)
