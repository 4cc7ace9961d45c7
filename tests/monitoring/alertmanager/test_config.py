"""The configuration files are taken by the real programs, and alerts go from rule to webhook through them."""

import contextlib
import json
import socket
import subprocess
import time
import urllib.parse
import urllib.request

import pytest
import yaml
from prometheus_client import CollectorRegistry, start_http_server

from monitoring.alertmanager.config import alertmanager_config, prometheus_config
from monitoring.alertmanager.routes import CONTROLLER, INHIBITIONS, PAGER, receivers
from monitoring.metrics import DATA_QUALITY_FAILED, REFUSED
from monitoring.promql.states import FiredAlert, fingerprint
from monitoring.promql.webhook import payload
from monitoring.rules.render import alerts, render_rules
from serving.rollout.targets import TargetsFile, targets_path

SCALE = 0.002  # group_wait 60 ms


@pytest.mark.parametrize("scale", [1.0, SCALE])
@pytest.mark.parametrize("pager", ["", "http://127.0.0.1:9/page"])
@pytest.mark.parametrize("token", [None, "token"])
def test_amtool_takes_the_configuration(scale, pager, token, binary, tmp_path):
    (tmp_path / "am.yml").write_text(
        alertmanager_config("http://127.0.0.1:9/alerts", pager, token and str(tmp_path / token), scale)
    )
    done = subprocess.run(
        [binary("amtool"), "check-config", tmp_path / "am.yml"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


def test_promtool_takes_the_configuration(promtool, tmp_path):
    (tmp_path / "rules.yml").write_text(render_rules())
    targets = {"gateway": "http://127.0.0.1:8000/metrics", "monitor": "http://127.0.0.1:8091/metrics"}
    followed = {"predictor": targets_path(tmp_path)}  # not there yet
    text = prometheus_config(targets, tmp_path / "rules.yml", "127.0.0.1:9093", followed=followed)
    (tmp_path / "prometheus.yml").write_text(text)
    assert "SUCCESS" in promtool("check", "config", tmp_path / "prometheus.yml")
    assert {job["job_name"] for job in yaml.safe_load(text)["scrape_configs"]} == {*targets, "predictor"}


def test_amtool_sends_every_alert_where_our_own_routes_do(binary, tmp_path):
    (tmp_path / "am.yml").write_text(alertmanager_config("http://127.0.0.1:9/a", "http://127.0.0.1:9/p", None))
    for alert in alerts():
        labels = [f"{name}={value}" for name, value in {"alertname": alert.name, **alert.all_labels()}.items()]
        command = [binary("amtool"), "config", "routes", "test", f"--config.file={tmp_path / 'am.yml'}", *labels]
        said = subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
        mine = receivers({"alertname": alert.name, **alert.all_labels()})
        assert said == (",".join(mine) or "nobody"), alert.name


def test_who_is_told():
    asking = {alert.name for alert in alerts() if CONTROLLER in receivers(alert.all_labels())}
    assert asking == {"DriftDetected", "QualityDropped", "ModelStale", "DataQualityFailed"}
    assert all((PAGER in receivers(alert.all_labels())) == (alert.severity == "page") for alert in alerts())


def test_inhibitions_name_alerts_that_exist():
    names = {alert.name for alert in alerts()}
    assert {name for rule in INHIBITIONS for name in (rule.source, *rule.targets)} <= names


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


@contextlib.contextmanager
def program(command: list[str], url: str, folder):
    with (folder / "log").open("a") as log, subprocess.Popen(command, stdout=log, stderr=log) as process:
        try:
            end = time.monotonic() + 20
            while True:
                with contextlib.suppress(OSError), urllib.request.urlopen(f"{url}/-/ready", timeout=1):
                    break
                assert process.poll() is None, (folder / "log").read_text()
                assert time.monotonic() < end
                time.sleep(0.05)
            yield
        finally:
            process.kill()


@contextlib.contextmanager
def alertmanager(binary, folder, config: str):
    port = free_port()
    (folder / "am.yml").write_text(config)
    command = [
        binary("alertmanager"),
        f"--config.file={folder / 'am.yml'}",
        f"--storage.path={folder / 'am'}",
        f"--web.listen-address=127.0.0.1:{port}",
        "--cluster.listen-address=",
    ]
    with program(command, f"http://127.0.0.1:{port}", folder):
        yield f"127.0.0.1:{port}"


def post(address: str, labels: dict[str, str]) -> None:
    body = json.dumps([{"labels": labels, "annotations": {"summary": "s"}}]).encode()
    request = urllib.request.Request(
        f"http://{address}/api/v2/alerts", body, {"Content-Type": "application/json"}, method="POST"
    )
    with urllib.request.urlopen(request, timeout=5):
        pass


def test_the_real_alertmanager_posts_what_our_sender_posts(binary, receiver, tmp_path):
    (tmp_path / "token").write_text("secret\n")
    drift = {"alertname": "DriftDetected", "model": "everloop", "action": "retrain", "reason": "drift", "feature": "é"}
    config = alertmanager_config(f"{receiver.url}/alerts", "", str(tmp_path / "token"), SCALE)
    receiver.statuses = [503]  # tried again
    with alertmanager(binary, tmp_path, config) as address:
        post(address, drift)
        said = receiver.wait("/alerts", 2)[1]
    assert receiver.calls[1]["headers"]["Authorization"] == "Bearer secret"
    mine = payload("key", CONTROLLER, {}, [FiredAlert(drift, {"summary": "s"}, 1.0, 1.0)])
    assert said.keys() == mine.keys()
    assert said["alerts"][0].keys() == mine["alerts"][0].keys()
    for name in ("version", "status", "receiver", "commonLabels", "commonAnnotations", "truncatedAlerts"):
        assert said[name] == mine[name]
    assert said["alerts"][0]["fingerprint"] == fingerprint(drift)
    assert said["groupLabels"] == {"model": "everloop", "reason": "drift"}
    assert said["alerts"][0]["endsAt"] == mine["alerts"][0]["endsAt"]


def asked(url: str, query: str) -> dict[str, float]:
    """What Prometheus says to a query: instance and variant to value."""
    address = f"{url}/api/v1/query?{urllib.parse.urlencode({'query': query})}"
    with urllib.request.urlopen(address, timeout=5) as answer:
        found = json.load(answer)["data"]["result"]
    return {f"{one['metric']['instance']} {one['metric']['variant']}": float(one["value"][1]) for one in found}


def until(what, seconds: float = 20.0) -> None:
    end = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < end, "it never came"
        time.sleep(0.1)


def test_prometheus_follows_the_predictors_that_the_engine_names(binary, tmp_path):
    """A new one is scraped without a reload; a retired one is no target any more, so nothing is said to be down."""
    registry = CollectorRegistry()
    REFUSED.on(registry)
    servers = [start_http_server(0, "127.0.0.1", registry=registry) for _ in range(2)]
    first, second = (f"127.0.0.1:{server.server_port}" for server, _ in servers)

    def predictor(digest: str, address: str) -> dict[str, str]:
        return {"release": digest, "state": "ready", "url": f"http://{address}"}

    file, facts = TargetsFile(targets_path(tmp_path)), {"rollout": "r", "state": "promoted", "candidate": "b" * 64}
    file.write({**facts, "champion": "a" * 64, "predictors": [predictor("a" * 12, first)]})
    (tmp_path / "rules.yml").write_text(render_rules(SCALE))
    text = prometheus_config({}, tmp_path / "rules.yml", "", SCALE, {"predictor": file.path})
    (tmp_path / "prometheus.yml").write_text(text)
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    command = [
        binary("prometheus"),
        f"--config.file={tmp_path / 'prometheus.yml'}",
        f"--storage.tsdb.path={tmp_path / 'data'}",
        f"--web.listen-address=127.0.0.1:{port}",
    ]
    up = 'up{job="predictor"}'
    try:
        with program(command, url, tmp_path):
            until(lambda: asked(url, up) == {f"{first} champion": 1.0})
            file.write({**facts, "champion": "b" * 64, "predictors": [predictor("b" * 12, second)]})
            server, thread = servers.pop(0)
            server.shutdown()
            thread.join()
            server.server_close()
            until(lambda: asked(url, up) == {f"{second} champion": 1.0})
            assert asked(url, str(REFUSED)) == {f"{second} champion": 0.0}
            assert asked(url, f"min_over_time({up}[1h])")[f"{second} champion"] == 1.0
    finally:
        for server, thread in servers:
            server.shutdown()
            thread.join()
            server.server_close()


def test_from_a_metric_to_the_controller_and_the_pager(binary, receiver, tmp_path):
    """Real Prometheus, real Alertmanager, our rules: bad data pages somebody and blocks training."""
    registry = CollectorRegistry()
    DATA_QUALITY_FAILED.on(registry).set(1)
    server, thread = start_http_server(0, "127.0.0.1", registry=registry)
    try:
        (tmp_path / "rules.yml").write_text(render_rules(SCALE))
        config = alertmanager_config(f"{receiver.url}/alerts", f"{receiver.url}/page", None, SCALE)
        with alertmanager(binary, tmp_path, config) as address:
            text = prometheus_config(
                {"controller": f"http://127.0.0.1:{server.server_port}/metrics"}, tmp_path / "rules.yml", address, SCALE
            )
            (tmp_path / "prometheus.yml").write_text(text)
            port = free_port()
            command = [
                binary("prometheus"),
                f"--config.file={tmp_path / 'prometheus.yml'}",
                f"--storage.tsdb.path={tmp_path / 'data'}",
                f"--web.listen-address=127.0.0.1:{port}",
            ]
            with program(command, f"http://127.0.0.1:{port}", tmp_path):
                (told, *_), (paged, *_) = receiver.wait("/alerts"), receiver.wait("/page")
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
    assert told["commonLabels"]["blocks"] == "retrain"
    assert told["commonLabels"]["alertname"] == "DataQualityFailed"
    assert "DataQualityFailed" in {body["groupLabels"]["alertname"] for body in [paged, *receiver.bodies("/page")]}
