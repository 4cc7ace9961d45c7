"""The checks of the data gate: each looks at one thing and says what it found in one sentence.

>>> CHECKS["min_users"](subject, 10)
Finding(ok=False, column='user_id', rows=3, measured=3, text='there are only 3 users with usable events, ...')

A check that has nothing to look at (no items table, no batch before) finds nothing. Checks of rows that cleaning has
put into quarantine read the batch's facts; the others read the events.
"""

import polars as pl

from components.recsys.checking.comparisons import gaps, new_items, schema_drift, value_shift, volume
from components.recsys.checking.findings import CheckFunction, Finding, Subject, part_of
from components.recsys.checking.leakage import leaking_attribute
from components.recsys.intake.batches import EXAMPLES
from components.recsys.intake.text import BROKEN

TIMES_CHANCE = 5  # how often the expected coincidences must be exceeded


def _in_quarantine(check: str, what: str) -> CheckFunction:
    """A check of how many rows cleaning had to put aside for one kind of reason."""

    def look(subject: Subject, threshold: float) -> Finding | None:
        reasons = [each for each in subject.facts["reasons"] if each["check"] == check]
        rows, arrived = sum(each["rows"] for each in reasons), subject.facts["rows"]
        if not rows:
            return None
        share = rows / arrived
        told = "; ".join(f"{each['reason']}: {each['rows']:,}" for each in reasons[:3])
        text = f"{part_of(rows, arrived)} {what} ({told}), and at most {threshold:.2%} may"
        examples = [example for each in reasons for example in each["examples"]][:EXAMPLES]
        return Finding(share <= threshold, reasons[0]["column"], rows, share, text, examples)

    return look


def duplicates(subject: Subject, threshold: float) -> Finding | None:
    facts = subject.facts
    reused = [each for each in facts["reasons"] if each["check"] == "duplicates"]
    rows = facts["counts"].get("exact_duplicates", 0) + sum(each["rows"] for each in reused)
    if not rows:
        return None
    share = rows / facts["rows"]
    text = f"{part_of(rows, facts['rows'])} repeat another row, and at most {threshold:.2%} may"
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
        f"{part_of(broken.height, subject.items.height, 'items')} have broken characters (a wrong encoding), "
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
    """Swapped rows are in quarantine; here also one column copied into the other, beyond what small numbers give."""
    events = subject.judged
    same = events.filter(pl.col("user_id") == pl.col("item_id"))
    turned = sum(each["rows"] for each in subject.facts["reasons"] if each["check"] == "id_collision")
    if same.height:
        users = events["user_id"].value_counts(name="users").rename({"user_id": "id"})
        items = events["item_id"].value_counts(name="items").rename({"item_id": "id"})
        both = users.join(items, on="id").select((pl.col("users") * pl.col("items")).sum()).item() / events.height
        if same.height > TIMES_CHANCE * both:
            share = same.height / events.height
            part = part_of(same.height, events.height, "events")
            text = f"{part} have the same user and item, and at most {threshold:.2%} may"
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
        text = f"{part_of(rows, events.height, 'events')} are {what} {value!s}, and at most {threshold:.2%} may be"
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
    text = (
        f"there are {kinds.height:,} kinds of event, at most {threshold:,.0f} may be: another column was taken for it"
    )
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
            f"{part_of(strange.height, subject.judged.height, 'events')} have a {column} that the {table} do not have, "
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
        f"the items' attribute {found.column} tells how popular {found.items:,} items will be "
        f"(correlation {found.correlation:.3f} beyond what their past tells, at most {threshold:.2f} may be): "
        "it was made from events that are to be predicted"
    )
    return Finding(found.correlation <= threshold, found.column, found.items, found.correlation, text, found.examples)


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
