"""Checks of the data gate that compare a batch with the batches before it.

>>> volume(subject, 0.5)
Finding(ok=False, column='timestamp', rows=..., measured=0.83, text='12.0 events a day is 83% less than ...')

Without a batch before there is nothing to compare, and nothing is found.
"""

import polars as pl

from components.recsys.checking.findings import LEAST_JUDGED, Finding, Subject, part_of
from components.recsys.intake.batches import EXAMPLES, SHORT

USERS_A_DAY = 10  # from which a day without events is no chance


def schema_drift(subject: Subject, threshold: float) -> Finding | None:
    if not subject.former:
        return None
    lost = sorted(set(subject.former[-1]["columns"]) - set(subject.facts["columns"]))
    text = f"the batch lacks {', '.join(lost) or 'no column'}, which the batch before had"
    return Finding(
        len(lost) <= threshold,
        ", ".join(lost),
        subject.facts["rows"],
        len(lost),
        text,
        [f"column {name}" for name in lost][:EXAMPLES],
    )


def volume(subject: Subject, threshold: float) -> Finding | None:
    """Batches that cover less than a day say nothing about a day."""
    former = sorted(float(each["per_day"]) for each in subject.former if each["days"] >= 1)
    if not former or subject.facts["days"] < 1:
        return None
    usual, now = former[len(former) // 2], float(subject.facts["per_day"])
    drop = max(0.0, 1 - now / usual) if usual else 0.0
    text = (
        f"{now:,.1f} events a day is {drop:.0%} less than the {usual:,.1f} of the batches before, "
        f"and at most {threshold:.0%} less may be"
    )
    examples = [f"batch {each['batch'][:SHORT]}: {each['per_day']:,.1f} a day" for each in subject.former[-EXAMPLES:]]
    return Finding(drop <= threshold, "timestamp", subject.facts["usable"], drop, text, examples)


def gaps(subject: Subject, threshold: float) -> Finding | None:
    days = (
        subject.added.group_by(pl.col("timestamp").dt.date().alias("day"))
        .agg(pl.col("user_id").n_unique().alias("users"))
        .sort("day")
    )
    if days.height < 2 or float(days["users"].median() or 0.0) < USERS_A_DAY:  # type: ignore[arg-type]
        return None
    empty = days.select(
        "day", ((pl.col("day") - pl.col("day").shift(1)).dt.total_days() - 1).alias("empty")
    ).drop_nulls()
    longest = int(empty["empty"].max() or 0)  # type: ignore[arg-type]
    text = f"{longest} days in a row have no event, and at most {threshold:.0f} may"
    widest = empty.filter(pl.col("empty") > threshold).sort("empty", "day", descending=[True, False]).head(EXAMPLES)
    return Finding(
        longest <= threshold,
        "timestamp",
        0,
        longest,
        text,
        [f"{count} days before {day}" for day, count in widest.iter_rows()],
    )


def new_items(subject: Subject, threshold: float) -> Finding | None:
    before = subject.events.filter(pl.col("batch").is_in([each["batch"] for each in subject.former]))
    if before.height < LEAST_JUDGED or subject.added.height < LEAST_JUDGED:
        return None
    strange = subject.added.join(before.select("item_id").unique(), on="item_id", how="anti")
    share = strange.height / subject.added.height
    text = (
        f"{part_of(strange.height, subject.added.height, 'new events')} are on items that no batch before had, "
        f"and at most {threshold:.0%} may be: ids seem to be written in another way"
    )
    return Finding(
        share <= threshold,
        "item_id",
        strange.height,
        share,
        text,
        [f"item_id {value!r}" for value in strange["item_id"].unique(maintain_order=True).head(EXAMPLES)],
    )


def value_shift(subject: Subject, threshold: float) -> Finding | None:
    former = [each["values"] for each in subject.former if each.get("values")]
    now = subject.facts.get("values")
    if not former or not now:
        return None
    low, middle, high = former[-1]
    width = (high - low) or max(abs(middle), 1.0)
    moved = abs(now[1] - middle) / width
    text = (
        f"the middle value went from {middle:g} to {now[1]:g}, which is {moved:.1f} widths of the former values, "
        f"and at most {threshold:g} may be: another scale or another column"
    )
    examples = [f"value {value:g}" for value in subject.added["value"].drop_nulls().head(EXAMPLES)]
    return Finding(moved <= threshold, "value", subject.added.height, moved, text, examples)
