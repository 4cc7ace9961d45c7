"""`evaluate`: all candidates on the test part, in full rankings, with intervals and by user group."""

from typing import List  # noqa: UP035 - kfp reads List, not list, for artifacts

from kfp import dsl

from components.image import step


@step
def evaluate(
    evaluate: dict,
    split: dsl.Input[dsl.Dataset],
    models: dsl.Input[List[dsl.Model]],  # noqa: UP006
    evaluation: dsl.Output[dsl.Dataset],
    metrics: dsl.Output[dsl.Metrics],
    summary: dsl.Output[dsl.Markdown],
    charts: dsl.Output[dsl.HTML],
):
    from components.recsys import lifecycle, showing

    figures = lifecycle.evaluate(evaluate, split.path, [m.path for m in models], evaluation.path, summary.path)
    showing.show_figures(figures, metrics.log_metric, metrics.path)
    showing.show_comparison(evaluation.path, charts.path)
