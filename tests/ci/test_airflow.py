"""The DAG in Airflow's own engine, in an environment of its own: loaded as a DAG processor loads it, and run."""

import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest

from components.recsys.version import VERSION

ROOT = Path(__file__).parents[2]
DAGS = ROOT / "ci" / "airflow"
HERE = {"EVERLOOP_RUN_IN": "here"}
PODS = {
    "EVERLOOP_HOME": "s3://bucket/home",
    "EVERLOOP_EVENTS": "s3://lake/a s3://lake/b",
    "EVERLOOP_ENVIRONMENT": "prod",
}


@pytest.fixture(scope="session")
def airflow() -> Path:
    """The folder that `make airflow` makes: an environment, and an empty database to copy."""
    script = ["bash", str(ROOT / ".ci" / "airflow")]
    done = subprocess.run(script, cwd=ROOT, capture_output=True, text=True, timeout=280)
    if done.returncode and not os.environ.get("CI"):
        pytest.skip(f"Airflow cannot be installed here: {done.stderr.strip().splitlines()[-1]}")
    assert done.returncode == 0, done.stderr
    return Path(done.stdout.strip())


def said(airflow: Path, folder: Path, environment: dict[str, str], script: str, *words: str) -> Any:
    """The answer of one of our scripts in Airflow's environment, with a database of its own."""
    (folder / "kubeconfig").write_text(json.dumps(NO_CLUSTER))
    shutil.copytree(airflow / "home", folder / "airflow")
    environment = {
        **environment,
        "AIRFLOW_HOME": str(folder / "airflow"),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__CORE__DAGS_FOLDER": str(DAGS),
        "KUBECONFIG": str(folder / "kubeconfig"),
    }
    command = [airflow / "venv" / "bin" / "python", ROOT / "tests" / "ci" / "airflow" / script, *words]
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=280)
    assert done.returncode == 0, done.stdout + done.stderr
    return json.loads(done.stdout.splitlines()[-1])


# A pod's description is made with a client, which wants a configuration before it is asked for anything.
NO_CLUSTER = {
    "apiVersion": "v1",
    "kind": "Config",
    "current-context": "none",
    "clusters": [{"name": "none", "cluster": {"server": "https://127.0.0.1:1"}}],
    "contexts": [{"name": "none", "context": {"cluster": "none", "user": "nobody"}}],
    "users": [{"name": "nobody", "user": {}}],
}


@pytest.fixture(scope="module")
def loaded(airflow: Path, tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    """The DAG with commands on the worker, and with pods."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("EVERLOOP_")}
    folder = tmp_path_factory.mktemp("loaded")
    found = said(airflow, folder, environment, "look.py", json.dumps(HERE), json.dumps(PODS))
    assert [one["errors"] for one in found] == [{}, {}]
    return [one["dags"]["everloop_retrain"] for one in found]


def test_a_night_at_a_time_and_none_made_up_for(loaded: list[dict[str, Any]]) -> None:
    for dag in loaded:
        assert (dag["schedule"], dag["catchup"], dag["max_active_runs"]) == ("17 3 * * *", False, 1)
        assert "everloop submit --wait" in dag["doc"]
        assert all(task["timeout_hours"] < dag["hours"] for task in dag["tasks"].values())


def test_tasks_are_tried_again_and_a_no_is_no_failure(loaded: list[dict[str, Any]]) -> None:
    here, pods = (dag["tasks"] for dag in loaded)
    assert {name: task["then"] for name, task in here.items()} == {"train": []}, (
        "without an environment nothing is offered"
    )
    assert {name: task["then"] for name, task in pods.items()} == {"train": ["offer"], "offer": []}
    for task in (*here.values(), *pods.values()):
        assert (task["retries"], task["skip_on_exit_code"]) == (2, [1])


def test_commands_are_those_of_the_command_line(loaded: list[dict[str, Any]]) -> None:
    here, pods = (dag["tasks"] for dag in loaded)
    assert here["train"]["command"] == "exec everloop submit --wait --json '--name=retrain-{{ run_id }}'"
    (train,), (offer,) = (pods[name]["pod"]["spec"]["containers"] for name in ("train", "offer"))
    assert (train["command"], offer["command"]) == (["everloop"], ["everloop"])
    assert train["args"][4:] == ["--events=s3://lake/a", "--events=s3://lake/b"]
    assert offer["args"] == ["gitops", "sync", "--env=prod"]


def test_pods_are_valid_restricted_and_hold_only_the_secrets_they_use(loaded: list[dict[str, Any]]) -> None:
    images, secrets = {}, {}
    for name, task in loaded[1]["tasks"].items():
        pod = task["pod"]
        kubernetes_validate.validate(pod, "1.32", strict=True)
        spec, (container,) = pod["spec"], pod["spec"]["containers"]
        images[name] = container["image"]
        assert spec["automountServiceAccountToken"] is False
        assert spec["securityContext"]["runAsNonRoot"]
        assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        rights = container["securityContext"]
        assert (rights["allowPrivilegeEscalation"], rights["readOnlyRootFilesystem"]) == (False, True)
        assert rights["capabilities"] == {"drop": ["ALL"]}
        assert {"cpu", "memory"} <= container["resources"]["limits"].keys()
        assert not [
            variable for variable in container["env"] if "KEY" in variable["name"] or "TOKEN" in variable["name"]
        ]
        secrets[name] = {source["secretRef"]["name"] for source in container["envFrom"]} | {
            volume["secret"]["secretName"] for volume in spec["volumes"] if "secret" in volume
        }
    assert images == {"train": f"everloop/monitoring:{VERSION}", "offer": f"everloop/gitops:{VERSION}"}
    assert secrets == {"train": {"everloop-store", "everloop-kubeflow"}, "offer": {"everloop-store", "everloop-git"}}


def test_nights_on_kubeflow(airflow: Path, night: Any, tmp_path: Path) -> None:
    """In the first night the first try fails after it started a run, and the second finds that run. Then the gate says no."""
    night.kubeflow.shown_late = True
    night.kubeflow.says_no = lambda name: len(night.kubeflow.runs) > 1
    environment = {**night.environment, **HERE, "EVERLOOP_RETRY_SECONDS": "0.1", "EVERLOOP_ENVIRONMENT": "staging"}
    first, refused = said(airflow, tmp_path, environment, "nights.py", "2026-03-02T03:17", "2026-03-03T03:17")
    assert first["tasks"] == {"train": {"state": "success", "tries": 2}, "offer": {"state": "success", "tries": 1}}
    assert first["state"] == "success"
    assert night.stable == night.champion != ""
    assert refused["tasks"]["train"]["state"] == refused["tasks"]["offer"]["state"] == "skipped"
    assert refused["state"] == "success", "a no is an answer"
    assert [run["display_name"] for run in night.kubeflow.runs] == [f"retrain-{one['run']}" for one in (first, refused)]
