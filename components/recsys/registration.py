"""From a verdict to a release: refit, card, reference statistics, ledger, tracking, report; and the way back, `reproduce`.

>>> result = register(home, run, version, settings, TrackingSettings(), parts, told)
>>> reproduce(home, result.digest)   # re-trains from the recorded data version, settings and seed
"""

import json
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from components.recsys import evaluation as evaluations
from components.recsys import events, lineage, splits, tracking
from components.recsys import training as trainings
from components.recsys.card import card
from components.recsys.errors import NotFound
from components.recsys.explanation import explain_list
from components.recsys.frames import Catalogue, Histories, Interactions
from components.recsys.home import Home
from components.recsys.ledger import Ledger
from components.recsys.models.base import Model
from components.recsys.policy import gradual
from components.recsys.progress import Told
from components.recsys.release import SHORT, Release, canonical, judged_of, load, releases_of, resolve, save
from components.recsys.report import ReportData, exposure_of, render
from components.recsys.settings import EvaluateSettings, PrepareSettings, TrackingSettings, TrainSettings, parse
from components.recsys.simulator import label_of
from components.recsys.store import Store, open_store
from components.recsys.version import VERSION, source_digest

Json = dict[str, Any]
OUTCOMES = {
    "promoted": "is the champion: it serves from now on",
    "approved": "passed the gate: a rollout gives it to a few people first",
    "rejected": "was kept, but not promoted",
    "unchanged": "is the champion already: nothing new to release",
}
SAMPLE_LENGTH = 5  # recommendations shown to people, each


@dataclass(frozen=True)
class Registered:
    """report: the page. result: what `runs/<run>/result.json` holds."""

    run: str
    digest: str
    report: str
    result: Json


@dataclass(frozen=True)
class Reproduced:
    recorded: str
    digest: str
    same: bool
    sentence: str


def register(
    home: Home, run: str, version: Json, settings: Json, wanted: TrackingSettings, parts: Mapping[str, Path], told: Told
) -> Registered:
    """Write the release and what belongs to it. parts: folders of quality, split, evaluation, challenger and verdict.

    The order makes a crash harmless: the release is complete before the ledger names it, and the ledger's line is what makes it serve.
    """
    verdict = _read(parts["verdict"] / "verdict.json")
    fit = _read(parts["challenger"] / "fit.json")
    candidates = {
        path.name: evaluations.Evaluation.load(path) for path in sorted(parts["evaluation"].iterdir()) if path.is_dir()
    }
    split, items, _ = splits.load(parts["split"])
    judged = load(open_store(str(parts["challenger"])), fit["digest"])
    ledger = Ledger(home)
    outcome = verdict["outcome"]
    if outcome == "unchanged":
        digest = verdict["champion"]
        release = load(releases_of(home), digest)
        told(f"release {digest[:SHORT]} stays: nothing new to release")
    else:
        digest = build_release(
            releases_of(home),
            judged,
            fit["learnt"],
            split,
            items,
            version,
            settings,
            candidates[verdict["chosen"]],
            run,
            verdict["champion"],
        )
        save(judged_of(home), judged.model, judged.catalogue, _content_of(judged), {})
        release = load(releases_of(home), digest)
        evidence = {
            "metric": verdict.get("metric", ""),
            "comparisons": verdict["comparisons"],
            "lineage": _digests(parts),
        }
        reason = " ".join(verdict["reasons"])
        if verdict["promote"] and verdict["champion"] and gradual(home.store):
            ledger.append("approve", digest, reason, run, evidence, expect_champion=verdict["champion"])
            told(f"release {digest[:SHORT]} passed the gate; a rollout gives it to a few people first")
            outcome = "approved"
        elif verdict["promote"]:
            ledger.append("promote", digest, reason, run, evidence, expect_champion=verdict["champion"])
            told(f"release {digest[:SHORT]} is the champion")
        else:
            ledger.append("reject", digest, reason, run, evidence)
            told(f"release {digest[:SHORT]} was kept, but not promoted")
    samples = sample(release, split)
    fits = _read(parts["evaluation"] / "fits.json")
    times = _read(parts["evaluation"] / lineage.TIMES)
    shown = {name: {**candidate.to_dict(), "learnt": fits[name]["learnt"]} for name, candidate in candidates.items()}
    exposure = {"the data": [float(count) for count in release.reference["popularity"]]}
    for name in dict.fromkeys([verdict["chosen"], *candidates]):
        exposure[name] = exposure_of(candidates[name].lists, candidates[name].counts["catalogue"])
    data = ReportData(
        quality=_read(parts["quality"] / "quality.json"),
        evaluations=shown,
        verdict={**verdict, "outcome": outcome},
        manifest=release.manifest,
        card=release.card,
        samples=samples,
        lineage={name: _read(path / "lineage.json") for name, path in parts.items()},
        timings={f"train {name}": seconds for name, seconds in times.items()},
        exposure=exposure,
        serve="everloop serve" if home.url == Home().url else f"everloop serve --home {home.url}",
        label=label_of(release.model.items),
    )
    page = render(data)
    home.store.write(f"runs/{run}/report.html", page.encode())
    untracked = tracking.track(wanted, home, run, shown, verdict, release.manifest, page)
    if untracked:
        told(untracked)
    result = {
        "run": run,
        "outcome": outcome,
        "chosen": verdict["chosen"],
        "reasons": verdict["reasons"],
        "release": digest,
        "champion": ledger.champion(),
        "data": version,
        "candidates": {name: {"metrics": evaluation["metrics"]} for name, evaluation in shown.items()},
        "samples": samples,
        "report": f"{home.url}/runs/{run}/report.html",
        "untracked": untracked,
        "label": label_of(release.model.items),
    }
    home.store.write(f"runs/{run}/result.json", json.dumps(result, indent=1, ensure_ascii=False, default=str).encode())
    return Registered(run, digest, page, result)


