"""Events become training, validation and test parts.

>>> parts = split(events, PrepareSettings(split="user_time", test_share=0.2), seed=42)
>>> save(parts, Path("split"), items, users)
>>> parts, items, users = load(Path("split"))

A quality number without its split means nothing, so every number that Everloop shows names its split.
"""

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from components.recsys.errors import InputError, NotFound, Refused
from components.recsys.settings import PrepareSettings

MANIFEST = "split.json"
ORDER = ("user_id", "timestamp", "item_id", "event_id", "event", "value")  # of rows, so that input order never matters
IN_ORDER = 0.99  # share of users whose test comes after their training, from which a given split counts as one by time

Bools = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Split:
    """Three parts of the events; every usable event is in exactly one.

    train, validation, test: frames of events, sorted by user and time. kind: how they were parted.
    event_weights: weight of each kind of event (1 where not named), for `Interactions.from_frame`.
    min_events_per_user: users with fewer events are not judged; their events are in the parts all the same.
    """

    train: pl.DataFrame
    validation: pl.DataFrame
    test: pl.DataFrame
    kind: str
    event_weights: dict[str, float] = field(default_factory=dict)
    min_events_per_user: int = 1


def split(events: pl.DataFrame, settings: PrepareSettings, seed: int) -> Split:
    """Hold out `test_share` of the events, then `validation_share` of the rest in the same way.

    events: columns user_id, item_id, timestamp, and maybe event, value, event_id. The same events in any order and the
    same seed give the same parts. Kinds of events with weight 0 and values below `min_value` are in no part.

    - user_time: the last events of each user, at least one and never all. A user with one event stays in training.
    - global_time: the events from one instant on. Many of its users are new, which shows cold start.
    - random: at random inside each item, `python_stratified_split(filter_by="item")` of Microsoft Recommenders
      (Argyriou et al., WWW 2020). Its tests hold events from before the training: good for comparing with published
      numbers, too kind for judging what a release will do.

    Raises InputError when no usable event is left.
    """
    usable = _usable(events, settings).sort([name for name in ORDER if name in events.columns])
    hold_out = _HOLD_OUT[settings.split]
    held = hold_out(usable, settings.test_share, np.random.default_rng([seed, 0]))
    rest = usable.filter(~held)
    later = hold_out(rest, settings.validation_share, np.random.default_rng([seed, 1]))
    return Split(
        train=rest.filter(~later),
        validation=rest.filter(later),
        test=usable.filter(held),
        kind=settings.split,
        event_weights=dict(settings.event_weights),
        min_events_per_user=settings.min_events_per_user,
    )


def infer_kind(train: pl.DataFrame, test: pl.DataFrame) -> str:
    """What kind of split a pair of frames is: global_time, user_time or random.

    Without times, or with one time for all, there is no order to respect: random.
    """
    if "timestamp" not in train.columns or "timestamp" not in test.columns or not train.height or not test.height:
        return "random"
    if pl.concat([train["timestamp"], test["timestamp"]]).n_unique() == 1:
        return "random"
    last = train.group_by("user_id").agg(last=pl.col("timestamp").max())
    first = test.group_by("user_id").agg(first=pl.col("timestamp").min())
    if train["timestamp"].sort()[-1] <= test["timestamp"].sort()[0]:
        return "global_time"
    both = last.join(first, on="user_id")
    in_order = (both["first"] >= both["last"]).mean() if both.height else 0.0
    return "user_time" if isinstance(in_order, float) and in_order >= IN_ORDER else "random"


def save(parts: Split, folder: Path, items: pl.DataFrame | None = None, users: pl.DataFrame | None = None) -> None:
    """Write a Parquet file a part (and of the attributes given), and `split.json` with the sha256 of each."""
    folder.mkdir(parents=True, exist_ok=True)
    frames = {"train": parts.train, "validation": parts.validation, "test": parts.test, "items": items, "users": users}
    files = {}
    for name, frame in frames.items():
        path = folder / f"{name}.parquet"
        path.unlink(missing_ok=True)
        if frame is not None:
            frame.write_parquet(path, compression="zstd", statistics=False, row_group_size=1 << 20)
            files[name] = {"rows": frame.height, "sha256": _sha256(path)}
    manifest = {
        "kind": parts.kind,
        "event_weights": parts.event_weights,
        "min_events_per_user": parts.min_events_per_user,
        "files": files,
    }
    (folder / MANIFEST).write_text(json.dumps(manifest, indent=1, sort_keys=True, ensure_ascii=False), encoding="utf-8")


