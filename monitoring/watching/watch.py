"""One look after the other: what is new is counted, what it means is judged, and everybody is told.

>>> watch = Watch(Home(".everloop"), Settings())
>>> facts = watch.look()
>>> facts["drift"][0]
{'kind': 'data', 'feature': 'lists.class', 'distance': 0.35, 'limit': 0.12, 'p_value': 0.0005, 'detected': True, ...}

A part of a look that fails is said in `faults` and counted; the other parts go on, and the next look tries again. A look
never raises.
"""

import json
import time
from collections.abc import Callable
from datetime import datetime
from typing import Any

from components.recsys import clock
from components.recsys.drift import Counter, Finding
from components.recsys.drift.quality import Quality
from components.recsys.errors import NotFound
from components.recsys.feedback.tables import JoinedTables
from components.recsys.home import Home
from components.recsys.settings import Settings
from components.recsys.statuses import Statuses
from components.recsys.store import open_store
from monitoring.watching.exporting import Measures
from monitoring.watching.judging import date_of, guarded, judge_drift, judge_quality
from monitoring.watching.memory import Memory
from monitoring.watching.reading import Reader
from monitoring.watching.reference import Reference, day_of, read_reference
from monitoring.watching.reports import Reports

Json = dict[str, Any]
STATE = "monitor/state.json"


