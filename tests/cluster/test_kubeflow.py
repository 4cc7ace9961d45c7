"""The training pipeline on a real Kubeflow, part by part: image, store, run, values as on one machine, state."""

import base64
import json
import math
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from components.image import IMAGE
from components.recsys.datasets import movielens_100k
from components.recsys.errors import StoreError
from components.recsys.home import Home
from components.recsys.ledger import Ledger
from components.recsys.release import load, releases_of
from components.recsys.version import VERSION, source_digest
from pipelines.kubeflow import Kubeflow
from pipelines.local import STEPS
from pipelines.training import NAME

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(1800)]
Everloop = Callable[..., Any]

SAYS = "from components.recsys.version import VERSION, source_digest; print(VERSION, source_digest())"


@pytest.fixture(scope="session")
def image(cluster: Any) -> str:
    """What the steps' image on the cluster says it is, run as strictly as a cluster may ask."""
    name = f"everloop-image-{uuid.uuid4().hex[:8]}"
    pod = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "namespace": cluster.namespace},
        "spec": {
            "restartPolicy": "Never",
            "automountServiceAccountToken": False,
            "securityContext": {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}},
            "containers": [
                {
                    "name": "main",
                    "image": IMAGE,
                    "imagePullPolicy": "IfNotPresent",
                    "command": ["python3", "-c", SAYS],
                    "securityContext": {
                        "allowPrivilegeEscalation": False,
                        "readOnlyRootFilesystem": True,
                        "capabilities": {"drop": ["ALL"]},
                    },
                }
            ],
        },
    }
    made = cluster.kubectl("apply", "-f", "-", stdin=json.dumps(pod))
    if made.returncode:
        pytest.skip(f"no pod may be made in namespace {cluster.namespace}, so nothing was run: {made.stderr.strip()}")
    try:
        for _ in range(90):
            status = json.loads(cluster.kubectl("-n", cluster.namespace, "get", "pod", name, "-o", "json").stdout)[
                "status"
            ]
            waiting = [
                state["state"].get("waiting", {}).get("reason", "") for state in status.get("containerStatuses", [])
            ]
            if status["phase"] in ("Succeeded", "Failed"):
                return str(cluster.kubectl("-n", cluster.namespace, "logs", name).stdout.strip())
            if any("Image" in reason for reason in waiting):
                pytest.skip(
                    f"the image {IMAGE} is not on the cluster (docs/kubernetes/pipelines.md builds it), so nothing was run"
                )
            time.sleep(1)
        pytest.skip(f"a pod of {IMAGE} did not start within 90 s, so nothing was run")
    finally:
        cluster.kubectl("-n", cluster.namespace, "delete", "pod", name, "--wait=false")


@pytest.fixture(scope="session")
def sources() -> list[str]:
    """The options that name MovieLens 100K."""
    try:
        return [part for kind, path in movielens_100k().items() for part in (f"--{kind}", path)]
    except StoreError as error:
        pytest.skip(f"{error}: no run was tried")


@pytest.fixture(scope="session")
def submitted(image: str, endpoint: str, home: str, cluster: Any, sources: list[str], everloop: Everloop) -> Any:
    """`everloop submit --wait` of MovieLens 100K into a fresh home."""
    where = ("--home", home, "--endpoint", endpoint, "--namespace", cluster.namespace)
    return everloop("submit", *sources, *where, "--wait", "--json")


def test_the_image_on_the_cluster_holds_this_very_code(image: str) -> None:
    assert image == f"{VERSION} {source_digest()}", f"load {IMAGE} again: it was built from other code"


RACE = """
import sys, time
from components.recsys.store import open_store
store, start = open_store(sys.argv[1]), float(sys.argv[2])
time.sleep(max(0, start - time.time()))
print(sum(store.create(f"race/{number}", sys.argv[3].encode()) for number in range(30)))
"""


def test_of_several_writers_the_store_lets_exactly_one_create_a_key(home: str) -> None:
    start, url = str(time.time() + 3), home.replace("/home", "/race")
    command = [sys.executable, "-c", RACE, url, start]
    racers = [subprocess.Popen([*command, name], stdout=subprocess.PIPE, text=True) for name in "abc"]
    assert sum(int(racer.communicate(timeout=120)[0]) for racer in racers) == 30


def test_the_run_succeeds_step_by_step(submitted: Any) -> None:
    assert submitted.code == 0, submitted.err
    result = submitted.json
    assert result["created"]
    assert tuple(result["timings"]) == STEPS
    assert all(0 < seconds < result["seconds"] for seconds in result["timings"].values())
    print(f"\nseconds on the cluster: {result['seconds']:.0f} in all, {result['timings']}")


def test_verdict_metrics_and_digest_are_those_of_a_run_on_one_machine(
    submitted: Any, sources: list[str], everloop: Everloop, tmp_path: Path
) -> None:
    assert submitted.code == 0, submitted.err
    local = everloop("run", *sources, "--home", str(tmp_path / "home"), "--json")
    assert local.code == 0, local.err
    there, here = submitted.json, local.json
    assert (there["outcome"], there["chosen"], there["reasons"]) == (here["outcome"], here["chosen"], here["reasons"])
    figures = dict(_figures(there["candidates"]))
    assert figures.keys() == dict(_figures(here["candidates"])).keys()
    assert len(figures) > 100
    for name, value in _figures(here["candidates"]):
        assert math.isclose(figures[name], value, rel_tol=0, abs_tol=1e-9), name
    assert there["samples"] == here["samples"]
    assert there["release"] == here["release"], "the same data, settings and seed gave another digest"


