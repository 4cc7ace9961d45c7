"""`register`: the release, its card and lineage, the ledger's line, the tracked experiment and the report."""

from kfp import dsl

from components.image import step


@step
def register(
    home: str,
    run: str,
    version: dict,
    data: dict,
    checks: dict,
    prepare: dict,
    train: dict,
    evaluate: dict,
    gate: dict,
    tracking: dict,
    quality: dsl.Input[dsl.Dataset],
    split: dsl.Input[dsl.Dataset],
    evaluation: dsl.Input[dsl.Dataset],
    challenger: dsl.Input[dsl.Model],
    verdict: dsl.Input[dsl.Dataset],
    report: dsl.Output[dsl.HTML],
    summary: dsl.Output[dsl.Markdown],
    metrics: dsl.Output[dsl.Metrics],
) -> str:
    from components.recsys import lifecycle, showing

    settings = {"data": data, "quality": checks, "prepare": prepare, "train": train, "evaluate": evaluate, "gate": gate}
    parts = lifecycle.Parts(quality.path, split.path, evaluation.path, challenger.path, verdict.path)
    showing.show_chosen(evaluation.path, verdict.path, metrics.log_metric, metrics.path)
    return lifecycle.register(home, run, version, settings, tracking, parts, report.path, summary.path)
