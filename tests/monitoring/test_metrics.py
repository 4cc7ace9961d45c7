import re
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry, Counter

from monitoring import metrics

LABELS = {
    "endpoint",
    "code",
    "model",
    "release",
    "variant",
    "feature",
    "reason",
    "outcome",
    "operation",
    "kind",
    "guard",
}


def test_every_metric_is_listed_once():
    defined = [value for value in vars(metrics).values() if isinstance(value, metrics.Metric)]
    assert {metric.name for metric in defined} == {metric.name for metric in metrics.ALL}
    assert len({metric.name for metric in metrics.ALL}) == len(metrics.ALL)


@pytest.mark.parametrize("metric", metrics.ALL, ids=lambda metric: metric.name)
def test_names_follow_the_rules(metric):
    assert re.fullmatch(r"everloop_[a-z_]+", metric.name)
    assert metric.help.endswith(".")
    assert set(metric.labels) <= LABELS  # bounded: never a user, an item or a request
    assert (metric.kind is Counter) == metric.name.endswith("_total")
    assert not re.search(r"_(ms|milliseconds|kb|mb)(_|$)", metric.name)


def test_two_servers_in_one_process_do_not_share_counts():
    first, second = CollectorRegistry(), CollectorRegistry()
    metrics.SWAPS.on(first).inc()
    metrics.SWAPS.on(second)
    assert first.get_sample_value("everloop_release_swaps_total") == 1
    assert second.get_sample_value("everloop_release_swaps_total") == 0


def test_no_other_module_names_a_metric():
    root = Path(__file__).parents[2]
    for package in ("components", "pipelines", "serving", "monitoring"):
        for file in (root / package).rglob("*.py"):
            if file.name != "metrics.py":
                assert not re.search(
                    r"""["']everloop_[a-z]+_[a-z_]*(total|seconds|bytes|info)["']""", file.read_text()
                ), file