def _figures(value: Any, name: str = "") -> Iterator[tuple[str, float]]:
    """(path, number) of every number inside."""
    if isinstance(value, dict):
        for key, part in value.items():
            yield from _figures(part, f"{name}/{key}")
    elif isinstance(value, int | float):
        yield name, float(value)


def test_ledger_release_and_report_lie_in_the_store(submitted: Any, home: str) -> None:
    assert submitted.code == 0, submitted.err
    result, place = submitted.json, Home(home)
    entries = Ledger(place).entries()
    assert [(entry.action, entry.release, entry.run) for entry in entries] == [
        ("promote", result["release"], result["run_id"])
    ]
    assert load(releases_of(place), result["release"]).model.name == result["chosen"]
    assert place.store.read(f"runs/{result['run_id']}/report.html").startswith(b"<!doctype html>")
    assert json.loads(place.store.read(f"submissions/{result['key']}.json"))["run"] == result["run_id"]


SHOWN = {  # beside what steps hand on: tables, figures, charts, a curve and the report
    "ingest": {"summary"},
    "validate": {"summary", "charts", "metrics"},
    "prepare": {"summary"},
    "train": {"metrics"},
    "evaluate": {"summary", "charts", "metrics"},
    "gate": {"summary", "curve"},
    "register": {"summary", "report", "metrics"},
}


def test_what_steps_show_lies_in_kubeflows_bucket(submitted: Any, cluster: Any, store_environment: Any) -> None:
    """Read from S3, with Kubeflow's own key, as its page does."""
    import boto3
    from botocore.exceptions import BotoCoreError, ClientError

    assert submitted.code == 0, submitted.err
    config = cluster.kubectl("-n", cluster.namespace, "get", "configmap", "kfp-launcher", "-o", "json")
    secret = cluster.kubectl("-n", cluster.namespace, "get", "secret", "mlpipeline-minio-artifact", "-o", "json")
    if config.returncode or secret.returncode:
        pytest.skip(
            f"no kfp-launcher or mlpipeline-minio-artifact in {cluster.namespace}: artifacts were not looked at"
        )
    bucket, _, prefix = json.loads(config.stdout)["data"]["defaultPipelineRoot"].partition("://")[2].partition("/")
    key, word = (
        base64.b64decode(json.loads(secret.stdout)["data"][name]).decode() for name in ("accesskey", "secretkey")
    )
    client = boto3.client(
        "s3",
        endpoint_url=store_environment.get("AWS_ENDPOINT_URL"),
        aws_access_key_id=key,
        aws_secret_access_key=word,
        region_name="us-east-1",
    )
    under = f"{prefix}/{NAME}/{submitted.json['run_id']}/"
    try:
        pages = client.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=under)
        objects = {entry["Key"]: entry["Size"] for page in pages for entry in page.get("Contents", ())}
        there: dict[str, set[str]] = {}
        for path in objects:
            step, *rest = path.removeprefix(under).split("/")
            there.setdefault(step, set()).add(rest[-1])
        for step, names in SHOWN.items():
            assert names <= there.get(step, set()), (step, there)
        charts = [path for path in objects if path.endswith("/charts")]
        for path in charts:
            page = client.get_object(Bucket=bucket, Key=path)["Body"].read().decode()
            assert page.startswith("<!doctype html>")
            assert "<svg" in page
        (curve,) = (path for path in objects if path.endswith("/curve"))
        points = json.loads(client.get_object(Bucket=bucket, Key=curve)["Body"].read())
        assert 0.5 < points["area"] < 1
        print(f"\n{len(objects)} artifacts, {sum(objects.values()) / 1e6:.1f} MB in s3://{bucket}/{under}")
    except (BotoCoreError, ClientError) as error:
        pytest.skip(f"Kubeflow's bucket {bucket} is not in the home's store ({error}): artifacts were not looked at")
    finally:
        client.close()


def test_submitting_the_same_again_makes_no_second_run(
    submitted: Any, endpoint: str, home: str, cluster: Any, sources: list[str], everloop: Everloop
) -> None:
    assert submitted.code == 0, submitted.err
    where = ("--home", home, "--endpoint", endpoint, "--namespace", cluster.namespace)
    again = everloop("submit", *sources, *where, "--json")
    assert again.code == 0, again.err
    first = submitted.json
    assert again.json == {"run_id": first["run_id"], "name": first["name"], "key": first["key"], "created": False}
    kubeflow = Kubeflow(endpoint, namespace=cluster.namespace)
    assert len(kubeflow.runs_named(first["name"], kubeflow.experiment("everloop"))) == 1
    assert len(Ledger(Home(home)).entries()) == 1


def test_a_batch_that_the_data_gate_stops_ends_with_its_sentence_and_exit_code_1(
    image: str, endpoint: str, home: str, cluster: Any, tmp_path: Path, everloop: Everloop
) -> None:
    events = tmp_path / "few.csv"
    events.write_text("user_id,item_id,timestamp\n" + "".join(f"u{n},i{n},{1700000000 + n}\n" for n in range(20)))
    where = ("--home", home.replace("/home", "/few"), "--endpoint", endpoint, "--namespace", cluster.namespace)
    stopped = everloop("submit", "--events", str(events), *where, "--wait", "--json")
    assert stopped.code == 1, stopped.err
    assert stopped.json["error"].startswith("validate: ")
    assert "min_events" in stopped.json["error"]
    assert Ledger(Home(home.replace("/home", "/few"))).entries() == []
