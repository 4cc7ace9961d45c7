"""From counts to what the monitor says: drift by feature, click rates, exposure.

>>> drift = judge_drift(counter, reference, today, settings)
>>> [finding.feature for finding in drift if finding.detected]
['lists.class', 'lists.kind']
"""

from collections.abc import Callable
from datetime import date, datetime, timedelta
from typing import Any, Protocol

import polars as pl

from components.recsys.buckets import CHAMPION
from components.recsys.drift import Counter, Finding, Windows, anchor_of_reactions, compare, windows
from components.recsys.drift.plan import ASKED, LISTS, SHOWN, STREAMS
from components.recsys.drift.quality import Quality, quality_of
from components.recsys.settings import DriftSettings, FeedbackSettings
from monitoring.watching.reference import DAY_SECONDS, Reference

EPOCH = date(1970, 1, 1)
Json = dict[str, Any]


class Tables(Protocol):
    """Lists joined with what people did: `components.recsys.feedback`."""

    def update(self, now: datetime) -> Any: ...

    def read(self, from_day: date, to_day: date) -> pl.DataFrame: ...


def windows_of(
    counter: Counter, reference: Reference, today: int, settings: DriftSettings
) -> dict[str, Windows | None]:
    """Of each stream. What people do by themselves is measured against the training data; what they do with lists, against
    the time in which the champion's lists were new, too. What the loop itself moves is measured against the weeks just
    before: histories grow and scores with them, slowly, while a fault is sudden. How slowly, two of those weeks tell."""
    span = settings.window_days
    chosen: dict[str, Windows | None] = {}
    for stream in STREAMS:
        first = counter.counts.first_day(counter.plan.columns_of(stream))
        if first is None:
            chosen[stream] = None
            continue
        if stream in (ASKED, SHOWN):
            chosen[stream] = windows(today, today - span, first, span, settings.baseline_windows, least=2)
            continue
        anchor = reference.trained_until
        if stream == LISTS:
            anchor = anchor_of_reactions(reference.trained_until, reference.promoted, span)
        # A stream without a past begins with its first week; one week tells nothing of how far weeks lie apart, so as soon as
        # the second is not needed for judging it becomes baseline too.
        settling = 2 * span if today >= first + 3 * span else span
        chosen[stream] = windows(today, max(anchor, first + settling), first, span, settings.baseline_windows)
    return chosen


def judge_drift(
    counter: Counter, reference: Reference, today: int, settings: DriftSettings, verdicts_only: bool = False
) -> list[Finding]:
    chosen = windows_of(counter, reference, today, settings)
    return compare(counter.counts, counter.plan, chosen, settings, verdicts_only)


def judge_quality(
    joined: Tables, reference: Reference, now: datetime, settings: DriftSettings, feedback: FeedbackSettings
) -> tuple[Quality, list[Json]]:
    """The verdict, and the click rate of each variant and release in the last window of mature days."""
    joined.update(now)
    span = settings.window_days
    wait = max(feedback.maturity_seconds.get(kind, feedback.default_maturity_seconds) for kind in feedback.click_events)
    mature_until = int((now.timestamp() - wait) // DAY_SECONDS)  # the first day whose labels are not all final
    begin = min(reference.trained_until, mature_until) - span * settings.baseline_windows
    lists = _lists(joined.read(date_of(begin), date_of(int(now.timestamp() // DAY_SECONDS))))
    chosen = None
    own = lists.filter(pl.col("variant") == CHAMPION)
    if own.height:
        first = int(own["day"].to_physical().min())  # type: ignore[arg-type]
        anchor = max(anchor_of_reactions(reference.trained_until, reference.promoted, span), first + span)
        chosen = windows(mature_until, anchor, first, span, settings.baseline_windows)
    last = lists.filter(pl.col("day") >= date_of(mature_until - span), pl.col("clicked").is_not_null())
    variants = (
        last.group_by("variant", "release")
        .agg(click_rate=pl.col("clicked").mean(), lists=pl.len())
        .sort("variant", "release")
        .to_dicts()
    )
    return quality_of(lists, chosen, settings), variants


def _lists(places: pl.DataFrame) -> pl.DataFrame:
    """One row a list, from one a place. clicked: null until its labels are final."""
    return places.group_by("day", "request_id", "variant", "release", "user").agg(
        clicked=pl.when(pl.col("clicked").is_not_null().all()).then(pl.col("clicked").any())
    )


def date_of(day: int) -> date:
    return EPOCH + timedelta(days=max(day, 0))


def guarded(action: Callable[[], Any]) -> tuple[Any, str]:
    """What an action gives, or its fault as words: one part that fails must not silence the others."""
    try:
        return action(), ""
    except Exception as error:  # noqa: BLE001 - whatever it is, it is said and the rest goes on
        return None, f"{type(error).__name__}: {error}" if not str(error) else str(error)
