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
) -> list:
    from components.recsys import lifecycle

    return lifecycle.prepare(home, version, quality.path, prepare, train, split.path)