def load(folder: Path) -> tuple[Split, pl.DataFrame | None, pl.DataFrame | None]:
    """The split, the items and the users that `save` wrote, None for what was not given.

    Raises NotFound when there is no split, Refused when a file is not what was written.
    """
    try:
        manifest = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise NotFound(f"there is no split in {folder}: the step `prepare` did not finish") from None
    frames = {name: _read(folder, name, written) for name, written in manifest["files"].items()}
    parts = Split(
        train=frames["train"],
        validation=frames["validation"],
        test=frames["test"],
        kind=manifest["kind"],
        event_weights=manifest["event_weights"],
        min_events_per_user=int(manifest["min_events_per_user"]),
    )
    return parts, frames.get("items"), frames.get("users")


def _usable(events: pl.DataFrame, settings: PrepareSettings) -> pl.DataFrame:
    usable = events
    if settings.min_value is not None and "value" in events.columns:
        usable = usable.filter(pl.col("value").is_null() | (pl.col("value") >= settings.min_value))
    silent = [kind for kind, weight in settings.event_weights.items() if weight <= 0]
    if silent and "event" in events.columns:
        usable = usable.filter(~pl.col("event").is_in(silent))
    if not usable.height:
        cause = "prepare.min_value and prepare.event_weights leave none" if events.height else "ingest some first"
        raise InputError(f"there are no events to split: {cause}")
    return usable


def _last_of_user(events: pl.DataFrame, share: float, rng: np.random.Generator) -> pl.Series:
    rows = pl.len().over("user_id")
    wanted = pl.min_horizontal((rows * share + 0.5).floor().clip(1), rows - 1) if share > 0 else pl.lit(0)
    position = pl.int_range(pl.len()).over("user_id")
    return events.select(held=position >= rows - wanted).to_series()


def _last_of_all(events: pl.DataFrame, share: float, rng: np.random.Generator) -> pl.Series:
    times = events["timestamp"].sort()
    count = int(np.floor(len(times) * share + 0.5))
    if count == 0:
        return pl.Series([False] * len(times), dtype=pl.Boolean)
    cut = times[len(times) - count]
    # Events of one instant stay together; a cut that would leave no training is moved behind that instant.
    late = pl.col("timestamp") > cut if cut == times[0] else pl.col("timestamp") >= cut
    return events.select(late).to_series()


def _random_of_item(events: pl.DataFrame, share: float, rng: np.random.Generator) -> pl.Series:
    shuffled = events.select("item_id").with_columns(row=np.arange(events.height), key=rng.permutation(events.height))
    shuffled = shuffled.sort("item_id", "key").with_columns(
        position=pl.int_range(pl.len()).over("item_id"), rows=pl.len().over("item_id")
    )
    rows = shuffled["rows"].to_numpy()
    kept = np.maximum(np.rint((1 - share) * rows), 1)  # rint: half to even, as Python's round in the original
    held: Bools = np.zeros(events.height, bool)
    held[shuffled["row"].to_numpy()] = shuffled["position"].to_numpy() >= kept
    return pl.Series(held)


_HOLD_OUT: Mapping[str, Callable[[pl.DataFrame, float, np.random.Generator], pl.Series]] = {
    "user_time": _last_of_user,
    "global_time": _last_of_all,
    "random": _random_of_item,
}


def _read(folder: Path, name: str, written: Mapping[str, Any]) -> pl.DataFrame:
    path = folder / f"{name}.parquet"
    if not path.is_file():
        raise NotFound(f"{path} is missing: run the step `prepare` again")
    if _sha256(path) != written["sha256"]:
        raise Refused(f"{path} is not what `prepare` wrote (its hash differs): run that step again")
    return pl.read_parquet(path)


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
