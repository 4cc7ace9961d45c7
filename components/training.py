"""`train`: one candidate, fitted on everything before the test part."""

from kfp import dsl

from components.image import step


@step
def train(
    candidate: str,
    train: dict,
    split: dsl.Input[dsl.Dataset],
    model: dsl.Output[dsl.Model],
    metrics: dsl.Output[dsl.Metrics],
):
    from components.recsys import lifecycle, showing

    lifecycle.train(candidate, train, split.path, model.path)
    showing.show_fit(model.path, metrics.log_metric, metrics.path)
