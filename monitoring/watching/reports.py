"""Evidently's report of a bounded sample, for people: rendered beside the monitor, in a process of its own with a time limit.

>>> reports = Reports(home, settings.drift)
>>> reports.start(reader, counter, reference, today, now); reports.collect(wait=True)
>>> reports.latest
'file:///data/.everloop/monitor/reports/2026-11-24T133000.html'

Importing Evidently takes seconds and 300 MB, and it may not be installed: nothing that decides depends on it.
"""

import importlib.util
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import numpy as np
import polars as pl

from components.recsys.drift import Counter
from components.recsys.drift.plan import LISTS, ORGANIC
from components.recsys.home import Home
from components.recsys.intake import tables
from components.recsys.settings import DriftSettings
from monitoring.watching.judging import windows_of
from monitoring.watching.memory import id_of
from monitoring.watching.reading import Reader
from monitoring.watching.reference import DAY_SECONDS, Reference

MISSING = "Evidently is not installed: pip install 'everloop[drift]' gives reports for people; drift is seen without it"


@dataclass
class Running:
    process: subprocess.Popen[bytes]
    folder: tempfile.TemporaryDirectory[str]
    key: str
    deadline: float


class Reports:
    """latest: where the newest report lies, "" before the first. note: why the last one was not made."""

    def __init__(self, home: Home, settings: DriftSettings) -> None:
        self.home, self.settings = home, settings
        self.latest, self.note = "", ""
        self.running: Running | None = None

    def start(self, reader: Reader, counter: Counter, reference: Reference, today: int, now: datetime) -> None:
        """Sample both windows and begin to render; nothing while one is being rendered."""
        if self.running is not None:
            return
        if importlib.util.find_spec("evidently") is None:
            self.note = MISSING
            return
        sides = self._sides(reader, counter, reference, today)
        if sides is None:
            self.note = "no report: there are no two windows to compare yet"
            return
        folder = tempfile.TemporaryDirectory(prefix="everloop-report-")
        for name, frame in zip(("reference", "current"), sides, strict=True):
            frame.write_parquet(Path(folder.name) / f"{name}.parquet")
        with (Path(folder.name) / "stderr").open("wb") as errors:
            process = subprocess.Popen(
                [sys.executable, "-m", "monitoring.watching.rendering", folder.name],
                env={**os.environ, "DO_NOT_TRACK": "1"},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=errors,
            )
        key = f"monitor/reports/{now:%Y-%m-%dT%H%M%S}.html"
        self.running = Running(process, folder, key, time.monotonic() + self.settings.evidently_seconds)

    def collect(self, wait: bool = False) -> None:
        """Take over a report that is done; end one that takes too long."""
        running = self.running
        if running is None:
            return
        left = running.deadline - time.monotonic()
        try:
            code = running.process.wait(max(left, 0.0) if wait else 0.0)
        except subprocess.TimeoutExpired:
            if wait or left <= 0:
                self._end(f"no report: it took longer than {self.settings.evidently_seconds:.0f} s")
            return
        page = Path(running.folder.name) / "report.html"
        if code == 0 and page.is_file():
            self.home.store.write(running.key, page.read_bytes())
            self.latest, self.note = f"{self.home.url}/{running.key}", ""
            self._end("")
        else:
            said = (Path(running.folder.name) / "stderr").read_text(errors="replace").strip().splitlines()
            self._end(f"no report: {said[-1] if said else f'exit code {code}'}")

    def close(self) -> None:
        if self.running is not None:
            self._end("")

    def _end(self, note: str) -> None:
        running, self.running = self.running, None
        if running is not None:
            if running.process.poll() is None:
                running.process.kill()
                running.process.wait()
            running.folder.cleanup()
        self.note = note

    def _sides(
        self, reader: Reader, counter: Counter, reference: Reference, today: int
    ) -> tuple[pl.DataFrame, pl.DataFrame] | None:
        """Samples of the baseline's newest window and of the last one, of the busier of lists and own ways."""
        chosen = windows_of(counter, reference, today, self.settings)
        busy = {
            stream: counter.counts.window(each.last, each.days)[:, counter.plan.columns_of(stream)].sum()
            for stream in (ORGANIC, LISTS)
            if (each := chosen[stream]) is not None
        }
        if not busy:
            return None
        stream = max(busy, key=lambda name: (int(busy[name]), name))
        each = chosen[stream]
        assert each is not None
        items = None
        if (table := tables.open_table(self.home, "items")) is not None:
            items = tables.frame_of(self.home, table)
        sides = []
        for first in (each.baseline[0], each.last):
            pieces = reader.rows(first, first + each.days, reference)
            sides.append(readable(sample(pieces, stream == LISTS, self.settings.evidently_rows), items))
        return (sides[0], sides[1]) if all(side.height for side in sides) else None


def sample(pieces: Iterator[pl.DataFrame], listed: bool, most: int) -> pl.DataFrame:
    """The rows whose ids have the smallest hashes: even, repeatable, each event once, and never more than `most` held."""
    kept: pl.DataFrame | None = None
    for piece in pieces:
        has_list = pl.col("request_id").fill_null("").str.len_bytes() > 0
        rows = piece.filter(has_list if listed else ~has_list)
        hashes = np.fromiter((id_of(one or "") for one in rows["event_id"]), np.uint64, rows.height)
        rows = rows.with_columns(__hash=hashes)
        kept = rows if kept is None else pl.concat([kept, rows])
        kept = kept.unique("__hash", keep="first", maintain_order=True).sort("__hash").head(most)
    return kept.drop("__hash") if kept is not None else pl.DataFrame({"event_id": []}, schema={"event_id": pl.String})


def readable(events: pl.DataFrame, items: pl.DataFrame | None) -> pl.DataFrame:
    """What people can read: no ids; lists as one text; the hour instead of the moment."""
    if not events.height:
        return events
    if items is not None:
        events = events.join(items, on="item_id", how="left")
    seconds = pl.col("timestamp").dt.epoch("s") % DAY_SECONDS
    frame = events.with_columns(hour=(seconds // 3600).cast(pl.Int64))
    lists = [name for name, dtype in frame.schema.items() if isinstance(dtype, pl.List)]
    frame = frame.with_columns(pl.col(name).cast(pl.List(pl.String)).list.sort().list.join(", ") for name in lists)
    ids = ("user_id", "item_id", "event_id", "request_id", "timestamp", "title", "name", "description")
    kept = [name for name in frame.columns if name not in ids and frame[name].null_count() < frame.height]
    return frame.select(kept)
