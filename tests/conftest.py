"""What tests share: stores (a folder, and an S3 server that runs in this process), helm and kubectl, CRD schemas."""

import os
import threading
import uuid
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import boto3
import hypothesis
import pytest

from components.recsys.datasets import cache_folder

KEYS = {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test", "AWS_REGION": "us-east-1"}


# A machine that does other work makes a quick example slow now and then; pytest's own timeout still holds.
hypothesis.settings.register_profile("patient", deadline=None)
hypothesis.settings.load_profile("patient")


@pytest.fixture(scope="session")
def s3_endpoint() -> Iterator[str]:
    """moto on a free port. One request at a time: its put-if-absent looks, then puts, which a real S3 does at once."""
    from moto.server import DomainDispatcherApplication, create_backend_app
    from werkzeug.serving import WSGIRequestHandler, make_server

    class Quiet(WSGIRequestHandler):
        def log(self, *_: Any) -> None:
            """Nothing: requests are not what a test prints."""

    app, alone = DomainDispatcherApplication(create_backend_app), threading.Lock()

    def one_at_a_time(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        with alone:
            return list(app(environ, start_response))

    server = make_server("127.0.0.1", 0, one_at_a_time, threaded=True, request_handler=Quiet)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def s3_url(s3_endpoint: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """A fresh bucket as s3://BUCKET/home, the environment set so that everything finds it."""
    for name, value in {**KEYS, "AWS_ENDPOINT_URL": s3_endpoint}.items():
        monkeypatch.setenv(name, value)
    for name in ("AWS_SESSION_TOKEN", "AWS_PROFILE", "AWS_ENDPOINT_URL_S3"):
        monkeypatch.delenv(name, raising=False)
    bucket = f"test-{uuid.uuid4().hex[:12]}"
    client = boto3.client("s3", endpoint_url=s3_endpoint, region_name="us-east-1")
    client.create_bucket(Bucket=bucket)
    client.close()
    return f"s3://{bucket}/home"


@pytest.fixture(params=["folder", "s3"])
def store_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A place for a home: a folder, then a bucket."""
    return str(tmp_path / "home") if request.param == "folder" else str(request.getfixturevalue("s3_url"))


@pytest.fixture(scope="session")
def tool() -> Callable[[str], str]:
    """The path of one of helm3, helm4, kubectl (1.37) and kubectl132, which `make tools` brings."""

    def path_of(name: str) -> str:
        path = cache_folder() / "tools" / name
        if not os.access(path, os.X_OK):
            pytest.fail(f"{path} is missing; `make tools` brings it", pytrace=False)
        return str(path)

    return path_of


@pytest.fixture(scope="session")
def crds() -> Path:
    """The folder with the schemas of custom resources: $EVERLOOP_CRDS, or shared/crds beside the checkout."""
    folder = crds_folder()
    if not folder.is_dir():
        pytest.skip(f"no schemas of custom resources in {folder}; EVERLOOP_CRDS names another folder")
    return folder


def crds_folder() -> Path:
    return Path(os.environ.get("EVERLOOP_CRDS") or Path(__file__).parents[2] / "shared" / "crds")
