"""`gate`: the best candidate against the champion and the simple baselines. Never cached: it is about the champion of now."""

from typing import List, NamedTuple  # noqa: UP035

from kfp import dsl

from components.image import step


@step
def gate(
    home: str,
    gate: dict,
    evaluate: dict,
    split: dsl.Input[dsl.Dataset],
    models: dsl.Input[List[dsl.Model]],  # noqa: UP006
    evaluation: dsl.Input[dsl.Dataset],
    challenger: dsl.Output[dsl.Model],
    verdict: dsl.Output[dsl.Dataset],
    summary: dsl.Output[dsl.Markdown],
    curve: dsl.Output[dsl.ClassificationMetrics],
) -> NamedTuple("Judged", [("outcome", str), ("chosen", str)]):
    from components.recsys import lifecycle, showing

    paths = [m.path for m in models]
    judged = lifecycle.gate(
        home, gate, evaluate, split.path, paths, evaluation.path, challenger.path, verdict.path, summary.path
    )
    showing.show_curve(evaluate, split.path, challenger.path, curve, summary.path)
    return judged
