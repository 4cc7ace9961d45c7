"""What KUBECONFIG and KUBEFLOW_ENDPOINT point at, as far as it is there; a sentence says what was skipped without it.

KUBECONFIG          the cluster (and KUBECTL, where `kubectl` is not on the path)
KUBEFLOW_ENDPOINT   http://HOST:8888, or service/NAME, which is then forwarded; service/ml-pipeline when not set
KUBEFLOW_NAMESPACE  where runs live (default kubeflow)
AWS_ENDPOINT_URL    the home's store as this machine reaches it; when not set, the service that the Secret
                    everloop-store names is forwarded, and the Secret's keys are used
EVERLOOP_TEST_BUCKET  a bucket for the tests (default everloop-test, made when missing)
"""

import base64
import contextlib
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from pipelines.kubernetes import STORE_KEYS, STORE_SECRET
from tests.answers import Answer

Kubectl = Callable[..., "subprocess.CompletedProcess[str]"]


@dataclass
class Cluster:
    """A cluster that answers."""

    kubectl: Kubectl
    namespace: str
    forwards: contextlib.ExitStack = field(default_factory=contextlib.ExitStack)

    def forward(self, service: str, port: int, namespace: str) -> str:
        """http://127.0.0.1:PORT of a Service, until the tests end."""
        return self.forwards.enter_context(_forwarded(service, port, namespace))


@pytest.fixture(scope="session")
def cluster() -> Iterator[Cluster]:
    if not os.environ.get("KUBECONFIG"):
        pytest.skip("KUBECONFIG is not set: no cluster was tried")
    program = os.environ.get("KUBECTL") or shutil.which("kubectl")
    if not program:
        pytest.skip("kubectl is neither on the path nor named by KUBECTL: no cluster was tried")
    namespace = os.environ.get("KUBEFLOW_NAMESPACE", "kubeflow")

    def kubectl(*arguments: str, stdin: str | None = None) -> "subprocess.CompletedProcess[str]":
        return subprocess.run(
            [program, *arguments], input=stdin, capture_output=True, text=True, timeout=120, check=False
        )

    answer = kubectl("get", "nodes", "--request-timeout=10s")
    if answer.returncode:
        pytest.skip(f"the cluster of KUBECONFIG does not answer: {answer.stderr.strip().splitlines()[-1]}")
    found = Cluster(kubectl, namespace)
    with found.forwards:
        yield found


@pytest.fixture(scope="session")
def endpoint(cluster: Cluster) -> str:
    """Kubeflow Pipelines' API, as this machine reaches it."""
    given = os.environ.get("KUBEFLOW_ENDPOINT", "service/ml-pipeline")
    if "://" in given:
        return given
    name = given.removeprefix("service/").removeprefix("svc/")
    if cluster.kubectl("-n", cluster.namespace, "get", "service", name).returncode:
        pytest.skip(f"no Service {name} in namespace {cluster.namespace}: Kubeflow Pipelines was not tried")
    return cluster.forward(name, 8888, cluster.namespace)


@pytest.fixture(scope="session")
def store_environment(cluster: Cluster) -> dict[str, str]:
    """The variables with which this machine reaches the home's store."""
    answer = cluster.kubectl("-n", cluster.namespace, "get", "secret", STORE_SECRET, "-o", "json")
    if answer.returncode:
        pytest.skip(
            f"no Secret {STORE_SECRET} in namespace {cluster.namespace} (docs/kubernetes/pipelines.md makes it): no store was tried"
        )
    secret = {name: base64.b64decode(value).decode() for name, value in json.loads(answer.stdout)["data"].items()}
    found = {name: secret[name] for name in STORE_KEYS if secret.get(name)}
    found |= {name: os.environ[name] for name in STORE_KEYS if os.environ.get(name)}
    if "AWS_ENDPOINT_URL" in os.environ or "AWS_ENDPOINT_URL" not in found:
        return found
    inside = urlsplit(found["AWS_ENDPOINT_URL"])
    name, _, rest = str(inside.hostname).partition(".")
    namespace = rest.split(".")[0] or cluster.namespace
    if not rest or cluster.kubectl("-n", namespace, "get", "service", name).returncode == 0:
        found["AWS_ENDPOINT_URL"] = cluster.forward(name, inside.port or 80, namespace)
    return found


@pytest.fixture(scope="session")
def home(store_environment: dict[str, str]) -> Iterator[str]:
    """A fresh home in the store; the environment of this process reaches it."""
    import boto3
    from botocore.exceptions import BotoCoreError, ClientError

    bucket = os.environ.get("EVERLOOP_TEST_BUCKET", "everloop-test")
    with pytest.MonkeyPatch.context() as patch:
        for name, value in store_environment.items():
            patch.setenv(name, value)
        client = boto3.client("s3", region_name=store_environment.get("AWS_REGION", "us-east-1"))
        try:
            with contextlib.suppress(client.exceptions.BucketAlreadyOwnedByYou, client.exceptions.BucketAlreadyExists):
                client.create_bucket(Bucket=bucket)
            client.head_bucket(Bucket=bucket)
        except (BotoCoreError, ClientError) as error:
            pytest.skip(f"the store cannot be used from here ({error}): no run was tried")
        finally:
            client.close()
        yield f"s3://{bucket}/{uuid.uuid4().hex[:12]}/home"


@pytest.fixture(scope="session")
def everloop() -> Callable[..., Answer]:
    """`everloop ARGUMENTS`, as people call it; progress goes on to the terminal's log."""

    def call(*arguments: str) -> Answer:
        command = [str(Path(sys.executable).parent / "everloop"), *arguments]
        done = subprocess.run(command, capture_output=True, text=True, timeout=1500, check=False)
        return Answer(done.returncode, done.stdout, done.stderr)

    return call


@contextlib.contextmanager
def _forwarded(service: str, port: int, namespace: str) -> Iterator[str]:
    program = os.environ.get("KUBECTL") or "kubectl"
    command = [program, "-n", namespace, "port-forward", f"service/{service}", f":{port}"]
    # It tells of each connection: into a file, for a pipe that nobody reads would be full after a thousand of them.
    with (
        tempfile.NamedTemporaryFile("w") as told,
        subprocess.Popen(command, stdout=told.file, stderr=subprocess.STDOUT) as process,
    ):
        try:
            deadline, found = time.monotonic() + 30, None
            while found is None and process.poll() is None and time.monotonic() < deadline:
                time.sleep(0.05)
                found = re.search(r"127\.0\.0\.1:(\d+)", Path(told.name).read_text())
            if not found:
                pytest.skip(
                    f"service/{service} in {namespace} cannot be forwarded: {Path(told.name).read_text().strip()}"
                )
            yield f"http://127.0.0.1:{found[1]}"
        finally:
            process.terminate()
