"""Targets from a file: a new one is scraped at the next look, a retired one vanishes and is not down."""

import json

import pytest
from prometheus_client import CollectorRegistry, Counter, start_http_server

from monitoring.promql.discovery import Discovery, Target
from monitoring.promql.watch import Evaluator
from serving.rollout.targets import TargetsFile, targets_path

RULES = """
groups:
  - name: g
    rules:
      - {alert: Down, expr: up == 0, labels: {severity: page}}
      - {alert: Refused, expr: "sum(increase(refused_total[1m])) > 0", labels: {severity: page}}
"""
CHAMPION, CANDIDATE = "a" * 64, "b" * 64


class Predictor:
    """A process that counts refusals and lists of a variant, as it calls itself."""

    def __init__(self):
        registry = CollectorRegistry()
        self.refused = Counter("refused", "r.", registry=registry)
        self.lists = Counter("lists", "l.", ("variant",), registry=registry)
        self.lists.labels("champion").inc()
        self.server, self.thread = start_http_server(0, "127.0.0.1", registry=registry)
        self.address = f"127.0.0.1:{self.server.server_port}"
        self.running = True

    def stop(self):
        if self.running:
            self.running = False
            self.server.shutdown()
            self.thread.join()
            self.server.server_close()


@pytest.fixture
def predictors():
    made = Predictor(), Predictor()
    yield made
    for one in made:
        one.stop()


@pytest.fixture
def file(tmp_path):
    return TargetsFile(targets_path(tmp_path))


def told(file, champion, candidate=None):
    """The engine's own writer, with these predictors answering."""
    answering = [(CHAMPION, champion)] + ([(CANDIDATE, candidate)] if candidate else [])
    predictors = [{"release": d[:12], "state": "ready", "url": f"http://{one.address}"} for d, one in answering]
    file.write(
        {"champion": CHAMPION, "candidate": CANDIDATE, "rollout": "r", "state": "step", "predictors": predictors}
    )


def names(fired):
    return [alert.name for alert in fired if alert.firing]


def test_a_new_predictor_is_scraped_and_a_retired_one_is_gone_without_an_alert(file, predictors):
    first, second = predictors
    found, watch = Discovery(file.path), Evaluator(RULES)
    assert watch.scrape({}, now=0, found=found.look()) == {}  # no file yet
    told(file, first)
    assert watch.scrape({}, now=10, found=found.look()) == {f"http://{first.address}/metrics": ""}
    told(file, first, second)
    watch.scrape({}, now=20, found=found.look())
    up = {tuple(value for _, value in labels): value for labels, value in watch.query("up", now=20).items()}
    assert up == {
        ("up", first.address, "predictor", "champion"): 1.0,
        ("up", second.address, "predictor", "candidate"): 1.0,
    }
    second.refused.inc()
    watch.scrape({}, now=30, found=found.look())
    assert names(watch.evaluate(now=30)) == ["Refused"]  # what a laptop did not hear of

    told(file, first)
    second.stop()
    watch.scrape({}, now=40, found=found.look())
    assert list(watch.query('up{job="predictor"}', now=40).values()) == [1.0]
    assert len(watch.query("refused_total", now=40)) == 1
    assert "Down" not in names(watch.evaluate(now=40))
    assert not watch.faults.get(f"http://{second.address}/metrics")


def test_one_that_dies_without_being_retired_is_down(file, predictors):
    first, _ = predictors
    told(file, first)
    found, watch = Discovery(file.path), Evaluator(RULES)
    first.stop()
    watch.scrape({}, now=10, found=found.look())
    assert names(watch.evaluate(now=10)) == ["Down"]
    file.write({"champion": "", "rollout": "", "predictors": []})
    watch.scrape({}, now=20, found=found.look())
    assert names(watch.evaluate(now=20)) == []
    assert watch.faults == {}


def test_a_candidate_that_leads_now_is_no_second_target(file, predictors):
    first, _ = predictors
    found, watch = Discovery(file.path), Evaluator(RULES)
    told(file, first)
    watch.scrape({}, now=10, found=found.look())
    file.path.write_text(file.path.read_text().replace("champion", "former"))
    watch.scrape({}, now=20, found=found.look())
    assert [dict(labels)["variant"] for labels in watch.query("up", now=20)] == ["former"]


def test_a_label_that_a_series_has_already_is_kept_under_another_name(file, predictors):
    told(file, predictors[1], predictors[0])
    watch = Evaluator(RULES)
    watch.scrape({}, now=10, found=Discovery(file.path).look())
    (labels,) = watch.query('lists_total{variant="candidate"}', now=10)
    assert dict(labels)["exported_variant"] == "champion"


@pytest.mark.parametrize(
    "text",
    ["", "[{", "{}", "3", "null", '[{"labels": {}}]', '[{"targets": 3}]', "[1]", '[{"targets": ["x"], "labels": 3}]'],
)
def test_a_file_that_cannot_be_read_changes_nothing(tmp_path, text):
    path = tmp_path / "targets.json"
    path.write_text(json.dumps([{"targets": ["127.0.0.1:1"], "labels": {"variant": "champion"}}]))
    found = Discovery(path)
    expected = (Target("http://127.0.0.1:1/metrics", (("job", "predictor"), ("variant", "champion"))),)
    assert found.look() == expected
    path.write_text(text)
    assert found.look() == expected
    path.write_bytes(b"\xff")
    found.look()
    assert "no list of targets" in found.fault
    path.unlink()
    assert (found.look(), found.fault) == ((), "")
