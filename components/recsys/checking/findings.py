"""What a check of the data gate looks at, and what it says.

>>> Finding(ok=False, column="user_id", rows=3, measured=3, text="there are only 3 users, and at least 10 are needed")
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property

import polars as pl

from components.recsys.intake.batches import Facts

LEAST_JUDGED = 100  # events of a batch from which its own shape is judged; smaller ones are judged with the whole table


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
    """measured: in the unit of the threshold. rows: concerned. text: the sentence. examples: at most three."""

    ok: bool
    column: str
    rows: int
    measured: float
    text: str
    examples: list[str] = field(default_factory=list)


CheckFunction = Callable[[Subject, float], Finding | None]


def part_of(rows: int, of: int, what: str = "rows") -> str:
    return f"{rows:,} of {of:,} {what} ({rows / max(of, 1):.2%})"
