"""`ingest`: files or tables of events, items and users into the home's tables, each exactly once."""

from typing import NamedTuple

from kfp import dsl

from components.image import step


@step
def ingest(home: str, sources: dict, data: dict, summary: dsl.Output[dsl.Markdown]) -> NamedTuple(
    "Ingested", [("version", dict), ("batch", str)]
):
    from components.recsys import lifecycle

    return lifecycle.ingest(home, sources, data, summary.path)
