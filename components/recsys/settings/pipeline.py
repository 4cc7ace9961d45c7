"""Settings of the training pipeline: one section a step.

>>> PrepareSettings().split
'user_time'
"""

from typing import Annotated, Any, Literal

from pydantic import Field

from components.recsys.settings.base import Section, Share

Severity = Literal["stop", "warn", "off"]


class Source(Section):
    """How one kind of file (events, items or users) is read and mapped onto our columns."""

    columns: dict[str, str] = Field(
        default={},
        description="Our column name -> the name in the file, e.g. {user_id: userId}. Same names need no entry.",
    )
    format: Literal["auto", "csv", "tsv", "parquet", "jsonl", "delta"] = Field(
        default="auto", description="auto goes by the file's name, gzip included, and by its first bytes."
    )
    separator: str | None = Field(
        default=None, description="Column separator of a text file; by default found from its header."
    )
    header: tuple[str, ...] = Field(
        default=(),
        description="Names of the columns of a text file that has no header line, in the file's order. Empty: the first line names them.",
    )
    list_separator: str = Field(
        default="|",
        min_length=1,
        description="Between the parts of a list inside one cell, such as genres. MovieLens uses |.",
    )
    lists: tuple[str, ...] = Field(
        default=("genres",), description="Our names of columns whose cells are lists, cut at list_separator."
    )


class EventSource(Source):
    time_unit: Literal["auto", "s", "ms", "us", "ns", "iso", "order"] = Field(
        default="auto",
        description="auto tells seconds, milliseconds, micro- and nanoseconds apart by size, and ISO 8601 by shape. "
        "order: the file has no times, so the order of its rows counts as time.",
    )
    value_range: tuple[float, float] | None = Field(
        default=None,
        description="Smallest and largest value that can be (1 and 5 for stars). None: only what is far off the rest is broken.",
    )


class DataSettings(Section):
    """Where the data lies in the file and how it is cleaned. Every change that cleaning makes is counted in the report."""

    events: EventSource = EventSource()
    items: Source = Source()
    users: Source = Source()
    near_duplicate_seconds: float = Field(
        default=1.0,
        ge=0,
        description="Seconds within which a second equal event of one user on one item counts as a double click. 0: keep them.",
    )
    normalise_text: bool = Field(
        default=True,
        description="Unicode NFC, outer blanks off, inner runs of blanks to one. Applied to ids and text attributes.",
    )
    max_id_length: int = Field(default=256, ge=1, description="Characters; a longer id is a broken row, not a name.")
    missing_values: tuple[str, ...] = Field(
        default=("null", "NULL", "None", "NaN", "nan", "\\N", "N/A", "n/a", "<NA>", "undefined", "(no genres listed)"),
        description="Cells that mean 'nothing here', beside the empty one. Not NA: it is also a country and an airline.",
    )


class Check(Section):
    """One check of the data gate."""

    severity: Severity = Field(default="stop", description="stop ends the run, warn only tells, off does not look.")
    threshold: float = Field(description="The limit; its unit is in the check's own description.")


def _check(threshold: float, description: str, severity: Severity = "stop") -> Any:
    return Field(default=Check(severity=severity, threshold=threshold), description=description)


class QualitySettings(Section):
    """The data gate before training. Shares of rows are of those that arrived in the batch; the broken ones are in quarantine by then."""

    missing: Check = _check(0.05, "Share of rows without a user, an item or a time.")
    invalid: Check = _check(0.05, "Share of rows whose id, time or value cannot be read.")
    encoding: Check = _check(0.01, "Share of ids or texts with broken characters: a wrong encoding.")
    future: Check = _check(0.01, "Share of rows later than now plus one day.")
    ancient: Check = _check(0.01, "Share of rows before 1990-01-01: zero and wrong-unit times land in 1970.")
    range: Check = _check(0.01, "Share of rows whose value is outside data.events.value_range, or far off all others.")
    duplicates: Check = _check(
        0.5, "Share of rows that repeat another exactly (dropped). Exports overlap; half is a broken join."
    )
    id_collision: Check = _check(
        0.1,
        "Share of rows whose user and item are the same or have changed places, where that is no coincidence: copied or swapped columns.",
    )
    min_events: Check = _check(100, "Fewest usable events in the table.")
    min_users: Check = _check(10, "Fewest users with usable events.")
    min_items: Check = _check(5, "Fewest items with usable events.")
    single_user: Check = _check(0.5, "Largest share of events from one user: a robot or a default id.")
    single_item: Check = _check(0.5, "Largest share of events on one item: a default id.")
    single_time: Check = _check(0.5, "Largest share of events at one instant: a load time written as the event time.")
    event_kinds: Check = _check(100, "Most kinds of event: with more, another column was taken for the kind.")
    referential: Check = _check(0.2, "Share of events on items that the items table, when there is one, does not know.")
    referential_users: Check = _check(
        0.2, "Share of events of users that the users table, when there is one, does not know.", "warn"
    )
    leakage: Check = _check(
        0.9,
        "Largest correlation of an item's attribute with its popularity in the last fifth of the time, beyond its popularity before.",
    )
    schema_drift: Check = _check(0, "Most columns of the batch before that this batch lacks.")
    volume: Check = _check(0.5, "Largest drop, as a share, of the events per day against the batches before.")
    gaps: Check = _check(
        7, "Most days in a row without any event, inside a batch that has ten users and more on a usual day."
    )
    new_items: Check = _check(
        0.9, "Largest share of events on items that no batch before had: ids were written in another way."
    )
    value_shift: Check = _check(
        3, "Farthest that the middle value may move from the batches before, in widths of their middle 90 %."
    )


