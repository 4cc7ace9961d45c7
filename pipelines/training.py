"""The training pipeline: events in, release out.

ingest -> validate -> prepare -> train (candidates side by side) -> evaluate -> gate -> register

>>> everloop compile            # writes manifests/pipelines/
>>> everloop run                # runs this very definition on one machine
>>> everloop submit             # runs it on Kubeflow
"""

from collections.abc import Mapping
from typing import Any

from kfp import dsl

from components.evaluation import evaluate as evaluate_step
from components.gating import gate as gate_step
from components.ingestion import ingest as ingest_step
from components.preparation import prepare as prepare_step
from components.recsys.feedback.segments import FEEDBACK
from components.recsys.settings import Settings
from components.registration import register as register_step
from components.training import train as train_step
from components.validation import validate as validate_step
from pipelines.kubernetes import LARGE, SMALL, on_cluster, with_retries, with_store

NAME = "everloop-training"
DEFAULTS = Settings().model_dump(mode="json", exclude_none=True)  # a pipeline parameter cannot hold null
PARALLELISM = 2  # candidates at once: two cores on a laptop, and a small cluster is not flooded


@dsl.pipeline(name=NAME)
def training(
    home: str,
    sources: dict = {"events": [FEEDBACK]},  # noqa: B006 - a compiled default
    data: dict = DEFAULTS["data"],
    quality: dict = DEFAULTS["quality"],
    prepare: dict = DEFAULTS["prepare"],
    train: dict = DEFAULTS["train"],
    evaluate: dict = DEFAULTS["evaluate"],
    gate: dict = DEFAULTS["gate"],
    tracking: dict = DEFAULTS["tracking"],
) -> str:
    """Events in, release out: ingest, validate, prepare, train, evaluate, gate, register.

    Args:
        home: Where tables, releases and the ledger lie, as pods reach it: s3://bucket/prefix.
        sources: s3:// URLs of events, and of items and users if any. 'feedback': what the gateway took and no run has learnt from.
        data: Settings of ingest: where the data lies in the files, how it is cleaned. Of every section a part will do.
        quality: Settings of validate: the data gate before training.
        prepare: Settings of prepare: how events become training, validation and test parts.
        train: Settings of train: the candidates, their own settings, the one seed.
        evaluate: Settings of evaluate: how candidates are compared.
        gate: Settings of gate: when a challenger replaces the champion.
        tracking: Settings of register: an MLflow server, where there is one.
    """
    # What reads or moves the world (tables, champion) is never answered from the cache; what computes is.
    ingested = ingest_step(home=home, sources=sources, data=data).set_caching_options(False)
    version = ingested.outputs["version"]
    validated = validate_step(home=home, version=version, batch=ingested.outputs["batch"], quality=quality)
    checked = validated.outputs["report"]
    prepared = prepare_step(home=home, version=version, quality=checked, prepare=prepare, train=train)
    split = prepared.outputs["split"]
    with dsl.ParallelFor(prepared.outputs["Output"], name="train-candidates", parallelism=PARALLELISM) as candidate:
        trained = train_step(candidate=candidate, train=train, split=split)
    # One Collected for each consumer: the compiler rewrites the object when it first meets it.
    evaluated = evaluate_step(evaluate=evaluate, split=split, models=dsl.Collected(trained.outputs["model"]))
    evaluation = evaluated.outputs["evaluation"]
    judged = gate_step(
        home=home,
        gate=gate,
        evaluate=evaluate,
        split=split,
        models=dsl.Collected(trained.outputs["model"]),
        evaluation=evaluation,
    ).set_caching_options(False)
    registered = register_step(
        home=home,
        run=dsl.PIPELINE_JOB_ID_PLACEHOLDER,
        version=version,
        data=data,
        checks=quality,
        prepare=prepare,
        train=train,
        evaluate=evaluate,
        gate=gate,
        tracking=tracking,
        quality=checked,
        split=split,
        evaluation=evaluation,
        challenger=judged.outputs["challenger"],
        verdict=judged.outputs["verdict"],
    ).set_caching_options(False)
    on_cluster(SMALL, validated, judged)
    on_cluster(LARGE, ingested, prepared, trained, evaluated, registered)
    with_store(ingested, validated, prepared, judged, registered)
    with_retries(trained, evaluated)
    return registered.outputs["Output"]


def arguments(home: str, sources: Mapping[str, list[str]], settings: Settings) -> dict[str, Any]:
    """What `training` is called with: settings that are null are left out, since a parameter cannot hold null."""
    sections = settings.model_dump(mode="json", exclude_none=True)
    wanted = {name: sections[name] for name in training.component_spec.inputs if name in sections}
    if "train" in wanted:
        wanted["train"]["models"] = _without_null(settings.train.models)
    return {"home": home, "sources": dict(sources), **wanted}


def _without_null(value: Any) -> Any:
    """A model's setting may be null, which is not the same as left out: it is spelt 'none' on its way."""
    if isinstance(value, dict):
        return {key: _without_null(part) for key, part in value.items()}
    return "none" if value is None else value
