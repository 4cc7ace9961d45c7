"""Tries an alert on series whose answer is known, in the built-in evaluator and as a file for promtool.

>>> case = Case("BreakerOpen", FIRES, {'everloop_retrain_paused{reason="breaker"}': "0x4 1x10"}, fires="5m", silent="4m")
>>> [alert.name for alert in tried(case)[300_000]]
['BreakerOpen']

Values are in promtool's notation: `0+2x5` is 0 2 4 6 8 10, `_` a gap, `stale` the end of the series.
"""

import json
import re
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from monitoring.promql.lexer import milliseconds
from monitoring.promql.parser import parse
from monitoring.promql.series import NAME, labels_of
from monitoring.promql.states import FiredAlert
from monitoring.promql.syntax import QueryError, Selector
from monitoring.promql.watch import Evaluator
from monitoring.rules.render import render_rules

Said = dict[int, list[FiredAlert]]
KINDS = FIRES, BELOW, LITTLE, RESOLVES = "fires", "just below", "too little data", "resolves"
FAULT = "fault"  # of the measuring itself: a gap, NaN, a counter that begins again


@dataclass(frozen=True)
class Case:
    """fires, silent: moments as durations from the start. every: between samples and between looks. labels: of the alert meant."""

    alert: str
    kind: str
    series: dict[str, str]
    fires: str = ""
    silent: str = ""
    every: str = "1m"
    labels: dict[str, str] = field(default_factory=dict)

    @property
    def window(self) -> str:
        return self.labels.get("window", "")

    @property
    def moments(self) -> list[str]:
        return f"{self.fires} {self.silent}".split()

    def __str__(self) -> str:
        return "-".join((self.alert, *self.labels.values(), self.kind.replace(" ", "_")))


def s(metric: object, **labels: str) -> str:
    """A series as promtool spells it."""
    return f"{metric}{{{','.join(f'{name}={json.dumps(value)}' for name, value in labels.items())}}}"


def again(value: str, count: int) -> str:
    return " ".join([value] * count)


def cases(alert: str, series: dict[str, str], below: dict[str, str], little: dict[str, str], **more: str) -> list[Case]:
    """The four kinds: `series` fires and then resolves; below and little say what differs from it."""
    fires, silent = more.pop("fires"), more.pop("silent")
    early, late = silent.split(" / ")
    labels = {"window": more.pop("window")} if "window" in more else {}
    every = more.pop("every", "1m")
    whole = f"{early} {fires} {late}"
    return [
        Case(alert, FIRES, series, fires, early, every, labels),
        Case(alert, RESOLVES, series, fires, late, every, labels),
        Case(alert, BELOW, {**series, **below}, "", whole, every, labels),
        Case(alert, LITTLE, {**series, **little}, "", whole, every, labels),
    ]


def counter(*parts: tuple[float, int]) -> str:
    """A counter that grows by so much a look, for so many looks, part after part."""
    text, value = [], 0.0
    for index, (pace, looks) in enumerate(parts):
        step = f"+{pace:.12g}" if pace else ""  # promtool reads +0x9 as a hexadecimal number
        text.append(f"{value + (pace if index else 0):.12g}{step}x{looks - (index > 0)}")
        value += pace * looks
    return " ".join(text)


def samples(values: str) -> list[float | str | None]:
    """promtool's notation, spelled out; None is a gap, "stale" the end of the series."""
    found: list[float | str | None] = []
    for part in values.split():
        if part == "stale":
            found.append("stale")
        elif part.startswith("_"):
            found += [None] * int(part[2:] or 1)
        else:
            shape = re.fullmatch(r"(-?[\d.e]+|NaN|Inf)(?:([+-][\d.e]+)?x(\d+))?", part)
            assert shape, part
            start, step, count = float(shape[1]), float(shape[2] or 0), int(shape[3] or 0)
            found += [start + step * index if step else start for index in range(count + 1)]
    return found


@cache
def rules_of(alert: str, window: str) -> str:
    """Only what the alert needs: a look at all would cost as much for each of 150 cases."""

    def wanted(rule: dict[str, Any]) -> bool:
        return "record" in rule or (rule["alert"] == alert and rule["labels"].get("window", "") == window)

    groups = yaml.safe_load(render_rules())["groups"]
    return str(
        yaml.safe_dump({"groups": [{**group, "rules": list(filter(wanted, group["rules"]))} for group in groups]})
    )


def tried(case: Case) -> Said:
    """What the built-in evaluator says at every look, in milliseconds from the start. Raises QueryError."""
    watch = Evaluator(rules_of(case.alert, case.window), keep_seconds=4 * 86_400)
    series = {}
    for text, values in case.series.items():
        node = parse(text.replace("{}", ""))
        assert isinstance(node, Selector)
        pairs = {matcher.name: matcher.value for matcher in node.matchers}
        series[labels_of({NAME: node.name, **pairs})] = samples(values)
    every, said = milliseconds(case.every), {}
    for now_ms in range(0, max(map(milliseconds, case.moments)) + 1, every):
        for labels, found in series.items():
            value = found[now_ms // every] if now_ms // every < len(found) else None
            if value is not None:
                watch.store.add(labels, now_ms, value if isinstance(value, float) else None)
        said[now_ms] = [a for a in watch.evaluate(now_ms / 1000) if a.firing and a.name == case.alert]
        if watch.faults:
            raise QueryError(f"{case}: {watch.faults}")
    return said


def promtool_tests(chosen: list[Case], said: list[Said], folder: Path) -> str:
    """A file for `promtool test rules`, with the rules beside it. All cases are of one alert, window and `every`."""
    rules = folder / f"{chosen[0].alert}{chosen[0].window}.rules.yaml"
    rules.write_text(rules_of(chosen[0].alert, chosen[0].window))
    tests = [_promtool_test(case, firing) for case, firing in zip(chosen, said, strict=True)]
    return yaml.safe_dump({"rule_files": [rules.name], "evaluation_interval": chosen[0].every, "tests": tests})


def _promtool_test(case: Case, said: Said) -> dict[str, Any]:
    return {
        "name": str(case),
        "interval": case.every,
        "input_series": [{"series": text, "values": values} for text, values in case.series.items()],
        "alert_rule_test": [
            {
                "eval_time": moment,
                "alertname": case.alert,
                "exp_alerts": [
                    {
                        "exp_labels": {k: v for k, v in alert.labels.items() if k != "alertname"},
                        "exp_annotations": alert.annotations,
                    }
                    for alert in said[milliseconds(moment)]
                ],
            }
            for moment in case.moments
        ],
    }
