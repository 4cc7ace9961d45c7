"""What each step of the pipeline does, as plain functions over folders: the same in a pod, a subprocess or a REPL.

>>> version, batch = ingest("/data/home", {"events": ["events.csv"]}, {}, "/tmp/summary.md")

Arguments are what a pipeline can carry: strings, dicts of settings, and the paths of artifacts. Every artifact is a folder
with a lineage record beside its files.
"""

import json
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from components.recsys import evaluation as evaluations
from components.recsys import events, lineage, quality, registration, splits
from components.recsys import gate as gates
from components.recsys import training as trainings
from components.recsys.errors import NotFound, Refused
from components.recsys.feedback.segments import resolved
from components.recsys.frames import Catalogue
from components.recsys.home import Home
from components.recsys.intake import pending
from components.recsys.ledger import Ledger
from components.recsys.models.base import Model
from components.recsys.progress import reporting
from components.recsys.release import SHORT, judged_of, load, read_manifest, releases_of, save
from components.recsys.settings import (
    DataSettings,
    EvaluateSettings,
    GateSettings,
    PrepareSettings,
    QualitySettings,
    Section,
    TrackingSettings,
    TrainSettings,
    parse,
)
from components.recsys.store import open_store

Json = dict[str, Any]
SECTIONS: dict[str, type[Section]] = {  # what a release records, as far as training depends on it
    "data": DataSettings,
    "quality": QualitySettings,
    "prepare": PrepareSettings,
    "train": TrainSettings,
    "evaluate": EvaluateSettings,
    "gate": GateSettings,
}


class Ingested(NamedTuple):
    version: Json
    batch: str


class Judged(NamedTuple):
    outcome: str
    chosen: str


class Parts(NamedTuple):
    """Paths of the artifacts that a release is made from."""

    quality: str
    split: str
    evaluation: str
    challenger: str
    verdict: str


def ingest(home: str, sources: Mapping[str, Any], data: Json, summary: str) -> Ingested:
    with reporting("ingest") as told:
        place = Home(home)
        found = resolved(place, sources)
        nothing_new = "no feedback that no run has learnt from yet: the events stay as they are"
        quiet = [nothing_new] if "events" in sources and "events" not in found else []
        for sentence in quiet:
            told(sentence)
        done = events.ingest(place, found, parse(DataSettings, data, "data"), told)
        lines = [f"# Ingested\n\nBatch `{done.batch}`: {done.added:,} events added.\n", "| what | rows |", "| - | -: |"]
        lines += [f"| {name.replace('_', ' ')} | {count:,} |" for name, count in done.counts.items()]
        _write(summary, "\n".join([*lines, "", *(f"- {message}" for message in [*quiet, *done.messages])]))
        known = {kind: part for kind, part in done.data.items() if part}  # a pipeline's dict cannot hold null
        return Ingested(known, done.batch)


def validate(home: str, version: Json, batch: str, settings: Json, report: str, summary: str) -> None:
    with reporting("validate") as told:
        place = Home(home)
        version = _whole(version)
        wanted = parse(QualitySettings, settings, "quality")
        for left in [other for other in pending.batches_of(place) if other != batch]:
            _judge_left_behind(place, version, left, wanted)
        found = quality.examine(place, version, batch, wanted)
        folder = _folder(report)
        _write_json(folder / "quality.json", found.to_dict())
        lineage.record(folder, "validate", _data_inputs(version), {"quality": settings, "batch": batch})
        _write(summary, quality.quality_markdown(found))
        if not found.ok:
            events.withdraw(place, batch, found.sentence)
            pending.undo(place, batch)
            registration.write_stopped_report(place, batch, found.to_dict())
            raise Refused(found.sentence)
        pending.settle(place, batch)
        told(found.sentence)


