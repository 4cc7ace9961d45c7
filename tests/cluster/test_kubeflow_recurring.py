"""Schedules on a real Kubeflow: made, left alone, edited while their run is in flight, taken away; and the run itself, which finds
the home's feedback and takes it once."""

import json
from collections.abc import Callable, Iterator
from typing import Any

import polars as pl
import pytest
import yaml

from components.recsys.events import read_latest_events
from components.recsys.feedback.segments import new_segments
from components.recsys.home import Home
from components.recsys.ledger import Ledger
from components.recsys.predictions import EVENTS, segment
from components.recsys.simulator import write
from pipelines.kubeflow import ENDED, Kubeflow
from tests.cluster.waiting import wait

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(1800)]

SOON, SELDOM = "*/10 * * * * *", "0 0 4 1 1 *"  # each ten seconds; once a year
SETTINGS = {"train": {"candidates": ["popularity", "item_knn"]}, "evaluate": {"bootstrap": 200}}


@pytest.fixture(scope="module")
def kubeflow(endpoint: str, cluster: Any) -> Kubeflow:
    return Kubeflow(endpoint, namespace=cluster.namespace)


@pytest.fixture(scope="module")
def fed(home: str, tmp_path_factory: pytest.TempPathFactory) -> Home:
    """A home that has nothing but what a gateway exported: the synthetic travel world, in two segments."""
    place = Home(home.replace("/home", "/recurring"))
    events = pl.read_csv(write(tmp_path_factory.mktemp("travel"))["events"])
    rows = [
        {
            **{name: row.get(name) for name in ("user_id", "item_id", "event", "value", "timestamp")},
            "event_id": f"e{at}",
        }
        for at, row in enumerate(events.iter_rows(named=True))
    ]
    for number in (0, 1):
        lines = [json.dumps(row).encode() for row in rows[number::2]]
        place.store.create(f"{EVENTS}/2026-11-24/gateway-{number}.jsonl.gz", segment(lines))
    return place


@pytest.fixture(scope="module")
def apply(
    kubeflow: Kubeflow, fed: Home, everloop: Any, endpoint: str, cluster: Any, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Callable[..., dict[str, str]]]:
    """`everloop recurring apply --prune` of a nightly run with this cron; schedule -> what became of it."""
    folder, set_name = tmp_path_factory.mktemp("declared"), f"test-{fed.url.split('/')[3]}"

    def applied(cron: str = "") -> dict[str, str]:
        runs = [{"name": "nightly", "cron": cron, "settings": SETTINGS}] if cron else []
        file = folder / "recurring-runs.yaml"
        file.write_text(yaml.safe_dump({"set": set_name, "recurring": runs}))
        where = ("--home", fed.url, "--endpoint", endpoint, "--namespace", cluster.namespace)
        done = everloop("recurring", "apply", "-f", str(file), "--prune", *where, "--json")
        assert done.code == 0, done.err
        return {change["schedule"]: change["what"] for change in done.json["changes"]}

    yield applied
    applied()


def ours(kubeflow: Kubeflow, fed: Home) -> list[dict[str, Any]]:
    return [each for each in kubeflow.schedules() if f"set=test-{fed.url.split('/')[3]} " in each["description"]]


def test_a_declared_run_is_scheduled_once_and_edited_without_killing_its_run(
    kubeflow: Kubeflow, fed: Home, apply: Callable[..., dict[str, str]]
) -> None:
    ((first, what),) = apply(SOON).items()
    assert what == "made"
    (made,) = ours(kubeflow, fed)
    run = wait(lambda: kubeflow.runs_of_schedule(made["recurring_run_id"]), 240, "a run of the schedule")[0]
    assert apply(SOON) == {first: "unchanged"}
    changes = apply(SELDOM)
    print(f"\nedited while run {run['run_id']} is {kubeflow.run(run['run_id']).get('state')}: {changes}")
    (second,) = [schedule for schedule, what in changes.items() if what == "replaced"]
    firing = [each["display_name"] for each in ours(kubeflow, fed) if each["status"] == "ENABLED"]
    assert firing == [second]
    state = wait(lambda: (now := kubeflow.run(run["run_id"]).get("state")) in ENDED and now, 900, "the run's end")
    assert state == "SUCCEEDED"
    assert changes[first] in ("removed", "waiting")  # as this Kubeflow can, or cannot, leave runs alone
    assert apply(SELDOM) == {second: "unchanged", **({first: "removed"} if changes[first] == "waiting" else {})}
    assert [each["display_name"] for each in ours(kubeflow, fed)] == [second]


def test_its_run_took_the_homes_feedback_once_and_made_a_release(fed: Home) -> None:
    entries = Ledger(fed).entries()
    assert [entry.action for entry in entries] == ["promote"]
    assert new_segments(fed) == []
    events = read_latest_events(fed)
    assert events.height == events["event_id"].n_unique() > 10_000
    print(
        f"\n{events.height:,} events of the gateway's segments, release {entries[0].release[:12]} of run {entries[0].run}"
    )


def test_what_is_declared_no_more_is_taken_away(
    kubeflow: Kubeflow, fed: Home, apply: Callable[..., dict[str, str]]
) -> None:
    assert list(apply().values()) == ["removed"]
    assert ours(kubeflow, fed) == []
