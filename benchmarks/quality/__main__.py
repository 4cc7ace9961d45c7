"""`make bench-quality`: every model on two splits of MovieLens 100K, into results.md beside this file.

The random split is the protocol of Microsoft Recommenders' benchmark (all ratings positive, 75/25 at random inside each item,
seed 42, full ranking minus the training part, k = 10), where published figures can be compared; the time split (the last 20 % of
each user) is what serving will see.
"""

import argparse
import tempfile
from pathlib import Path

import polars as pl

from components.recsys import events, splits, standalone
from components.recsys.datasets import movielens_100k
from components.recsys.evaluation import Evaluation
from components.recsys.home import Home
from components.recsys.models import MODELS
from components.recsys.settings import PrepareSettings, Settings
from components.recsys.version import VERSION

RESULTS = Path(__file__).with_name("results.md")
SPLITS = {
    "random inside each item, 75/25 (Microsoft Recommenders' protocol)": PrepareSettings(
        split="random", test_share=0.25, validation_share=0.0
    ),
    "by time, the last 20 % of each user": PrepareSettings(split="user_time", test_share=0.2, validation_share=0.0),
}
PUBLISHED = "Best figure published for the random split in Microsoft Recommenders' table: BiVAE 0.475; an untuned EASE gives 0.484."


def main(models: tuple[str, ...]) -> None:
    settings = Settings()
    with tempfile.TemporaryDirectory() as folder:
        home = Home(folder)
        done = events.ingest(home, {kind: [path] for kind, path in movielens_100k().items()}, settings.data)
        frame, items, users = (
            events.read_events(home, done.data),
            events.read_items(home, done.data),
            events.read_users(home, done.data),
        )
    lines = [
        "# Quality of the models on MovieLens 100K",
        "",
        f"Everloop {VERSION}, seed {settings.train.seed}, default settings; what a model learns it learns on 20 % of the "
        "training part. 95 % intervals by bootstrap over users. Made by `make bench-quality`.",
        "",
    ]
    for title, prepare in SPLITS.items():
        parts = splits.split(frame, prepare, 42)
        learn = pl.concat([parts.train, parts.validation])
        results = standalone.evaluate_models(models, learn, parts.test, items, users, settings, print)
        lines += [f"## {title}", "", *_table(results), ""]
    RESULTS.write_text("\n".join([*lines, PUBLISHED, ""]), encoding="utf-8")
    print(RESULTS.read_text())


def _table(results: dict[str, tuple[Evaluation, float]]) -> list[str]:
    lines = ["| model | nDCG@10 | recall@10 | coverage | fit (s) |", "| - | - | - | - | -: |"]
    for name, (result, seconds) in sorted(
        results.items(), key=lambda item: -(item[1][0].metrics["ndcg"]["value"] or 0)
    ):
        figures = [_figure(result.metrics[metric]) for metric in ("ndcg", "recall", "coverage")]
        lines.append(f"| {name} | {' | '.join(figures)} | {seconds:.1f} |")
    return lines


def _figure(value: dict[str, float | None]) -> str:
    return f"{value['value']:.4f} [{value['low']:.4f}, {value['high']:.4f}]"


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m benchmarks.quality", description=__doc__)
    parser.add_argument("--models", default=",".join(MODELS), help="comma-separated")
    main(tuple(parser.parse_args().models.split(",")))
