"""What the gateway exports becomes training data: found once, ingested once, judged by the data gate."""

import json
from datetime import timedelta

import polars as pl
import pytest

from components.recsys import lifecycle
from components.recsys.events import ingest, read_latest_events
from components.recsys.feedback.segments import new_segments
from components.recsys.home import Home
from components.recsys.intake import pending
from components.recsys.intake.batches import read_facts
from components.recsys.predictions import EVENTS, segment
from components.recsys.settings import DataSettings, Settings
from components.recsys.simulator.world import World

DAYS = 60


@pytest.fixture(scope="module")
def world():
    return World(seed=7, n_users=150, n_items=80)


@pytest.fixture(scope="module")
def base(world, tmp_path_factory):
    """Files of the first sixty days."""
    return world.write(tmp_path_factory.mktemp("world"), days=DAYS)


@pytest.fixture
def started(base, tmp_path):
    home = Home(tmp_path / "home")
    learn(home, {name: [str(path)] for name, path in base.items()}, tmp_path)
    return home


def learn(home, sources, folder):
    """The first two steps of the pipeline, which end as a step does (exit 1) when the data gate says no."""
    settings = Settings()
    done = lifecycle.ingest(home.url, sources, settings.data.model_dump(mode="json"), str(folder / "ingested.md"))
    lifecycle.validate(
        home.url,
        done.version,
        done.batch,
        settings.quality.model_dump(mode="json"),
        str(folder / "report"),
        str(folder / "checked.md"),
    )
    return done


def feedback(world, days):
    """What half of the people did with lists of what is good for them, and the others on their own, in the event contract."""
    people = world.users()["user_id"].to_list()
    rows = []
    for day in days:
        for user in people[::2]:
            rows += world.respond(user, world.oracle(user, 10, day), day, request_id=f"r-{user}-{day}").events
        rows += world.history(1, start=day).filter(pl.col("user_id").is_in(people[1::2])).to_dicts()
    return sorted(rows, key=lambda row: row["timestamp"])


def export(home, rows, name="gateway"):
    """As the gateway's export writes them, in two segments a call."""
    half = len(rows) // 2
    keys = []
    for part in (rows[:half], rows[half:]):
        lines = [json.dumps({**row, "timestamp": row["timestamp"].isoformat()}).encode() for row in part]
        keys.append(f"{EVENTS}/{part[0]['timestamp']:%Y-%m-%d}/{name}-{part[0]['event_id']}.jsonl.gz")
        assert home.store.create(keys[-1], segment(lines))
    return sorted(keys)


def test_clean_feedback_passes_the_gate_after_a_base_batch_and_is_in_the_table_once(started, world, tmp_path):
    before = read_latest_events(started).height
    rows = feedback(world, range(DAYS, DAYS + 3))
    keys = export(started, rows)
    assert new_segments(started) == [f"{started.url}/{key}" for key in keys]

    done = learn(started, {"events": new_segments(started)}, tmp_path)
    table = read_latest_events(started)
    assert table.height == before + len(rows)
    taken = table.filter(pl.col("batch") == done.batch)
    assert set(taken["event_id"]) == {row["event_id"] for row in rows}
    assert taken["request_id"].drop_nulls().len() == sum(row["request_id"] is not None for row in rows) > 0
    assert read_facts(started, done.batch)["segments"] == keys
    assert new_segments(started) == []

    later = export(started, feedback(world, range(DAYS + 3, DAYS + 5)))
    assert new_segments(started) == [f"{started.url}/{key}" for key in later]
    learn(started, {"events": new_segments(started)}, tmp_path)
    assert new_segments(started) == []


def test_one_day_of_feedback_alone_passes_too(started, world, tmp_path):
    export(started, feedback(world, [DAYS]))
    learn(started, {"events": new_segments(started)}, tmp_path)
    assert new_segments(started) == []


def test_what_an_interrupted_run_took_is_taken_again_and_adds_nothing_twice(started, world, tmp_path):
    rows = feedback(world, [DAYS, DAYS + 1])
    export(started, rows[: len(rows) // 2])
    ingest(started, {"events": new_segments(started)}, DataSettings())
    assert pending.batches_of(started)  # killed before the gate
    assert len(new_segments(started)) == 2
    export(started, rows[len(rows) // 2 :])
    learn(started, {"events": new_segments(started)}, tmp_path)
    table = read_latest_events(started)
    assert table["event_id"].is_duplicated().sum() == 0
    assert set(table["event_id"]) >= {row["event_id"] for row in rows}
    assert new_segments(started) == []


def test_broken_feedback_is_stopped_and_stays_new_and_the_table_is_as_it_was(started, world, tmp_path, capsys):
    before = read_latest_events(started).height
    rows = feedback(world, [DAYS, DAYS + 1])
    broken = [{**row, "user_id": "" if number % 2 else row["user_id"]} for number, row in enumerate(rows)]
    export(started, broken)
    with pytest.raises(SystemExit, match="1"):
        learn(started, {"events": new_segments(started)}, tmp_path)
    assert "check 'missing' on user_id" in capsys.readouterr().out
    assert read_latest_events(started).height == before
    assert len(new_segments(started)) == 2


def test_feedback_whose_clock_is_ten_years_off_is_stopped(started, world, tmp_path, capsys):
    rows = [{**row, "timestamp": row["timestamp"] + timedelta(days=3650)} for row in feedback(world, [DAYS])]
    export(started, rows)
    with pytest.raises(SystemExit, match="1"):
        learn(started, {"events": new_segments(started)}, tmp_path)
    assert "check 'future' on timestamp" in capsys.readouterr().out
    assert len(new_segments(started)) == 2


def test_segments_of_a_home_in_object_storage_are_ingested_once(s3_url, base, world, tmp_path):
    home = Home(s3_url)
    learn(home, {name: [str(path)] for name, path in base.items()}, tmp_path)
    rows = feedback(world, [DAYS])
    keys = export(home, rows)
    assert new_segments(home) == [f"{s3_url}/{key}" for key in keys]
    before = read_latest_events(home).height
    done = learn(home, {"events": new_segments(home)}, tmp_path)
    assert read_facts(home, done.batch)["segments"] == keys
    assert new_segments(home) == []
    assert read_latest_events(home).height == before + len(rows)
    again = ingest(home, {"events": [f"{s3_url}/{key}" for key in keys]}, DataSettings())
    assert again.added == 0
