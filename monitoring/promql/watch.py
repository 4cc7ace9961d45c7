"""Prometheus's part without Prometheus: scrapes, evaluates the rule file, tells who fires.

>>> watch = Evaluator(render_rules(scale=0.01))
>>> watch.scrape({"gateway": "http://127.0.0.1:8000/metrics"})
>>> [alert.name for alert in watch.evaluate() if alert.firing]
['MonitorBlind']

One thread calls it. Memory is bounded by the longest range of the rules (at most `keep_seconds`).
"""

import time
from collections.abc import Iterable
from typing import Any

import yaml

from monitoring.promql.discovery import Target
from monitoring.promql.evaluate import evaluate, vector_of
from monitoring.promql.operators import nameless
from monitoring.promql.parser import parse
from monitoring.promql.scraping import Scraper
from monitoring.promql.series import NAME, SeriesStore, Vector, labels_of
from monitoring.promql.states import AlertRule, AlertStates, FiredAlert
from monitoring.promql.syntax import Node, QueryError, selectors

KEEP_SECONDS = 6 * 3600.0


class Evaluator:
    """rules: the text of a Prometheus rule file. keep_seconds: most past held, also for rules that would look further back."""

    def __init__(self, rules: str, keep_seconds: float = KEEP_SECONDS) -> None:
        groups: list[dict[str, Any]] = yaml.safe_load(rules)["groups"]
        every = [rule for group in groups for rule in group["rules"]]
        self.rules: list[tuple[str, Node] | AlertStates] = [
            (rule["record"], parse(rule["expr"])) if "record" in rule else AlertStates(AlertRule.read(rule))
            for rule in every
        ]
        reach = [s.range_ms + s.offset_ms for rule in every for s in selectors(parse(rule["expr"]))]
        self.store = SeriesStore(min(max(reach, default=0), round(keep_seconds * 1000)))
        self.scraper = Scraper(self.store)
        self.scraped: set[str] = set()  # targets of the last look
        self.faults: dict[str, str] = {}  # by target or rule, the last fault in words

    def scrape(self, targets: dict[str, str], now: float | None = None, found: Iterable[Target] = ()) -> dict[str, str]:
        """One look at every target (name to URL of its metrics), and at those that a `Discovery` found; the faults by
        name or URL, empty where it answered."""
        faults = self.scraper.scrape(targets, time.time() if now is None else now, found)
        for gone in self.scraped - faults.keys():
            self.faults.pop(gone, None)
        self.scraped = set(faults)
        self.faults.update(faults)
        return faults

    def evaluate(self, now: float | None = None) -> list[FiredAlert]:
        """Alerts that fire, and those that stopped at this look. A rule that fails is in `faults`; the others go on."""
        moment = time.time() if now is None else now
        found: list[FiredAlert] = []
        for rule in self.rules:
            name = rule[0] if isinstance(rule, tuple) else rule.rule.name
            try:
                if isinstance(rule, tuple):
                    self._record(*rule, round(moment * 1000))
                else:
                    found += rule.look(self.store, moment)
                self.faults.pop(name, None)
            except QueryError as error:
                self.faults[name] = str(error)
        self.store.forget(round(moment * 1000))
        return found

    def query(self, expr: str, now: float | None = None) -> Vector:
        """The value of any expression of the subset. Raises QueryError."""
        return vector_of(evaluate(parse(expr), self.store, round((time.time() if now is None else now) * 1000)))

    def _record(self, name: str, node: Node, now_ms: int) -> None:
        for labels, value in vector_of(evaluate(node, self.store, now_ms)).items():
            self.store.add(labels_of({**dict(nameless(labels)), NAME: name}), now_ms, value)
