"""The model card: what a release is for, what it was made from, how good it is for whom, and how to undo it.

>>> text = card(manifest, verdict, evaluation, {"rows": 100_000, "users": 943, "items": 1682})
>>> text.splitlines()[0]
'# Model card: ease'

After Mitchell et al., Model Cards for Model Reporting (FAT* 2019, https://arxiv.org/abs/1810.03993). It is part of the
release's digest, so it holds no times and nothing about the machine; what comes from the data is escaped.
"""

import json
from collections.abc import Mapping
from typing import Any

from components.recsys.evaluation import cell, figure, label

Json = Mapping[str, Any]

WHAT = {
    "popularity": "what most people took lately, the same list for everybody",
    "item_knn": "items that the same people took as those in a history (cosine neighbours)",
    "content": "items whose attributes and text resemble those in a history",
    "ease": "a linear item-item model with a closed form (Steck, WWW 2019)",
    "ials": "implicit alternating least squares, a person's factors folded in from the history (Hu et al., ICDM 2008)",
    "hybrid": "a weighted sum of other models, the weights learnt on validation data",
}
SPLITS = {
    "user_time": "The last events of each user were held out, as serving will meet them",
    "global_time": "Everything after one moment was held out",
    "random": "Events were held out at random inside each item",
}


def card(manifest: Json, verdict: Json | None, evaluation: Json | None, summary: Json | None) -> str:
    """Markdown. Whatever is not known is left out, never invented.

    manifest: release.json or the part that is known before the release has a digest. verdict: what the gate said.
    evaluation: `Evaluation.to_dict()` of the fit that was judged. summary: rows, users, items, first, last of the data.
    """
    model = str(manifest.get("model", "unknown"))
    parts = [
        f"# Model card: {cell(model)}",
        _details(manifest, model),
        _use(),
        _data(manifest, summary or {}),
        _training(manifest),
        _evaluation(manifest, evaluation),
        _verdict(verdict),
        _limits(evaluation),
        _undo(manifest),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def _details(manifest: Json, model: str) -> str:
    lines = ["## Model", "", f"- Kind: {cell(WHAT.get(model, model))}."]
    if manifest.get("code_version"):
        lines.append(f"- Made by Everloop {cell(str(manifest['code_version']))}.")
    if manifest.get("digest"):
        lines.append(f"- Release: `{manifest['digest']}`.")
    lines.append(
        "- It scores a history of items and holds no row for a person: forgetting somebody means deleting events."
    )
    return "\n".join(lines)


def _use() -> str:
    return (
        "## Intended use\n\n"
        "- For ranking the items of this catalogue for people, from what they took before.\n"
        "- People without history get the most liked items of their genres, or of all; answers say so.\n"
        "- Not for decisions about people (credit, work, health, insurance), and not for other catalogues."
    )


def _data(manifest: Json, summary: Json) -> str:
    lines = ["## Data", ""]
    if summary.get("rows") is not None:
        text = f"- {summary['rows']:,} events of {summary.get('users', 0):,} users on {summary.get('items', 0):,} items"
        if summary.get("first") and summary.get("last"):
            text += f", from {cell(str(summary['first'])[:10])} to {cell(str(summary['last'])[:10])}"
        lines.append(f"{text}.")
    for kind, part in (manifest.get("data") or {}).items():
        if part:
            lines.append(
                f"- {cell(kind)}: {part.get('rows', 0):,} rows, content sha256 `{part.get('sha256', 'unknown')}`."
            )
    lines.append("- User attributes are used to compare groups of users, never as an input of the model.")
    return "\n".join(lines)


def _training(manifest: Json) -> str:
    lines = ["## Training", ""]
    for title, value in (("Settings", manifest.get("config")), ("Learnt on validation data", manifest.get("learnt"))):
        if value:
            lines.append(f"- {title}: `{_plain(value)}`.")
    train = (manifest.get("settings") or {}).get("train") or {}
    if "seed" in train:
        lines.append(f"- Seed: {int(train['seed'])}.")  # numbers that went through a pipeline are floats
    split = manifest.get("split") or {}
    if split:
        sizes = ", ".join(f"{split[part]:,} {part}" for part in ("train", "validation", "test") if part in split)
        lines.append(f"- {SPLITS.get(split.get('kind', ''), 'Events were held out')}: {sizes} events.")
    if manifest.get("refit"):
        lines.append(
            "- After it was judged, the same recipe was fitted once more on all events: that is what was released."
        )
    return "\n".join(lines) if len(lines) > 2 else ""


def _evaluation(manifest: Json, evaluation: Json | None) -> str:
    if not evaluation or not evaluation.get("metrics"):
        return "## Metrics\n\nThis model was trained without a test part, so nothing is known about its quality."
    k = evaluation.get("k")
    lines = [
        "## Metrics",
        "",
        f"{evaluation.get('users', 0):,} users, lists of {k}, ranked among all items, 95 % intervals.",
        "",
        "| metric | value |",
        "| - | -: |",
    ]
    lines += [f"| {cell(label(name, k))} | {figure(estimate)} |" for name, estimate in evaluation["metrics"].items()]
    slices = evaluation.get("slices") or []
    if slices:
        shown = [name for name in ("ndcg", "recall", "hit_rate") if name in slices[0].get("metrics", {})]
        lines += [
            "",
            "### By user group",
            "",
            "| group | users | " + " | ".join(label(name, k) for name in shown) + " |",
        ]
        lines.append("| - | -: |" + " -: |" * len(shown))
        for part in slices:
            figures = " | ".join(figure(part["metrics"].get(name) or {}) for name in shown)
            mark = "" if part.get("judged", True) else " (too few to judge)"
            lines.append(
                f"| {cell(str(part['attribute']))} {cell(str(part['group']))}{mark} | {part['users']:,} | {figures} |"
            )
    return "\n".join(lines)


def _verdict(verdict: Json | None) -> str:
    if not verdict:
        return ""
    lines = [f"## The gate: {cell(str(verdict.get('outcome', '')))}", ""]
    return "\n".join([*lines, *(f"- {cell(str(reason))}" for reason in verdict.get("reasons", []))])


def _limits(evaluation: Json | None) -> str:
    notes = [cell(str(note)) for note in (evaluation or {}).get("notes") or []]
    return "\n".join(
        [
            "## Limits",
            "",
            "- Figures are from events that people made without this model: they show what it would have found, "
            "not how people answer to it. Only serving to a few first shows that.",
            "- What was never taken by anybody is recommended only by attributes, if at all.",
            "- Tastes move: a figure is as old as its data. Retrain when drift is told.",
            "- Whoever acts much shapes what others see; compare popularity lift and coverage above.",
            *(f"- {note[:1].upper()}{note[1:]}." for note in notes),
        ]
    )


def _undo(manifest: Json) -> str:
    digest = manifest.get("digest")
    named = "" if digest else " (DIGEST: the name of the folder that holds this card)"
    return (
        "## Reproduce, roll back\n\n"
        f"- `everloop reproduce {digest or 'DIGEST'}` trains again from the recorded data version, settings and seed, "
        f"and compares digests{named}.\n"
        "- `everloop rollback` puts the champion before this one back.\n"
        "- `everloop who-served --at TIME` tells which release served then."
    )


def _plain(value: Any) -> str:
    """Settings on one line; a backtick would end the code span."""
    return json.dumps(value, sort_keys=True, ensure_ascii=False, default=str).replace("`", "'")
