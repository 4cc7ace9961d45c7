"""`everloop run --feedback`: what the gateway exported becomes the next release, once."""

import json
from datetime import timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from components.recsys import lifecycle
from components.recsys.events import read_latest_events
from components.recsys.feedback.segments import new_segments
from components.recsys.home import Home
from components.recsys.predictions import EVENTS, segment

SMALL = ["--set", "train.candidates=[popularity, item_knn, ease]", "--set", "evaluate.bootstrap=200"]


def test_without_new_feedback_it_says_so_and_ends_with_2(tmp_path: Path, everloop) -> None:
    done = everloop("run", "--feedback", "--home", str(tmp_path / "home"))
    assert done.code == 2
    assert "no feedback that no run has learnt from yet" in done.err
    assert "Traceback" not in done.err
    assert everloop("run", "--feedback", "--data", "travel", "--home", str(tmp_path / "home")).code == 2


def export(place: Home, before: pl.DataFrame) -> None:
    """Two segments, as the gateway leaves them: four hundred people come back."""
    newest = before["timestamp"].max()
    rows = [
        {
            "user_id": row["user_id"],
            "item_id": row["item_id"],
            "timestamp": (newest + timedelta(seconds=7 * number)).isoformat(),  # type: ignore[operator]
            "event": row["event"],
            "value": row["value"],
            "event_id": f"feedback-{number}",
            "request_id": f"request-{number}",
        }
        for number, row in enumerate(before.sample(400, seed=1).iter_rows(named=True))
    ]
    for number in (0, 1):
        lines = [json.dumps(row).encode() for row in rows[number::2]]
        place.store.create(f"{EVENTS}/2026-11-24/gateway-{number}.jsonl.gz", segment(lines))


def test_feedback_is_learnt_from_once(home: Path, everloop) -> None:
    place = Home(home)
    before = read_latest_events(place)
    export(place, before)

    done = everloop("run", "--feedback", "--home", str(home), *SMALL, "--json")
    assert done.code in (0, 1), done.err
    assert "400 rows read, 400 events added" in done.err
    assert read_latest_events(place).height == before.height + 400
    assert new_segments(place) == []
    assert everloop("run", "--feedback", "--home", str(home)).code == 2


@pytest.mark.slow
def test_on_a_cluster_the_steps_find_it_themselves_in_object_storage_and_take_it_once(
    s3_url: str, finished: Any, everloop: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The steps as processes that get what pods get: the home's URL, the store's keys, and the word `feedback`."""
    monkeypatch.setenv("EVERLOOP_CACHE", str(tmp_path / "cache"))
    place = Home(s3_url)
    for folder in ("tables", "batches", "releases", "judged", "ledger"):
        for file in filter(Path.is_file, (finished.home / folder).rglob("*")):
            place.store.upload(file.relative_to(finished.home).as_posix(), file)
    before = read_latest_events(place)
    export(place, before)
    done = everloop("run", "--feedback", "--home", s3_url, *SMALL, "--json")
    assert done.code in (0, 1), done.err
    assert "400 rows read, 400 events added" in done.err
    assert read_latest_events(place).height == before.height + 400
    log = (tmp_path / "cache" / "pipeline" / "last-run.log").read_text()
    assert '"sources":{"events":["feedback"]}' in "".join(log.split())

    # Again, as a schedule would, with nothing new: the data stay as they are, so that all that computes is answered from the
    # cache, and the run is no failure.
    note = str(tmp_path / "note.md")
    again = lifecycle.ingest(s3_url, {"events": ["feedback"]}, {}, note)
    assert (again.batch, again.version["events"]["rows"]) == ("", before.height + 400)
    assert "no feedback that no run has learnt from yet" in Path(note).read_text()
    lifecycle.validate(s3_url, again.version, again.batch, {}, str(tmp_path / "report"), note)
    assert "Passed" in Path(note).read_text()


def test_without_new_feedback_and_without_events_a_run_says_what_to_do(tmp_path: Path, capsys: Any) -> None:
    with pytest.raises(SystemExit) as stopped:
        lifecycle.ingest(str(tmp_path / "home"), {"events": ["feedback"]}, {}, str(tmp_path / "note.md"))
    assert stopped.value.code == 2
    assert "there are no events yet: name a file of events" in capsys.readouterr().out
