"""Submitting and following, against an API that answers as Kubeflow Pipelines 2.17 does and fails as networks do.

The real one is tried by tests/cluster.
"""

import json
import threading
import time
from pathlib import Path
from typing import Any

import pytest
import yaml

from components.recsys.errors import EverloopError, InputError, Refused, StoreError
from components.recsys.home import Home
from components.recsys.settings import Settings
from pipelines import follow as following
from pipelines import submit as submitting
from pipelines.compile import compile_package, version_name
from pipelines.follow import follow, result_of
from pipelines.kubeflow import Kubeflow
from pipelines.submit import submit, upload_sources
from pipelines.training import NAME


@pytest.fixture
def home(s3_url: str, monkeypatch: pytest.MonkeyPatch) -> Home:
    monkeypatch.setattr(submitting, "SETTLE_SECONDS", 0.0)
    return Home(s3_url)


@pytest.fixture
def events(tmp_path: Path) -> Path:
    (tmp_path / "my clicks.csv").write_text("user_id,item_id,timestamp\nu,i,1\n")
    return tmp_path / "my clicks.csv"


def _submit(endpoint: str, home: Home, events: Path, **options: Any) -> Any:
    settings = options.pop("settings", Settings())
    return submit(Kubeflow(endpoint), home, {"events": [str(events)]}, settings, **options)


def test_a_first_submit_makes_everything_that_is_missing_and_one_run(
    fake: Any, endpoint: str, home: Home, events: Path
) -> None:
    done = _submit(endpoint, home, events)
    assert done.created
    assert [e["display_name"] for e in fake.experiments] == ["everloop"]
    assert [(v["name"]) for v in fake.versions] == [version_name(NAME)]
    (run,) = fake.runs
    assert (run["run_id"], run["display_name"]) == (done.run_id, f"everloop-training-{done.key[:12]}")
    assert run["pipeline_version_reference"]["pipeline_version_id"] == fake.versions[0]["pipeline_version_id"]
    parameters = run["runtime_config"]["parameters"]
    (landed,) = parameters["sources"]["events"]
    assert home.store.read(landed.removeprefix(home.url + "/")) == events.read_bytes()
    assert parameters["home"] == home.url
    assert parameters["train"]["seed"] == 42
    assert json.loads(home.store.read(f"submissions/{done.key}.json"))["run"] == done.run_id


def test_the_same_again_finds_the_run_whatever_the_file_is_called(
    fake: Any, endpoint: str, home: Home, events: Path
) -> None:
    first = _submit(endpoint, home, events)
    for state in ("PENDING", "RUNNING", "SUCCEEDED"):
        fake.runs[0]["state"] = state
        again = _submit(endpoint, home, events)
        assert (again.run_id, again.created) == (first.run_id, False)
    assert len(fake.runs) == len(fake.versions) == len(fake.pipelines) == len(fake.experiments) == 1


@pytest.mark.parametrize("state", ["FAILED", "CANCELED", "CANCELING"])
def test_a_run_that_ended_badly_does_not_stand_in_the_way(
    fake: Any, endpoint: str, home: Home, events: Path, state: str
) -> None:
    first = _submit(endpoint, home, events)
    fake.runs[0]["state"] = state
    second = _submit(endpoint, home, events)
    assert second.created
    assert (second.name, second.run_id != first.run_id) == (first.name, True)


def test_other_data_other_settings_another_home_or_a_fresh_run_are_other_runs(
    fake: Any, endpoint: str, home: Home, events: Path
) -> None:
    keys = [_submit(endpoint, home, events).key, _submit(endpoint, home, events, fresh=True).key]
    keys.append(_submit(endpoint, Home(home.url + "2"), events).key)
    seven = Settings.model_validate({"train": {"seed": 7}})
    keys.append(_submit(endpoint, home, events, settings=seven).key)
    events.write_text("user_id,item_id,timestamp\nu,i,2\n")
    keys.append(_submit(endpoint, home, events).key)
    assert len(set(keys)) == len(fake.runs) == 5


def test_an_answer_lost_after_the_run_was_made_is_found_and_not_made_again(
    fake: Any, endpoint: str, home: Home, events: Path
) -> None:
    fake.lose_answers = 1
    done = _submit(endpoint, home, events)
    assert [run["run_id"] for run in fake.runs] == [done.run_id]


def test_of_two_submits_at_once_the_older_run_stays_and_the_other_is_stopped(
    fake: Any, endpoint: str, home: Home, events: Path
) -> None:
    fake.rival_first = True
    done = _submit(endpoint, home, events)
    assert done.run_id == fake.runs[0]["run_id"]
    assert [run.get("state") for run in fake.runs] == [None, "CANCELING"]


def test_a_name_of_ones_own_is_not_lent_to_other_data(fake: Any, endpoint: str, home: Home, events: Path) -> None:
    first = _submit(endpoint, home, events, name="nightly")
    assert _submit(endpoint, home, events, name="nightly").run_id == first.run_id
    events.write_text("user_id,item_id,timestamp\nu,i,3\n")
    with pytest.raises(InputError, match="a run named nightly was made from other data"):
        _submit(endpoint, home, events, name="nightly")


