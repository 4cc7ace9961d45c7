"""`prepare`: training, validation and test parts by time, and the candidates that fit the data's size."""

from kfp import dsl

from components.image import step


@step
def prepare(
    home: str,
    version: dict,
    quality: dsl.Input[dsl.Dataset],
    prepare: dict,
    train: dict,
    split: dsl.Output[dsl.Dataset],
    summary: dsl.Output[dsl.Markdown],
) -> list:
    from components.recsys import lifecycle, showing

    candidates = lifecycle.prepare(home, version, quality.path, prepare, train, split.path)
    showing.show_split(split.path, candidates, summary.path)
    return candidates
