"""Schedules on an API that answers as Kubeflow Pipelines 2.17 does: what is made, what is left alone, what is taken away."""

import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from components.recsys.errors import InputError, StoreError
from pipelines.kubeflow import Kubeflow
from pipelines.recurring import reconcile as reconciling
from pipelines.recurring.reconcile import plan, reconcile, standing_in
from pipelines.recurring.schedules import Wanted

Want = Callable[..., Wanted]
Apply = Callable[..., dict[str, str]]


def changing(fake: Any) -> list[str]:
    return [call for call in fake.calls if not call.startswith("GET")]


def start_run(fake: Any, schedule: int = 0) -> dict[str, Any]:
    run = {"run_id": f"run-{len(fake.runs)}", "display_name": "r", "state": "RUNNING", "created_at": "2026"}
    fake.runs.append({**run, "recurring_run_id": fake.schedules[schedule]["recurring_run_id"]})
    return dict(fake.runs[-1])


def test_a_declared_run_becomes_a_schedule_with_all_that_it_says(fake: Any, want: Want, apply: Apply) -> None:
    wanted = want(settings={"train": {"seed": 7}}, service_account="everloop-steps", description="Each night.")
    assert apply(wanted) == {wanted.title: "made"}
    (made,) = fake.schedules
    assert made["display_name"] == wanted.title
    assert made["trigger"] == {"cron_schedule": {"cron": "0 0 3 * * *"}}
    assert (made["service_account"], made["max_concurrency"], made["no_catchup"]) == ("everloop-steps", "1", True)
    assert made["description"].splitlines() == ["Each night.", f"everloop set=prod name=nightly spec={wanted.spec}"]
    parameters = made["runtime_config"]["parameters"]
    assert (parameters["home"], parameters["sources"]) == ("s3://bucket/home", {"events": ["feedback"]})
    assert parameters["train"]["seed"] == 7
    assert [each["display_name"] for each in fake.experiments] == ["everloop"]


def test_the_same_again_changes_nothing(fake: Any, want: Want, apply: Apply) -> None:
    wanted = [want(), want("hourly", "@hourly", enabled=False), want("often", "", interval_seconds=600)]
    apply(*wanted)
    before, fake.calls = [dict(each) for each in fake.schedules], []
    assert set(apply(*wanted).values()) == {"unchanged"}
    assert (changing(fake), fake.schedules) == ([], before)


@pytest.mark.parametrize("version", ["2.17.0", "2.15.0", "unknown", ""])
def test_an_edited_cron_leaves_one_schedule_and_the_run_in_flight(
    fake: Any, want: Want, apply: Apply, version: str
) -> None:
    fake.version = version
    old, new = want(), want(cron="30 4 * * *")
    apply(old)
    start_run(fake)
    changes = apply(new)
    assert changes[new.title] == "replaced"
    assert [each["display_name"] for each in fake.schedules if each["status"] == "ENABLED"] == [new.title]
    assert (fake.runs[0]["state"], fake.most_firing) == ("RUNNING", 1)
    if version == "2.17.0":
        assert [each["display_name"] for each in fake.schedules] == [new.title]
        return
    # This Kubeflow would delete the run with its schedule, so that one waits, switched off, for the run to end.
    assert changes[old.title] == "waiting"
    assert apply(new)[old.title] == "waiting"
    fake.runs[0]["state"] = "SUCCEEDED"
    assert apply(new)[old.title] == "removed"
    assert [each["display_name"] for each in fake.schedules] == [new.title]
    assert fake.runs[0]["state"] == "SUCCEEDED"


def test_the_new_schedule_takes_over_when_the_old_one_was_switched_off(fake: Any, want: Want, apply: Apply) -> None:
    apply(want())
    fake.schedules[0]["updated_at"] = "2026-01-01T00:00:00Z"
    before = datetime.now(UTC).replace(microsecond=0)
    apply(want(cron="30 4 * * *"))
    takes_over = datetime.fromisoformat(fake.schedules[0]["trigger"]["cron_schedule"]["start_time"])
    assert before <= takes_over <= datetime.now(UTC)


def test_after_an_interruption_it_takes_over_from_then_but_not_from_a_pause_of_days(
    fake: Any, want: Want, apply: Apply
) -> None:
    for ago, kept in ((timedelta(minutes=9), True), (timedelta(days=3), False)):
        fake.schedules.clear()
        apply(want())
        then = f"{datetime.now(UTC) - ago:%Y-%m-%dT%H:%M:%SZ}"
        fake.schedules[0] |= {"status": "DISABLED", "updated_at": then}
        apply(want(cron="30 4 * * *"))
        assert (fake.schedules[0]["trigger"]["cron_schedule"].get("start_time") == then) is kept


def test_on_and_off_is_switched_in_place(fake: Any, want: Want, apply: Apply) -> None:
    apply(want())
    (made,) = fake.schedules
    assert apply(want(enabled=False)) == {want().title: "switched off"}
    assert (made["status"], len(fake.schedules)) == ("DISABLED", 1)
    assert apply(want()) == {want().title: "switched on"}
    assert made["status"] == "ENABLED"


def test_what_somebody_switched_off_by_hand_is_as_declared_again(fake: Any, want: Want, apply: Apply) -> None:
    apply(want())
    fake.schedules[0]["status"] = "DISABLED"
    assert apply(want()) == {want().title: "switched on"}