def _judge_left_behind(home: Home, version: Json, batch: str, settings: QualitySettings) -> None:
    """A batch whose run ended between ingest and the gate: judged now, or it would be trained on unseen."""
    found = quality.examine(home, version, batch, settings)
    if found.ok:
        pending.settle(home, batch)
        return
    events.withdraw(home, batch, found.sentence)
    pending.undo(home, batch)
    raise Refused(
        f"a batch that an interrupted run had left ({batch[:SHORT]}) is not fit to train on and went to quarantine; "
        f"run again without it. {found.sentence}"
    )


def prepare(home: str, version: Json, checked: str, settings: Json, train: Json, split: str) -> list[str]:
    with reporting("prepare") as told:
        place, version = Home(home), _whole(version)
        wanted = parse(TrainSettings, train, "train")
        items, users = events.read_items(place, version), events.read_users(place, version)
        parts = splits.split(
            events.read_events(place, version), parse(PrepareSettings, settings, "prepare"), wanted.seed
        )
        folder = _folder(split)
        splits.save(parts, folder, items, users)
        lineage.record(folder, "prepare", _data_inputs(version), {"prepare": settings, "seed": wanted.seed})
        told(
            f"{parts.train.height:,} training, {parts.validation.height:,} validation, {parts.test.height:,} test events"
        )
        known = parts.train.select("user_id", "item_id")
        kept, reasons = trainings.suitable(
            wanted.candidates, known["user_id"].n_unique(), known["item_id"].n_unique(), known.height
        )
        for reason in reasons:
            told(reason)
        return list(kept)


def train(candidate: str, settings: Json, split: str, model: str) -> None:
    with reporting(f"train {candidate}") as told:
        parts, items, _ = splits.load(Path(split))
        fitted = trainings.fit_candidate(candidate, parse(TrainSettings, settings, "train"), parts, items, told)
        folder = _folder(model)
        made_from = lineage.read(Path(split))
        content = registration.judged_content_of(fitted.learnt, made_from["digest"], int(settings.get("seed", 42)))
        digest = save(open_store(str(folder)), fitted.model, Catalogue.align(fitted.model.items, items), content, {})
        _write_json(
            folder / "fit.json",
            {"candidate": candidate, "digest": digest, "learnt": fitted.learnt},
        )
        _write_json(folder / lineage.TIMES, {"seconds": fitted.seconds})
        lineage.record(folder, "train", {"split": made_from["digest"]}, {"candidate": candidate, "train": settings})
        told(f"fitted in {fitted.seconds:.1f} s" + (f", learnt {fitted.learnt}" if fitted.learnt else ""))


def evaluate(settings: Json, split: str, models: Sequence[str], evaluation: str, summary: str) -> dict[str, float]:
    with reporting("evaluate") as told:
        wanted = parse(EvaluateSettings, settings, "evaluate")
        parts, items, users = splits.load(Path(split))
        folder, done, digests, fits, times = _folder(evaluation), {}, {}, {}, {}
        for path in models:
            fit = _fit(path)
            name = fit["candidate"]
            fits[name] = fit
            times[name] = json.loads((Path(path) / lineage.TIMES).read_text())["seconds"]
            model = load(open_store(path), fit["digest"]).model
            done[name] = evaluations.evaluate_model(name, model, parts, items, users, wanted)
            done[name].save(folder / name)
            digests[name] = lineage.read(Path(path))["digest"]
            told(f"{name}: {done[name].headline()}")
        _write_json(folder / "fits.json", fits)
        _write_json(folder / lineage.TIMES, times)
        lineage.record(
            folder, "evaluate", {"split": lineage.read(Path(split))["digest"], **digests}, {"evaluate": settings}
        )
        _write(summary, evaluations.candidates_markdown(done))
        return {
            f"{name}_{metric}": figure["value"]
            for name, result in done.items()
            for metric, figure in result.metrics.items()
            if figure["value"] is not None
        }


