"""What asks for a training run on a morning: the monitor's metrics, put to the rules whose action is to retrain.

>>> Rules(Settings()).asked(findings, quality, variants)
{'drift': ('organic.class',), 'quality': ('click rate',)}

The expressions are those of monitoring.rules.triggers, evaluated by monitoring.promql over what the monitor would export. How long
they must hold (five minutes) is left out: what is said of complete days holds for a day. ModelStale goes by the calendar and is not asked.
"""

import math
from typing import Any

from components.recsys.drift import Finding
from components.recsys.drift.quality import Quality
from components.recsys.settings import Settings
from monitoring.promql.evaluate import evaluate, vector_of
from monitoring.promql.parser import parse
from monitoring.promql.scraping import parsed
from monitoring.promql.series import SeriesStore
from monitoring.rules.rule import Alert
from monitoring.rules.triggers import triggers
from monitoring.watching.exporting import Measures
from monitoring.watching.watch import told_finding

BY_CALENDAR = "stale"
Json = dict[str, Any]


class Rules:
    def __init__(self, settings: Settings) -> None:
        self.measures = Measures()
        self.rules = {
            rule.reason: parse(rule.expr)
            for rule in triggers(settings).rules
            if isinstance(rule, Alert) and rule.action == "retrain" and rule.reason != BY_CALENDAR
        }

    def asked(
        self, findings: list[Finding], quality: Quality | None, variants: list[Json]
    ) -> dict[str, tuple[str, ...]]:
        """By reason, the features that ask, or "click rate"."""
        facts = {
            "faults": [],
            "seconds": 0.0,
            "data_age_seconds": {},
            # Where no distance is beyond its limit the verdict needs no p-value, and there is none.
            "drift": [
                {name: math.nan if value is None else value for name, value in told_finding(finding).items()}
                for finding in findings
            ],
            "quality": {**quality.to_dict(), "variants": variants} if quality else {},
        }
        self.measures.looked(facts, broken=0)
        store = SeriesStore()
        for labels, value in parsed(self.measures.exposition().decode(), {}).items():
            store.add(labels, 1000, value)
        found = {reason: vector_of(evaluate(rule, store, 1000)) for reason, rule in self.rules.items()}
        return {
            reason: tuple(sorted(dict(labels).get("feature", "click rate") for labels in vector))
            for reason, vector in found.items()
            if vector
        }