def release_markdown(result: Mapping[str, Any], home: str) -> str:
    """For people, in Kubeflow's UI: the verdict, where everything lies, and what one may do now."""
    short = result["release"][:SHORT]
    rows = {
        "release": result["release"],
        "champion now": result["champion"] or "none",
        "report": result["report"],
        "run": result["run"],
    }
    lines = [
        f"# {result['chosen']} {short}: {result['outcome']}",
        "",
        f"Release `{short}` {OUTCOMES[result['outcome']]}.",
        "",
    ]
    lines += ["| | |", "| - | - |", *(f"| {name} | `{value}` |" for name, value in rows.items())]
    next_ = f"Look at it: `everloop releases --home {home}`. Serve it: `everloop serve --home {home}`."
    return "\n".join([*lines, "", next_, ""])


def build_release(
    store: Store,
    judged: Release,
    learnt: Json,
    split: splits.Split,
    items: pl.DataFrame | None,
    version: Json,
    settings: Json,
    evaluation: evaluations.Evaluation,
    run: str,
    parent: str,
) -> str:
    """Refit the judged recipe on everything (unless train.refit is off), and save it with card and reference statistics."""
    wanted = parse(TrainSettings, settings["train"], "train")
    fitted = trainings.Fitted(judged.model, learnt, 0.0)
    model = trainings.refit(fitted, split, items, wanted) if wanted.refit else judged.model
    catalogue = Catalogue.align(model.items, items)
    everything = pl.concat([split.train, split.validation, split.test])
    interactions = Interactions.from_frame(everything, model.items)
    content: Json = {
        "settings": settings,
        "learnt": learnt,
        "data": {
            kind: {k: v for k, v in part.items() if k != "version"} if part else None for kind, part in version.items()
        },
        "split": {
            "kind": split.kind,
            "train": split.train.height,
            "validation": split.validation.height,
            "test": split.test.height,
        },
        "code_version": VERSION,
        "metrics": evaluation.metrics,
        "judged": judged.digest,
        "refit": wanted.refit,
    }
    provenance = {
        "parent": parent,
        "run": run,
        "source_digest": source_digest(),
        "data_version": {kind: part["version"] if part else None for kind, part in version.items()},
    }
    # A pipeline's dicts arrive in any order; the card must not show it.
    content = json.loads(canonical(content)) | {"metrics": evaluation.metrics}
    summary = describe(everything)
    described = {**content, "model": model.name, "config": model.config.model_dump(mode="json")}
    text = card(described, None, evaluation.to_dict(), summary)
    return save(store, model, catalogue, content, provenance, reference_of(model, interactions), text)


def judged_content_of(learnt: Json, made_from: str, seed: int) -> Json:
    """What the digest of a judged fit covers beside its files. made_from: the digest of the split it was fitted on."""
    return {"learnt": learnt, "code_version": VERSION, "made_from": made_from, "seed": seed}


def describe(everything: pl.DataFrame) -> Json:
    """Rows, users, items and time span of events, for cards."""
    span = everything["timestamp"]
    return {
        "rows": everything.height,
        "users": everything["user_id"].n_unique(),
        "items": everything["item_id"].n_unique(),
        "first": str(span.min()),
        "last": str(span.max()),
    }


def reference_of(model: Model, interactions: Interactions) -> Json:
    """Statistics of what the release was trained on, against which drift is measured.

    popularity: (n_items,) events of distinct users per item, in the vocabulary's order. history_lengths: counts by power of two.
    """
    matrix = interactions.histories.matrix()
    popularity = np.bincount(matrix.indices, minlength=len(model.items))
    lengths = np.bincount(np.log2(np.maximum(interactions.histories.lengths, 1)).astype(int))
    return {"popularity": popularity.tolist(), "history_lengths": lengths.tolist()}


