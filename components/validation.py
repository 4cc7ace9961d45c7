"""`validate`: the data gate. A failing check stops the run with a sentence, and the batch goes to quarantine."""

from kfp import dsl

from components.image import step


@step
def validate(
    home: str,
    version: dict,
    batch: str,
    quality: dict,
    report: dsl.Output[dsl.Dataset],
    summary: dsl.Output[dsl.Markdown],
    charts: dsl.Output[dsl.HTML],
    metrics: dsl.Output[dsl.Metrics],
):
    from components.recsys import lifecycle, showing

    lifecycle.validate(home, version, batch, quality, report.path, summary.path)
    showing.show_data(report.path, charts.path, metrics.log_metric, metrics.path)
