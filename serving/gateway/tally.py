"""What this gateway has done since it started, in a few numbers for the status page and the console.

>>> tally.count(record)
>>> tally.facts()
{'lists': {'champion': 950, 'candidate': 50}, 'failed': {'candidate timeout': 1}, 'explored': 48, 'fallbacks': 3}
"""

from collections import Counter
from typing import Any

from components.recsys.predictions import Prediction


class Tally:
    """last_failure: the newest, in words."""

    def __init__(self) -> None:
        self.lists: Counter[str] = Counter()
        self.failures: Counter[str] = Counter()
        self.explored = self.fallbacks = 0
        self.last_failure = ""

    def count(self, record: Prediction) -> None:
        self.lists[record.variant] += 1
        if record.failed:
            self.failures[f"{record.variant} {record.failed}"] += 1
        self.explored += record.explored
        self.fallbacks += bool(record.fallback)

    def failed(self, variant: str, why: str) -> None:
        self.last_failure = f"{variant}: {why}"[:300]

    def facts(self) -> dict[str, Any]:
        return {
            "lists": dict(self.lists),
            "failed": dict(self.failures),
            "explored": self.explored,
            "fallbacks": self.fallbacks,
            "last_failure": self.last_failure,
        }