def test_another_build_of_our_version_goes_beside_the_one_that_is_there_and_it_is_said_why(
    fake: Any, endpoint: str, home: Home, events: Path
) -> None:
    fake.versions.append({"name": version_name(NAME), "pipeline_spec": {"other": 1}, "pipeline_version_id": "old"})
    told = list[str]()
    _submit(endpoint, home, events, told=told.append)
    assert any("has another definition there, and a version cannot be changed" in text for text in told)
    assert len(fake.versions) == 2
    assert fake.versions[1]["name"].startswith(version_name(NAME) + "-")
    assert fake.runs[0]["pipeline_version_reference"]["pipeline_version_id"] != "old"


def test_a_fresh_run_takes_no_step_from_the_cache() -> None:
    for fresh in (False, True):
        spec = next(yaml.safe_load_all(compile_package(NAME, fresh)))
        tasks = {**spec["root"]["dag"]["tasks"], **spec["components"]["comp-for-loop-1"]["dag"]["tasks"]}
        cached = {name for name, task in tasks.items() if task.get("cachingOptions", {}).get("enableCache")}
        assert ("train" in cached, "ingest" in cached) == (not fresh, False)


def test_a_file_is_sent_once_and_a_table_with_its_log_last(home: Home, events: Path, tmp_path: Path) -> None:
    (tmp_path / "table" / "_delta_log").mkdir(parents=True)
    (tmp_path / "table" / "_delta_log" / "0.json").write_text("{}")
    (tmp_path / "table" / "part.parquet").write_text("x")
    sources = {"events": [str(events), events.as_uri().replace("%20", " ")], "items": [str(tmp_path / "table")]}
    told = list[str]()
    landed = upload_sources(home, {**sources, "users": ["s3://elsewhere/users.csv"]}, told.append)
    assert landed["events"][0] == landed["events"][1]
    assert landed["users"] == ["s3://elsewhere/users.csv"]
    assert [line.split(" (")[0] for line in told] == [
        "uploaded my clicks.csv",
        "uploaded part.parquet",
        "uploaded 0.json",
    ]
    assert {key.split("/", 2)[2] for key in home.store.list("landing")} == {
        "my clicks.csv",
        "table/_delta_log/0.json",
        "table/part.parquet",
    }
    assert upload_sources(home, sources, told.append)["items"] == landed["items"]
    assert len(told) == 3


def test_bad_sources_and_homes_are_one_sentence_each(endpoint: str, home: Home, events: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"nowhere\.csv does not exist"):
        upload_sources(home, {"events": [str(tmp_path / "nowhere.csv")]})
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="is an empty folder"):
        upload_sources(home, {"events": [str(tmp_path / "empty")]})
    with pytest.raises(InputError, match=r"a folder of this machine, which pods do not see: give s3://"):
        _submit(endpoint, Home(tmp_path), events)


def test_an_endpoint_that_will_not_do_is_one_sentence(fake: Any, endpoint: str) -> None:
    with pytest.raises(StoreError, match=r"cannot be reached .*check --endpoint"):
        Kubeflow("http://127.0.0.1:9")
    with pytest.raises(InputError, match="is no address"):
        Kubeflow("http://host:port")
    fake.page = b"<html>Log in</html>"
    with pytest.raises(InputError, match=r"not as Kubeflow Pipelines does.*KUBEFLOW_TOKEN"):
        Kubeflow(endpoint)
    fake.page, fake.token = b"", "secret"
    with pytest.raises(InputError, match=r"refuses access \(401\): set KUBEFLOW_TOKEN"):
        Kubeflow(endpoint)
    with pytest.raises(InputError, match="KUBEFLOW_TOKEN is wrong, has expired"):
        Kubeflow(endpoint, token="old")
    assert Kubeflow(endpoint.removeprefix("http://") + "/", token="secret").namespace == ""


def test_a_kubeflow_for_several_users_wants_a_namespace(fake: Any, endpoint: str, home: Home, events: Path) -> None:
    fake.multi_user = True
    with pytest.raises(InputError, match="name your profile's --namespace"):
        Kubeflow(endpoint)
    submit(Kubeflow(endpoint, namespace="team"), home, {"events": [str(events)]}, Settings())
    assert fake.experiments[0]["namespace"] == fake.pipelines[0]["namespace"] == "team"


def _task(name: str, state: str, start: int, end: int, pod: str = "") -> dict[str, Any]:
    times = {"start_time": f"2026-11-23T10:00:{start:02}Z", "end_time": f"2026-11-23T10:00:{end:02}Z"}
    return {"display_name": name, "state": state, "child_tasks": [{"pod_name": pod}] if pod else [], **times}


