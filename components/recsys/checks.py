"""The checks of the data gate: each looks at one thing and says what it found in one sentence.

>>> CHECKS["min_users"](subject, 10)
Finding(ok=False, column='user_id', rows=3, measured=3, text='only 3 users have usable events; at least 10 are needed', ...)

A check that has nothing to look at (no items table, no batch before) finds nothing. Checks of rows that cleaning has put into
quarantine read the batch's facts; the others read the events.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property

import polars as pl

from components.recsys.batches import EXAMPLES, Facts
from components.recsys.leakage import leaking_attribute
from components.recsys.text import BROKEN

LEAST_JUDGED = 100  # events of a batch from which its own shape is judged; smaller ones are judged with the whole table
USERS_A_DAY = 10  # from which a day without events is no chance
TIMES_CHANCE = 5  # how often the expected coincidences must be exceeded


@dataclass(frozen=True)
class Subject:
    """What is examined. facts: of the batch. former: of the batches before, oldest first. events: the whole table."""

    facts: Facts
    former: list[Facts]
    events: pl.DataFrame
    items: pl.DataFrame | None
    users: pl.DataFrame | None

    @cached_property
    def added(self) -> pl.DataFrame:
        """The events that this batch added."""
        return self.events.filter(pl.col("batch") == self.facts["batch"])

    @cached_property
    def judged(self) -> pl.DataFrame:
        """What the batch added, where that is enough to judge by, else the whole table."""
        return self.added if self.added.height >= LEAST_JUDGED else self.events


@dataclass(frozen=True)
class Finding:
    """measured: in the unit of the threshold. rows: how many are concerned. text: the sentence. examples: at most three."""

    ok: bool
    column: str
    rows: int
    measured: float
    text: str
    examples: list[str] = field(default_factory=list)


CheckFunction = Callable[[Subject, float], Finding | None]


def _in_quarantine(check: str, what: str) -> CheckFunction:
    """A check of how many rows cleaning had to put aside for one kind of reason."""

    def look(subject: Subject, threshold: float) -> Finding | None:
        reasons = [each for each in subject.facts["reasons"] if each["check"] == check]
        rows, arrived = sum(each["rows"] for each in reasons), subject.facts["rows"]
        if not rows:
            return None
        share = rows / arrived
        told = "; ".join(f"{each['reason']}: {each['rows']:,}" for each in reasons[:3])
        text = f"{_part(rows, arrived)} {what} ({told}), and at most {threshold:.2%} may"
        examples = [example for each in reasons for example in each["examples"]][:EXAMPLES]
        return Finding(share <= threshold, reasons[0]["column"], rows, share, text, examples)

    return look


def _part(rows: int, of: int, what: str = "rows") -> str:
    return f"{rows:,} of {of:,} {what} ({rows / max(of, 1):.2%})"


def duplicates(subject: Subject, threshold: float) -> Finding | None:
    facts = subject.facts
    reused = [each for each in facts["reasons"] if each["check"] == "duplicates"]
    rows = facts["counts"].get("exact_duplicates", 0) + sum(each["rows"] for each in reused)
    if not rows:
        return None
    share = rows / facts["rows"]
    text = f"{_part(rows, facts['rows'])} repeat another row, and at most {threshold:.2%} may"
    examples = (facts.get("repeated", []) + [example for each in reused for example in each["examples"]])[:EXAMPLES]
    return Finding(share <= threshold, "event_id" if reused else "all columns", rows, share, text, examples)


def encoding(subject: Subject, threshold: float) -> Finding | None:
    found = _in_quarantine("encoding", "have broken characters")(subject, threshold)
    if (found and not found.ok) or subject.items is None or not subject.items.height:
        return found
    texts = [name for name, dtype in subject.items.schema.items() if dtype == pl.String]
    broken = subject.items.filter(
        pl.any_horizontal(pl.col(name).str.contains(BROKEN).fill_null(False) for name in texts)
    )
    if not broken.height:
        return found
    column = next(name for name in texts if broken[name].str.contains(BROKEN).any())
    share = broken.height / subject.items.height
    text = (
        f"{_part(broken.height, subject.items.height, 'items')} have broken characters in their texts (a wrong encoding), "
        f"and at most {threshold:.2%} may"
    )
    return Finding(
        share <= threshold,
        column,
        broken.height,
        share,
        text,
        [f"{column} {value!r}" for value in broken[column].head(EXAMPLES)],
    )


def id_collision(subject: Subject, threshold: float) -> Finding | None:
    """Swapped rows are in quarantine; here also the user's column copied into the item's, beyond what small numbers give."""
    events = subject.judged
    same = events.filter(pl.col("user_id") == pl.col("item_id"))
    turned = sum(each["rows"] for each in subject.facts["reasons"] if each["check"] == "id_collision")
    if same.height:
        users = events["user_id"].value_counts(name="users").rename({"user_id": "id"})
        items = events["item_id"].value_counts(name="items").rename({"item_id": "id"})
        both = users.join(items, on="id").select((pl.col("users") * pl.col("items")).sum()).item() / events.height
        if same.height > TIMES_CHANCE * both:
            share = same.height / events.height
            text = f"{_part(same.height, events.height, 'events')} have the same user and item, and at most {threshold:.2%} may"
            examples = [
                f"user_id {value!r} and item_id {value!r}"
                for value in same["user_id"].unique(maintain_order=True).head(EXAMPLES)
            ]
            return Finding(share <= threshold, "user_id", same.height, share, text, examples)
    return (
        _in_quarantine("id_collision", "have user and item in each other's column")(subject, threshold)
        if turned
        else None
    )


def _at_least(column: str, what: str) -> CheckFunction:
    """A check of how many of something there are in the whole table."""

    def look(subject: Subject, threshold: float) -> Finding | None:
        count = subject.events.height if column == "event_id" else subject.events[column].n_unique()
        text = f"there are only {count:,} {what}, and at least {threshold:,.0f} are needed"
        examples = (
            []
            if column == "event_id"
            else [f"{column} {value!r}" for value in subject.events[column].unique(maintain_order=True).head(EXAMPLES)]
        )
        return Finding(count >= threshold, column, count, count, text, examples)

    return look


def _at_most_one(column: str, what: str) -> CheckFunction:
    """A check of the largest share that one value of a column has."""

    def look(subject: Subject, threshold: float) -> Finding | None:
        events = subject.judged
        if not events.height:
            return None
        counts = events[column].value_counts(sort=True, name="rows").head(EXAMPLES)
        value, rows = counts.row(0)
        share = rows / events.height
        text = f"{_part(rows, events.height, 'events')} are {what} {value!s}, and at most {threshold:.2%} may be"
        return Finding(
            share <= threshold,
            column,
            rows,
            share,
            text,
            [f"{name!s}: {count:,} events" for name, count in counts.iter_rows()],
        )

    return look


def event_kinds(subject: Subject, threshold: float) -> Finding | None:
    kinds = subject.judged["event"].value_counts(sort=True)
    text = f"column event holds {kinds.height:,} kinds, and at most {threshold:,.0f} may be: another column was taken for the kind"
    examples = [f"event {kind!r}" for kind in kinds["event"].tail(EXAMPLES)]
    return Finding(kinds.height <= threshold, "event", subject.judged.height, kinds.height, text, examples)


def _known(column: str, table: str) -> CheckFunction:
    """A check that the ids of the events are in the table of their attributes."""

    def look(subject: Subject, threshold: float) -> Finding | None:
        attributes = subject.items if table == "items" else subject.users
        if attributes is None or not subject.judged.height:
            return None
        strange = subject.judged.join(attributes.select(column), on=column, how="anti")
        share = strange.height / subject.judged.height
        text = (
            f"{_part(strange.height, subject.judged.height, 'events')} have a {column} that the {table} do not have, "
            f"and at most {threshold:.2%} may"
        )
        counts = strange[column].value_counts(sort=True, name="rows").sort("rows", column, descending=[True, False])
        return Finding(
            share <= threshold,
            column,
            strange.height,
            share,
            text,
            [f"{column} {value!r}" for value in counts[column].head(EXAMPLES)],
        )

    return look


def leakage(subject: Subject, threshold: float) -> Finding | None:
    if subject.items is None:
        return None
    found = leaking_attribute(subject.events, subject.items)
    if found is None:
        return None
    text = (
        f"the items' attribute {found.column} tells how popular {found.items:,} items will be (correlation {found.correlation:.3f} beyond what "
        f"their past tells, at most {threshold:.2f} may be): it was made from events that are to be predicted"
    )
    return Finding(found.correlation <= threshold, found.column, found.items, found.correlation, text, found.examples)


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
    text = f"{now:,.1f} events a day is {drop:.0%} less than the {usual:,.1f} of the batches before, and at most {threshold:.0%} less may be"
    examples = [f"batch {each['batch'][:12]}: {each['per_day']:,.1f} a day" for each in subject.former[-EXAMPLES:]]
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
        f"{_part(strange.height, subject.added.height, 'new events')} are on items that no batch before had, and at most {threshold:.0%} may be: "
        "ids seem to be written in another way"
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
        f"the middle value went from {middle:g} to {now[1]:g}, which is {moved:.1f} widths of the former values, and at most {threshold:g} may be: "
        "another scale or another column"
    )
    examples = [f"value {value:g}" for value in subject.added["value"].drop_nulls().head(EXAMPLES)]
    return Finding(moved <= threshold, "value", subject.added.height, moved, text, examples)


CHECKS: dict[str, CheckFunction] = {
    "missing": _in_quarantine("missing", "lack a user, an item or a time"),
    "invalid": _in_quarantine("invalid", "cannot be read"),
    "encoding": encoding,
    "future": _in_quarantine("future", "lie in the future"),
    "ancient": _in_quarantine("ancient", "are older than any event log"),
    "range": _in_quarantine("range", "have a value that cannot be"),
    "duplicates": duplicates,
    "id_collision": id_collision,
    "min_events": _at_least("event_id", "usable events"),
    "min_users": _at_least("user_id", "users with usable events"),
    "min_items": _at_least("item_id", "items with usable events"),
    "single_user": _at_most_one("user_id", "of user"),
    "single_item": _at_most_one("item_id", "on item"),
    "single_time": _at_most_one("timestamp", "at"),
    "event_kinds": event_kinds,
    "referential": _known("item_id", "items"),
    "referential_users": _known("user_id", "users"),
    "leakage": leakage,
    "schema_drift": schema_drift,
    "volume": volume,
    "gaps": gaps,
    "new_items": new_items,
    "value_shift": value_shift,
}