def sample(release: Release, split: splits.Split, length: int = SAMPLE_LENGTH) -> list[Json]:
    """Lists for three people: one with much history, one with little, and a newcomer with none."""
    everything = pl.concat([split.train, split.validation, split.test])
    counts = everything.group_by("user_id").len().sort("len", "user_id")
    people = (
        [counts["user_id"][int(0.9 * (counts.height - 1))], counts["user_id"][int(0.1 * (counts.height - 1))]]
        if counts.height
        else []
    )
    titles, model = release.catalogue.titles(), release.model
    samples: list[Json] = []
    for person in [*people, ""]:
        own = everything.filter(pl.col("user_id") == person).sort("timestamp", "item_id")
        histories = Histories.of([own["item_id"].to_list()], model.items)
        samples.append(
            {
                "user": f"user {person}" if person else "somebody new",
                "history": [titles[index] for index in histories.indices[::-1][:SAMPLE_LENGTH]],
                "items": explain_list(release, own["item_id"].to_list(), length)["items"],
            }
        )
    return samples


def reproduce(home: Home, digest: str, told: Told = lambda text: None) -> Reproduced:
    """Train a release again from its recorded data version, settings and seed, and compare digests.

    Raises NotFound without the release, Refused when the recorded data is no longer what it was.
    """
    store = releases_of(home)
    digest = resolve(store, digest)
    manifest = load(store, digest).manifest
    settings = manifest["settings"]
    version = {
        kind: {**part, "version": manifest["data_version"][kind]} if part else None
        for kind, part in manifest["data"].items()
    }
    wanted = parse(TrainSettings, settings["train"], "train")
    told(f"reading the events as of version {manifest['data_version']['events']}")
    items, users = events.read_items(home, version), events.read_users(home, version)
    parts = splits.split(
        events.read_events(home, version), parse(PrepareSettings, settings["prepare"], "prepare"), wanted.seed
    )
    with tempfile.TemporaryDirectory() as folder:
        splits.save(parts, Path(folder) / "split", items, users)
        parts, items, users = splits.load(Path(folder) / "split")
        told(f"training {manifest['model']} again with seed {wanted.seed}")
        fitted = trainings.fit_candidate(manifest["model"], wanted, parts, items, told)
        judged_store = open_store(f"{folder}/judged")
        made_from = lineage.record(Path(folder) / "split", "prepare", {}, {})["digest"]
        judged_content = judged_content_of(fitted.learnt, made_from, wanted.seed)
        again = save(
            judged_store,
            fitted.model,
            Catalogue.align(fitted.model.items, items),
            judged_content,
            {},
        )
        judged = load(judged_store, again)
        evaluated = evaluations.evaluate_model(
            manifest["model"],
            judged.model,
            parts,
            items,
            users,
            parse(EvaluateSettings, settings["evaluate"], "evaluate"),
        )
        rebuilt = build_release(
            open_store(f"{folder}/releases"),
            judged,
            fitted.learnt,
            parts,
            items,
            version,
            settings,
            evaluated,
            manifest["run"],
            manifest["parent"],
        )
    same = rebuilt == digest
    if same:
        sentence = f"reproduced: training again gives the same digest {digest}"
    else:
        cause = (
            ""
            if manifest["source_digest"] == source_digest()
            else "; the code has changed since (its source digest differs)"
        )
        sentence = f"not reproduced: recorded {digest[:SHORT]}, trained again {rebuilt[:SHORT]}{cause}"
    return Reproduced(digest, rebuilt, same, sentence)


def write_stopped_report(home: Home, batch: str, quality: Json) -> str:
    """The report of a run that the data gate stopped; returns where it lies."""
    key = f"runs/stopped-{batch[:SHORT]}/report.html"
    home.store.write(key, render(ReportData(quality=quality)).encode())
    return f"{home.url}/{key}"


def _content_of(release: Release) -> Json:
    """What `save` was given as content, read back from a release."""
    own = {
        "format",
        "model",
        "config",
        "files",
        "digest",
        "seal",
        "created",
        "parent",
        "run",
        "data_version",
        "source_digest",
    }
    return {name: value for name, value in release.manifest.items() if name not in own}


def _digests(parts: Mapping[str, Path]) -> dict[str, str]:
    return {name: _read(path / "lineage.json")["digest"] for name, path in parts.items()}


def _read(path: Path) -> Json:
    try:
        return dict(json.loads(path.read_text()))
    except FileNotFoundError:
        raise NotFound(f"{path} is missing: the step that makes it did not finish") from None
