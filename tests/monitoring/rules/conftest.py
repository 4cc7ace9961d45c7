"""How a table of cases is checked: the built-in evaluator against the table, promtool against the evaluator."""

from collections.abc import Callable
from pathlib import Path

import pytest

from monitoring.promql.lexer import milliseconds
from monitoring.rules.render import groups
from monitoring.rules.rule import Alert
from monitoring.rules.trial import KINDS, Case, promtool_tests, tried


class Check:
    def __init__(self, promtool: Callable[..., str]) -> None:
        self.run = promtool

    def case(self, case: Case) -> None:
        said = tried(case)
        for moments, expected in ((case.fires, True), (case.silent, False)):
            for moment in moments.split():
                firing = [a for a in said[milliseconds(moment)] if case.labels.items() <= a.labels.items()]
                assert bool(firing) == expected, (moment, case.series)

    def promtool(self, cases: list[Case], folder: Path) -> None:
        for alert, every in sorted({(case.alert, case.every) for case in cases}):
            chosen = [case for case in cases if (case.alert, case.every) == (alert, every)]
            file = folder / f"{alert}-{every}.test.yaml"
            file.write_text(promtool_tests(chosen, [tried(case) for case in chosen], folder))
        assert "FAILED" not in self.run("test", "rules", *sorted(folder.glob("*.test.yaml")))

    def complete(self, cases: list[Case], group: str) -> None:
        """Every alert of the group has every kind of case, each window of an objective its own."""
        (rules,) = (found.rules for found in groups() if found.name == group)
        for alert in (rule for rule in rules if isinstance(rule, Alert)):
            window = alert.labels.get("window", "")
            mine = [c for c in cases if c.alert == alert.name and c.labels.get("window", "") == window]
            assert {case.kind for case in mine} >= set(KINDS), alert.name
            assert all(case.fires or case.silent for case in mine)


@pytest.fixture(scope="session")
def check(promtool: Callable[..., str]) -> Check:
    return Check(promtool)
