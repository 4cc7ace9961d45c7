"""Whether what people do, what they are shown, and what they click has changed since the champion was trained.

>>> plan = make_plan(items, reference, settings)
>>> counter = Counter(plan); counter.add_events(frame)
>>> compare(counter.counts, plan, {"organic": windows(today, anchor, first, 7, 4)}, settings)

Streaming aggregates in constant memory (`aggregates`, `counting`), distances (`distances`), a null of the same size (`null`),
a limit that knows seasons (`comparison`). docs/loop/drift.md says how it is meant.
"""

from components.recsys.drift.aggregates import SHARDS, UNIT, Aggregates, merged
from components.recsys.drift.comparison import Finding, compare
from components.recsys.drift.counting import Counter
from components.recsys.drift.exposure import Exposed, Exposure
from components.recsys.drift.plan import Plan, make_plan
from components.recsys.drift.windows import Windows, anchor_of_reactions, windows

__all__ = [
    "SHARDS",
    "UNIT",
    "Aggregates",
    "Counter",
    "Exposed",
    "Exposure",
    "Finding",
    "Plan",
    "Windows",
    "anchor_of_reactions",
    "compare",
    "make_plan",
    "merged",
    "windows",
]