def _run(state: str, *tasks: dict[str, Any]) -> dict[str, Any]:
    noise = [
        _task("root", "RUNNING", 0, 50),
        _task("ingest-driver", "SUCCEEDED", 0, 1),
        _task("executor", "RUNNING", 1, 2),
    ]
    times = {"created_at": "2026-11-23T10:00:00Z", "finished_at": "2026-11-23T10:00:50Z"}
    return {"run_id": "r", "state": state, "run_details": {"task_details": [*noise, *tasks]}, **times}


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(following, "PATIENCE_SECONDS", 0.5)


@pytest.mark.usefixtures("quick")
def test_a_run_is_followed_step_by_step_to_its_end(fake: Any, endpoint: str) -> None:
    done = [_task("train", "SUCCEEDED", 10, 20), _task("train", "SUCCEEDED", 12, 40)]
    stages = [
        {"run_id": "r", "created_at": "2026-11-23T10:00:00Z"},
        _run("RUNNING", _task("ingest", "RUNNING", 1, 1)),
        _run("RUNNING", _task("ingest", "SUCCEEDED", 1, 9), _task("train", "RUNNING", 10, 10), done[0]),
        _run("SUCCEEDED", _task("ingest", "SUCCEEDED", 1, 9), *done),
    ]
    kubeflow, told = Kubeflow(endpoint), list[tuple[str, str]]()
    fake.runs = [stages[0]]

    def advance() -> None:
        for stage in stages[1:]:
            time.sleep(0.2)
            fake.fail_next = 1  # an endpoint that stumbles is no reason to give up
            fake.runs = [stage]

    thread = threading.Thread(target=advance)
    thread.start()
    followed = follow(kubeflow, "r", lambda step, state: told.append((step, state)), poll_seconds=0.02)
    thread.join()
    assert (followed.state, followed.steps, followed.seconds) == ("SUCCEEDED", {"ingest": 8.0, "train": 30.0}, 50.0)
    assert told == [
        ("ingest", "running"),
        ("ingest", "done"),
        ("train", "1 done, 1 running"),
        ("train", "2 done"),
    ]


def test_a_step_whose_end_is_not_written_yet_ends_with_the_run(fake: Any, endpoint: str) -> None:
    task = {**_task("register", "RUNNING", 40, 40), "end_time": "0001-01-01T00:00:00Z"}
    fake.runs = [_run("SUCCEEDED", task)]
    assert follow(Kubeflow(endpoint), "r").steps == {"register": 10.0}


@pytest.mark.parametrize(("code", "kind"), [(1, Refused), (2, InputError), (3, StoreError)])
def test_a_failed_step_raises_its_own_error_with_its_sentence(
    fake: Any, endpoint: str, code: int, kind: type[EverloopError]
) -> None:
    fake.runs = [_run("FAILED", _task("validate", "FAILED", 1, 9, "pod-1"))]
    message = {"step": "validate", "event": "failed", "text": "too few events", "code": code}
    fake.logs["pod-1"] = (
        f'[KFP] starting\neverloop {{"step": "validate", "event": "started"}}\neverloop {json.dumps(message)}\n'
    )
    with pytest.raises(kind, match=r"^validate: too few events$"):
        follow(Kubeflow(endpoint), "r")


def test_a_step_that_broke_off_shows_the_end_of_its_traceback_and_where_to_look(fake: Any, endpoint: str) -> None:
    fake.runs = [_run("FAILED", _task("train", "FAILED", 1, 9, "pod-1"))]
    fake.logs["pod-1"] = (
        "Traceback (most recent call last):\n  File\nnumpy.linalg.LinAlgError: Singular matrix\nI1123 bye\n"
    )
    with pytest.raises(
        EverloopError, match=r"train broke off: numpy.linalg.LinAlgError: Singular .*kubectl -n kubeflow logs"
    ):
        follow(Kubeflow(endpoint), "r")


def test_a_failure_whose_log_cannot_be_reached_says_where_to_look(fake: Any, endpoint: str) -> None:
    fake.runs = [_run("FAILED", _task("train", "FAILED", 1, 9, "pod-1"))]
    with pytest.raises(StoreError, match=r"train failed .*kubectl -n kubeflow logs .*pipeline/runid=r"):
        follow(Kubeflow(endpoint), "r")


def test_a_run_that_somebody_stopped_is_said_so(fake: Any, endpoint: str) -> None:
    fake.runs = [_run("CANCELED")]
    with pytest.raises(StoreError, match="was stopped by somebody"):
        follow(Kubeflow(endpoint), "r")


@pytest.mark.usefixtures("quick")
def test_an_endpoint_that_stays_silent_ends_the_following_but_not_the_run(fake: Any, endpoint: str) -> None:
    fake.runs = [_run("RUNNING")]
    kubeflow = Kubeflow(endpoint)
    fake.fail_next = 10**6
    with pytest.raises(StoreError, match="no longer answers; run r goes on, submit again to follow it"):
        follow(kubeflow, "r", poll_seconds=0.05)


def test_the_result_is_read_from_the_home(home: Home) -> None:
    home.store.write("runs/r/result.json", b'{"outcome": "promoted"}')
    assert result_of(home, "r") == {"outcome": "promoted"}
    with pytest.raises(StoreError, match="run x left no result"):
        result_of(home, "x")
