"""Submitting while Kubeflow, the store or the network fail: one run, or one sentence and none."""

from collections.abc import Iterator
from functools import cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

from components.recsys.errors import EverloopError, InputError, StoreError
from components.recsys.home import Home
from components.recsys.predictions import EVENTS, segment
from components.recsys.settings import Settings
from pipelines import submit as submitting
from pipelines.compile import compile_package
from pipelines.kubeflow import Kubeflow
from pipelines.submit import Submitted, submit

COMPILED = cache(compile_package)  # a second each time
RUNS = r"POST .*/v2beta1/runs"


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(submitting, "SETTLE_SECONDS", 0.0)
    monkeypatch.setattr(submitting, "compile_package", COMPILED)


@pytest.fixture
def home(s3_url: str) -> Home:
    place = Home(s3_url)
    place.store.create(f"{EVENTS}/2026-11-24/gateway-1.jsonl.gz", segment([b'{"event_id": "a"}']))
    return place


@pytest.fixture
def send(endpoint: str, home: Home) -> Any:
    def sent(**options: Any) -> Submitted:
        return submit(Kubeflow(endpoint), home, {"events": ["feedback"]}, Settings(), **options)

    return sent


@pytest.mark.parametrize("path", ["v2beta1/experiments", "v2beta1/pipelines", "upload_version", "v2beta1/runs"])
def test_whatever_answer_is_lost_what_was_made_is_found_and_made_once(fake: Any, send: Any, path: str) -> None:
    fake.faults.append((rf"POST .*/{path}", "lost"))
    assert send().created
    assert [len(made) for made in (fake.experiments, fake.pipelines, fake.versions, fake.runs)] == [1, 1, 1, 1]
    assert not fake.faults


@pytest.mark.parametrize("fault", ["dropped", "500", "503"])
@pytest.mark.parametrize("path", ["v2beta1/experiments", "v2beta1/pipelines", "upload_version", "v2beta1/runs"])
def test_what_was_not_made_is_an_error_and_submitting_again_makes_one_run(
    fake: Any, send: Any, path: str, fault: str
) -> None:
    fake.faults.append((rf"POST .*/{path}", fault))
    with pytest.raises(StoreError):
        send()
    assert fake.runs == []
    assert send().created
    assert len(fake.runs) == 1


@pytest.mark.parametrize("fault", ["429", "500", "502", "504", "dropped"])
def test_looking_is_tried_again_a_few_times(fake: Any, send: Any, fault: str) -> None:
    for path in ("healthz", "experiments", "pipelines/names/.*", "versions", "runs"):
        fake.faults += [(rf"GET .*/{path}", fault)] * 2
    assert send().created
    assert (len(fake.runs), fake.faults) == (1, [])


def test_a_run_that_is_refused_for_now_is_asked_for_again_and_made_once(fake: Any, send: Any) -> None:
    fake.faults += [(RUNS, "429"), (RUNS, "429")]
    assert send().created
    assert len(fake.runs) == 1


def test_too_many_requests_for_too_long_is_one_sentence(fake: Any, send: Any) -> None:
    fake.faults += [(RUNS, "429")] * 9
    with pytest.raises(StoreError, match=r"is asked too often .* try again in a minute"):
        send()
    assert fake.runs == []


def test_a_pipeline_that_another_made_in_between_is_taken(fake: Any, endpoint: str) -> None:
    kubeflow = Kubeflow(endpoint)
    first = kubeflow.pipeline("everloop-training")
    fake.faults.append((r"GET .*/pipelines/names/.*", "404"))
    assert kubeflow.pipeline("everloop-training") == first
    assert len(fake.pipelines) == 1


def test_feedback_makes_another_run_when_there_is_more_of_it_and_none_when_there_is_not(
    fake: Any, send: Any, home: Home
) -> None:
    first = send()
    assert send() == Submitted(first.run_id, first.name, first.key, created=False)
    home.store.create(f"{EVENTS}/2026-11-25/gateway-2.jsonl.gz", segment([b'{"event_id": "b"}']))
    assert send().run_id != first.run_id
    assert [run["runtime_config"]["parameters"]["sources"] for run in fake.runs] == [{"events": ["feedback"]}] * 2


def test_the_pods_of_a_run_get_the_service_account_asked_for_and_it_makes_no_other_run(fake: Any, send: Any) -> None:
    send(service_account="everloop-steps")
    assert not send(service_account="another").created
    assert [run["service_account"] for run in fake.runs] == ["everloop-steps"]


def test_in_a_pod_the_clusters_own_token_is_read_anew_each_time(
    fake: Any, endpoint: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KF_PIPELINES_SA_TOKEN_PATH", str(tmp_path / "token"))
    fake.token = "first"
    with pytest.raises(InputError, match=r"refuses access \(401\): set KUBEFLOW_TOKEN"):
        Kubeflow(endpoint)
    for token in ("first", "second"):
        fake.token = token
        (tmp_path / "token").write_text(f"{token}\n")
        Kubeflow(endpoint)


def test_a_bucket_that_is_not_there_is_one_sentence_and_no_run(
    fake: Any, endpoint: str, s3_url: str, tmp_path: Path
) -> None:
    (tmp_path / "clicks.csv").write_text("user_id,item_id,timestamp\nu,i,1\n")
    with pytest.raises(StoreError, match=r"^s3://no-such-bucket/home: the bucket does not exist"):
        submit(
            Kubeflow(endpoint), Home("s3://no-such-bucket/home"), {"events": [str(tmp_path / "clicks.csv")]}, Settings()
        )
    assert fake.runs == fake.pipelines == []


@pytest.fixture
def refusing(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A store that knows neither key nor signature."""

    class Handler(BaseHTTPRequestHandler):
        def serve(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length") or 0))
            body = b"<Error><Code>InvalidAccessKeyId</Code><Message>no such key</Message></Error>"
            self.send_response(403)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        do_GET = do_PUT = do_POST = serve

        def log_message(self, *_: Any) -> None:
            """Nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{server.server_port}")
        yield
        server.shutdown()
        thread.join()


@pytest.mark.usefixtures("s3_url", "refusing")
def test_a_wrong_key_is_one_sentence_and_no_run(fake: Any, endpoint: str, tmp_path: Path) -> None:
    (tmp_path / "clicks.csv").write_text("user_id,item_id,timestamp\nu,i,1\n")
    for sources in ({"events": [str(tmp_path / "clicks.csv")]}, {"events": ["feedback"]}):
        with pytest.raises(EverloopError, match=r"access denied \(InvalidAccessKeyId\).*check AWS_ACCESS_KEY_ID"):
            submit(Kubeflow(endpoint), Home("s3://bucket/home"), sources, Settings())
    assert fake.runs == fake.pipelines == []