def gate(
    home: str,
    settings: Json,
    evaluate: Json,
    split: str,
    models: Sequence[str],
    evaluation: str,
    challenger: str,
    verdict: str,
    summary: str,
) -> Judged:
    with reporting("gate") as told:
        place = Home(home)
        paths = {_fit(path)["candidate"]: path for path in models}
        candidates = {name: evaluations.Evaluation.load(Path(evaluation) / name) for name in paths}
        champion = Ledger(place).champion()
        champion_evaluation, champion_judged = None, ""
        if champion:
            champion_judged = read_manifest(releases_of(place), champion).get("judged", "")
            if not champion_judged:
                raise Refused(
                    f"the champion {champion[:SHORT]} was made by hand and not by a run, so there is no fit of it to compare "
                    "with fairly; `everloop rollback` to a release of a run, or `everloop promote` one, and run again"
                )
            parts, items, users = splits.load(Path(split))
            judged_model = _judged_model(place, champion, champion_judged)
            champion_evaluation = evaluations.evaluate_model(
                "champion", judged_model, parts, items, users, parse(EvaluateSettings, evaluate, "evaluate")
            )
        same = {name for name, path in paths.items() if _fit(path)["digest"] == champion_judged}
        decided = gates.decide(candidates, champion_evaluation, parse(GateSettings, settings, "gate"), same)
        shutil.copytree(paths[decided.chosen], _folder(challenger), dirs_exist_ok=True)
        folder = _folder(verdict)
        _write_json(folder / "verdict.json", {**decided.to_dict(), "champion": champion})
        if champion_evaluation is not None:
            champion_evaluation.save(folder / "champion")
        inputs = {"evaluation": lineage.read(Path(evaluation))["digest"], "champion": champion}
        lineage.record(folder, "gate", inputs, {"gate": settings})
        _write(summary, gates.verdict_markdown(decided))
        for reason in decided.reasons:
            told(reason)
        return Judged(decided.outcome, decided.chosen)


def _judged_model(home: Home, champion: str, judged: str) -> Model:
    """The fit that the champion was judged by; it must be there and whole, or nothing could be compared fairly."""
    try:
        return load(judged_of(home), judged).model
    except (NotFound, Refused) as error:
        raise Refused(
            f"the champion {champion[:SHORT]} cannot be compared with: its judged fit judged/{judged[:SHORT]} is missing or "
            f"damaged ({error}). Restore it from a backup, or promote another release; the champion serves on"
        ) from None


def register(
    home: str, run: str, version: Json, settings: Json, tracking: Json, parts: Parts, report: str, summary: str
) -> str:
    with reporting("register") as told:
        result = registration.register(
            Home(home),
            run,
            _whole(version),
            _spelled(settings),
            parse(TrackingSettings, tracking, "tracking"),
            {name: Path(path) for name, path in parts._asdict().items()},
            told,
        )
        _write(report, result.report)
        _write(summary, registration.release_markdown(result.result, home))
        return result.run


def _fit(path: str) -> Json:
    return dict(json.loads((Path(path) / "fit.json").read_text()))


def _folder(path: str) -> Path:
    folder = Path(path)
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def _write(path: str, text: str) -> None:
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    Path(path).write_text(text, encoding="utf-8")


def _write_json(path: Path, value: Any) -> None:
    path.write_text(json.dumps(value, indent=1, sort_keys=True, ensure_ascii=False, default=str), encoding="utf-8")


def _whole(version: Json) -> Json:
    """A data version as it was before it went through a pipeline, where numbers become floats and nulls are left out."""
    return {
        kind: {name: int(value) if isinstance(value, float) else value for name, value in version[kind].items()}
        if version.get(kind)
        else None
        for kind in ("events", "items", "users")
    }


def _spelled(settings: Json) -> Json:
    """Sections with their defaults, in the one spelling that a digest needs: a pipeline turns 42 into 42.0 and leaves nulls out."""
    sections = {name: parse(kind, settings[name], name) for name, kind in SECTIONS.items()}
    return {name: _integers(section.model_dump(mode="json")) for name, section in sections.items()}


def _integers(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _integers(part) for key, part in value.items()}
    if isinstance(value, list):
        return [_integers(part) for part in value]
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _data_inputs(version: Json) -> dict[str, str]:
    return {kind: part["sha256"] for kind, part in version.items() if part}
