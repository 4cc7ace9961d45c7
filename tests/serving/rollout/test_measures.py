"""The engine's metrics: every way in which a rollout can end is there at 0 from the start."""

import ast
import inspect

from serving.rollout import engine, guards
from serving.rollout.measures import GUARDS, REASONS, Measures


def ended(measures, outcome, reason):
    return measures.registry.get_sample_value("everloop_rollouts_total", {"outcome": outcome, "reason": reason})


def test_a_fresh_engine_exposes_every_end_at_zero():
    measures = Measures()
    assert [ended(measures, "aborted", reason) for reason in REASONS] == [0.0] * len(REASONS)
    assert ended(measures, "promoted", "") == 0.0


def calls(module, *names):
    """The literal arguments of every call of these functions in a module."""
    for node in ast.walk(ast.parse(inspect.getsource(module))):
        name = getattr(node, "func", None)
        if isinstance(node, ast.Call) and getattr(name, "attr", getattr(name, "id", "")) in names:
            yield [argument.value for argument in node.args if isinstance(argument, ast.Constant)]


def test_no_reason_that_the_engine_or_a_guard_gives_is_missing():
    broken = {literals[0] for literals in calls(guards, "Verdict") if "broken" in literals}
    by_itself = {literals[0] for literals in calls(engine, "_abort") if literals}
    assert broken == set(GUARDS)
    assert broken | by_itself == set(REASONS)


def test_the_first_end_is_counted_on_top():
    measures = Measures()
    facts = {"rollout": "", "state": "", "champion": "", "candidate": "", "share": 0.0, "guards": [], "predictors": []}
    measures.take(facts, [("aborted", "clicks"), ("promoted", "")], 0)
    assert (ended(measures, "aborted", "clicks"), ended(measures, "promoted", "")) == (1.0, 1.0)
    assert ended(measures, "aborted", "errors") == 0.0