class PrepareSettings(Section):
    """How events become training, validation and test parts."""

    split: Literal["user_time", "global_time", "random"] = Field(
        default="user_time",
        description="user_time: the last events of each user are held out, as serving will see them. "
        "global_time: one cut for all, for showing cold start. random: random inside each item (Microsoft Recommenders' protocol).",
    )
    test_share: Share = Field(
        default=0.2, description="Share of each user's events (or of all) that is held out for the test."
    )
    validation_share: Share = Field(
        default=0.2, description="Share of what is left after the test, for choosing weights and settings."
    )
    min_events_per_user: int = Field(
        default=1, ge=1, description="Users with fewer events are left out of evaluation, never out of serving."
    )
    event_weights: dict[str, float] = Field(
        default={},
        description="Weight of each kind of event (default 1): {view: 1, booking: 5}. 0 leaves the kind out of training.",
    )
    min_value: float | None = Field(
        default=None,
        description="Events with a smaller value are no sign of liking and are left out. None: every event counts (the default protocol).",
    )


class TrainSettings(Section):
    """What is trained. A model's own settings are described beside the model."""

    candidates: tuple[str, ...] = Field(
        default=("hybrid", "ials", "ease", "item_knn", "content", "popularity"),
        min_length=1,
        description="Models to train and compare side by side; the longest first, so that two cores are shared well.",
    )
    models: dict[str, dict[str, Any]] = Field(default={}, description="Settings of a model: {ease: {l2: 500}}.")
    seed: int = Field(default=42, ge=0, description="The one seed from which all randomness of a run is drawn.")
    threads: int = Field(
        default=1,
        ge=1,
        description="BLAS threads of a candidate: fixed, because sums in another order give other digits and another digest; "
        "one, because candidates train side by side and BLAS threads that wait for each other spin.",
    )
    refit: bool = Field(
        default=True,
        description="Fit the winner once more on all events, the test part included. The gate judged the same recipe without it.",
    )


class EvaluateSettings(Section):
    """How candidates are compared. Rankings are always over the full catalogue, never over sampled negatives."""

    k: int = Field(default=10, ge=1, le=1000, description="Length of the lists that are judged.")
    cold_below: int = Field(default=5, ge=1, description="A user with fewer training events is cold.")
    warm_from: int = Field(
        default=20, ge=1, description="A user with at least as many is warm; between the two, lukewarm."
    )
    bootstrap: int = Field(default=1000, ge=100, description="Resamples for each 95 % interval.")
    max_slices: int = Field(
        default=12, ge=1, description="Groups shown per user attribute; the rest are one group 'other'."
    )
    min_slice_users: int = Field(default=30, ge=2, description="Groups with fewer users are shown but not judged.")
    seed: int = Field(default=42, ge=0, description="Seed of the resampling.")


class GateSettings(Section):
    """When a challenger replaces the champion."""

    metric: Literal["ndcg", "recall", "precision", "hit_rate", "map", "mrr"] = Field(
        default="ndcg",
        description="The metric on which the challenger must beat the champion and the simple baselines.",
    )
    alpha: Annotated[float, Field(gt=0, lt=0.5)] = Field(
        default=0.05, description="One-sided error rate: how often an equal model may be promoted by chance."
    )
    baselines: tuple[str, ...] = Field(
        default=("popularity", "item_knn"),
        description="Simple models that a champion must beat (beyond alpha). A baseline itself may be released only when nothing beats it.",
    )
    slice_margin: Share = Field(
        default=0.1,
        description="Largest relative loss in any judged user group against the champion (non-inferiority, at alpha over the groups).",
    )
    min_coverage: Share = Field(
        default=0.05,
        description="Least share of the catalogue that the lists of all test users must show, of what so many lists can.",
    )
    min_users: int = Field(
        default=30,
        ge=2,
        description="With fewer test users nothing can be shown: the champion stays, a first release is a baseline.",
    )
    bootstrap: int = Field(default=5000, ge=100, description="Resamples for each comparison: p-values down to 0.0002.")
    seed: int = Field(default=42, ge=0, description="Seed of the resampling.")
