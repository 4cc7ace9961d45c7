"""`everloop run --feedback`: what the gateway exported becomes the next release, once."""

import json
from datetime import timedelta
from pathlib import Path

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


def test_feedback_is_learnt_from_once(home: Path, everloop) -> None:
    place = Home(home)
    before = read_latest_events(place)
    newest = before["timestamp"].max()
    rows = [
        {
            "user_id": row["user_id"],
            "item_id": row["item_id"],
            "timestamp": (newest + timedelta(seconds=7 * number)).isoformat(),
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

    done = everloop("run", "--feedback", "--home", str(home), *SMALL, "--json")
    assert done.code in (0, 1), done.err
    assert "400 rows read, 400 events added" in done.err
    assert read_latest_events(place).height == before.height + 400
    assert new_segments(place) == []
    assert everloop("run", "--feedback", "--home", str(home)).code == 2