class Watch:
    """Holds the counts between looks. One a home."""

    def __init__(
        self,
        home: Home,
        settings: Settings,
        measures: Measures | None = None,
        now: Callable[[], datetime] = clock.now,
    ) -> None:
        self.home, self.settings, self.now = home, settings, now
        self.measures = measures or Measures()
        self.reader = Reader(home, settings)
        self.reports = Reports(home, settings.drift)
        self.reference: Reference | None = None
        self.memory: Memory | None = None
        self.counter: Counter | None = None
        self.joined: JoinedTables | None = None
        self.drifting: set[str] | None = None  # features at the last look, so that a report is made once a drift
        self.rebuilt = ""  # why the counts were made anew at this look

    def look(self, report: bool = False, wait: bool = False) -> Json:
        """What there is to say now. report: render an Evidently report even if nothing drifts. wait: until it is rendered."""
        began, now, faults = time.monotonic(), self.now(), []
        today = day_of(now)
        _, fault = guarded(lambda: self._read(today))
        faults += [f"reading: {fault}"] if fault else []
        findings: list[Finding] = []
        reference, counter = self.reference, self.counter
        if reference is not None and counter is not None:
            judged, fault = guarded(lambda: judge_drift(counter, reference, today, self.settings.drift))
            findings = judged or []
            faults += [f"drift: {fault}"] if fault else []
        quality, fault = guarded(lambda: self._quality(now))
        faults += [f"quality: {fault}"] if fault else []
        _, fault = guarded(lambda: self._report(findings, today, report, wait or report))
        faults += [f"report: {fault}"] if fault else []
        facts = self._facts(findings, quality, now, today, faults)
        facts["seconds"] = round(time.monotonic() - began, 3)
        _, fault = guarded(lambda: self._tell(facts))
        facts["faults"] += [f"telling: {fault}"] if fault else []
        self.measures.looked(facts, self.memory.broken if self.memory else 0)
        return facts

    def _read(self, today: int) -> None:
        """Bring the counts up to date. What a look that fails had counted is dropped, not kept by halves."""
        self.rebuilt = ""
        self.reference = reference = read_reference(self.home, self.reference)
        if reference is None:
            return
        key = reference.key(self.settings.drift)
        memory, counter = self.memory, self.counter
        if memory is None:
            memory = Memory.read(self.home.store)
            if memory is not None and memory.key == key:
                plan = self.reader.plan(reference)
                if (plan.width, len(plan.items)) == (memory.counts.width, memory.exposure.items):
                    counter = Counter(plan, memory.counts, memory.exposure)
        if memory is None or counter is None or memory.key != key:
            self.rebuilt = "another champion, more data in the tables, or the first look"
        elif today < memory.looked - self.settings.drift.window_days:
            self.rebuilt = "the clock was set back further than the counts reach"
        self.memory = self.counter = None  # until all of it has worked
        if self.rebuilt or memory is None or counter is None:
            memory, counter = self.reader.start(reference, today)
            memory.write(self.home.store)
        elif self.reader.go_on(memory, counter, today):
            self.reader.forget(memory, counter, reference, today)
            memory.write(self.home.store)
        self.memory, self.counter = memory, counter

    def _quality(self, now: datetime) -> tuple[Quality, list[Json]] | None:
        if self.reference is None:
            return None
        if self.joined is None:
            sink = self.settings.log.sink
            self.joined = JoinedTables(self.home, self.settings.feedback, open_store(sink) if sink else None)
        return judge_quality(self.joined, self.reference, now, self.settings.drift, self.settings.feedback)

    def _report(self, findings: list[Finding], today: int, wanted: bool, wait: bool) -> None:
        if self.drifting is None:
            self._take_up()
        drifting = {finding.feature for finding in findings if finding.detected}
        new, self.drifting = bool(drifting) and not self.drifting, drifting
        if self.counter is None or self.reference is None:
            return
        if wanted or (new and self.settings.drift.evidently):
            self.reports.start(self.reader, self.counter, self.reference, today, self.now())
        self.reports.collect(wait)

    def _take_up(self) -> None:
        """What an earlier process said last, so that a restart makes no second report of the same drift."""
        try:
            said = json.loads(self.home.store.read(STATE))
            self.drifting, self.reports.latest = set(said["detected"]), str(said["report"])
        except (NotFound, ValueError, KeyError, TypeError):
            self.drifting = set()

    def _facts(
        self,
        findings: list[Finding],
        quality: tuple[Quality, list[Json]] | None,
        now: datetime,
        today: int,
        faults: list[str],
    ) -> Json:
        drift = sorted((told_finding(finding) for finding in findings), key=_first)
        sentence = sentence_of(drift, self.reference, faults)
        span = self.settings.drift.window_days
        exposed = self.counter.exposure.of(today - span, span) if self.counter else None
        newest = self.memory.newest if self.memory else {}
        judged = (
            {} if quality is None else {**quality[0].to_dict(), "variants": quality[1], "alarm": quality[0].dropped}
        )
        return {
            "time": now.isoformat(timespec="seconds"),
            "note": sentence,
            "drift": drift,
            "drift_sentence": sentence,
            "detected": [each["feature"] for each in drift if each["detected"]],
            "quality": {
                **judged,
                "gini": exposed and exposed.gini,
                "coverage": exposed and exposed.coverage,
                "explored": exposed and exposed.exploration,
                "shown_lists": exposed.lists if exposed else 0,
            },
            "data_age_seconds": {kind: round(now.timestamp() - newest[kind], 1) for kind in sorted(newest)},
            "champion": self.reference.release if self.reference else "",
            "trained_until": date_of(self.reference.trained_until).isoformat() if self.reference else "",
            "embedding": self.reader.note or "vectors of the champion's model",
            "report": self.reports.latest,
            "report_note": self.reports.note,
            "rebuilt": self.rebuilt,
            "faults": faults,
        }

    def _tell(self, facts: Json) -> None:
        Statuses(self.home.store).write("monitor", facts)
        self.home.store.write(STATE, json.dumps(facts, indent=1, ensure_ascii=False, default=str).encode())


def told_finding(finding: Finding) -> Json:
    """A finding as the console, the status and the metrics read it."""
    value = finding.to_dict()
    value["p_value"] = value.pop("p")
    return value | {"judged": not finding.untested, "moved": ", ".join(finding.moved)}


def sentence_of(drift: list[Json], reference: Reference | None, faults: list[str]) -> str:
    if reference is None:
        return f"nothing is known yet: the home {'cannot be read' if faults else 'has no events'}"
    judged = [each for each in drift if each["judged"]]
    seen = [each for each in judged if each["detected"]]
    if seen:
        return f"{len(seen)} of {len(judged)} features drift: " + "; ".join(
            f"{each['feature']} ({each['moved']})" for each in seen[:3]
        )
    if not judged:
        why = sorted({each["untested"] for each in drift})
        return "nothing can be said yet: " + (why[0] if why else "no feature was counted")
    return f"nothing drifts among {len(judged)} features since the data until {date_of(reference.trained_until)}"


def _first(each: Json) -> tuple[bool, bool, float]:
    near = each["distance"] / each["limit"] if each["limit"] else 0.0
    return not each["detected"], not each["judged"], -near