def test_only_prune_takes_away_what_is_no_longer_declared(fake: Any, want: Want, apply: Apply) -> None:
    apply(want(), want("hourly", "@hourly"))
    assert apply(want(), prune=False)[want("hourly", "@hourly").title] == "unchanged"
    assert len(fake.schedules) == 2
    start_run(fake, 1)
    assert apply(want())[want("hourly", "@hourly").title] == "removed"
    assert [each["display_name"] for each in fake.schedules] == [want().title]
    assert fake.runs[0]["state"] == "RUNNING"


def test_schedules_of_others_are_never_touched(fake: Any, want: Want, apply: Apply) -> None:
    apply(want())
    theirs = [
        {**fake.schedules[0], "recurring_run_id": "x", "description": "made in the UI"},
        {
            **fake.schedules[0],
            "recurring_run_id": "y",
            "description": "everloop set=dev name=nightly spec=0123456789ab",
        },
    ]
    fake.schedules += theirs
    apply(want(cron="30 4 * * *"))
    apply()
    assert fake.schedules == theirs


def test_a_dry_run_tells_what_would_change_and_changes_nothing(
    fake: Any, endpoint: str, want: Want, apply: Apply
) -> None:
    kubeflow = Kubeflow(endpoint)
    apply(want(), want("hourly", "@hourly"))
    fake.calls = []
    wanted = [want(cron="30 4 * * *"), want("hourly", "@hourly", enabled=False), want("new", "@daily")]
    told = {(change.name, change.what) for change in plan(wanted, standing_in(kubeflow, "prod"), prune=True)}
    assert told == {("nightly", "replaced"), ("hourly", "switched off"), ("new", "made")}
    gone = plan([], standing_in(kubeflow, "prod"), prune=True)
    assert [change.what for change in gone] == ["removed", "removed"]
    assert changing(fake) == []


@pytest.mark.parametrize("fault", ["lost", "504"])
def test_an_answer_lost_after_the_schedule_was_made_makes_no_second_one(
    fake: Any, want: Want, apply: Apply, fault: str
) -> None:
    if fault == "504":  # a proxy gave up waiting, Kubeflow did not

        def late(*request: Any) -> tuple[int, Any]:
            answer: tuple[int, Any] = type(fake)._answer(fake, *request)
            made = request[:2] == ("POST", "/apis/v2beta1/recurringruns")
            return (504, {"message": "timeout"}) if made else answer

        fake._answer = late
    else:
        fake.faults.append((r"POST .*/recurringruns", "lost"))
    assert apply(want()) == {want().title: "made"}
    assert len(fake.schedules) == 1


@pytest.mark.parametrize("fault", ["dropped", "500"])
def test_a_schedule_that_was_not_made_is_an_error_and_the_next_time_makes_it(
    fake: Any, want: Want, apply: Apply, fault: str
) -> None:
    fake.faults.append((r"POST .*/recurringruns", fault))
    with pytest.raises(StoreError):
        apply(want())
    assert apply(want()) == {want().title: "made"}
    assert len(fake.schedules) == 1


def test_a_request_too_many_is_made_again_a_little_later(fake: Any, want: Want, apply: Apply) -> None:
    fake.faults += [
        (r"POST .*/recurringruns", "429"),
        (r"GET .*/recurringruns", "429"),
        (r"GET .*/recurringruns", "dropped"),
    ]
    assert apply(want()) == {want().title: "made"}
    assert (len(fake.schedules), fake.faults) == (1, [])


def test_switching_and_deleting_are_tried_again_whatever_broke(fake: Any, want: Want, apply: Apply) -> None:
    apply(want())
    fake.faults += [(r"POST .*:disable", "lost"), (r"POST .*:disable", "500"), (r"DELETE .*", "lost")]
    apply(want(cron="30 4 * * *"))
    assert [each["display_name"] for each in fake.schedules] == [want(cron="30 4 * * *").title]


def test_a_token_that_has_expired_is_one_sentence(fake: Any, endpoint: str) -> None:
    fake.token = "new"
    with pytest.raises(InputError, match=r"refuses access \(401\): KUBEFLOW_TOKEN is wrong, has expired"):
        Kubeflow(endpoint, token="old")


def test_two_who_apply_at_once_leave_one_schedule(
    fake: Any, endpoint: str, want: Want, package: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reconciling, "SETTLE_SECONDS", 0.3)
    barrier = threading.Barrier(2)

    def one() -> None:
        kubeflow = Kubeflow(endpoint)
        barrier.wait()
        reconcile(kubeflow, [want()], "prod", package)

    threads = [threading.Thread(target=one) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    (left,) = fake.schedules
    assert (left["display_name"], left["status"]) == (want().title, "ENABLED")


def test_of_two_with_the_same_content_the_older_stays(fake: Any, want: Want, apply: Apply) -> None:
    apply(want())
    fake.schedules.append({**fake.schedules[0], "recurring_run_id": "twin", "created_at": "2027-01-01T00:00:00Z"})
    first = fake.schedules[0]["recurring_run_id"]
    apply(want())
    assert [(each["recurring_run_id"], each["status"]) for each in fake.schedules] == [(first, "ENABLED")]
