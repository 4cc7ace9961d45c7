from pathlib import Path

import pytest

from components.recsys.settings import Settings
from monitoring.metrics import ALL, RELEASE_SINCE
from monitoring.promql.parser import parse
from monitoring.promql.syntax import selectors
from monitoring.rules.render import alerts, groups, render_rules
from monitoring.rules.rule import Record, scaled
from monitoring.rules.trial import FIRES, Case, promtool_tests, tried

PROMETHEUS_ADDS = {"job", "instance", "le"}
SERIES = {
    name: {*metric.labels, *PROMETHEUS_ADDS}
    for metric in ALL
    for name in (metric.name, *(metric.name + end for end in ("_bucket", "_count", "_sum") if metric.buckets))
}
SERIES[RELEASE_SINCE.name].add("variant")  # of the target: the rollout engine says it in the file of its predictors
RECORDED = {rule.name: set() for group in groups() for rule in group.rules if isinstance(rule, Record)}


@pytest.mark.parametrize("rule", [rule for group in groups() for rule in group.rules], ids=lambda rule: rule.name)
def test_rules_read_only_metrics_and_labels_that_exist(rule):
    known = {**SERIES, **RECORDED, "up": {"job", "instance"}}
    for selector in selectors(parse(rule.expr)):
        assert selector.name in known
        assert {matcher.name for matcher in selector.matchers} <= known[selector.name]


def test_the_contract_with_the_controller():
    asking = [alert for alert in alerts() if alert.action == "retrain"]
    assert {alert.reason for alert in asking} == {"drift", "quality", "stale"}
    assert all(alert.reason for alert in asking)
    assert [alert.name for alert in alerts() if alert.blocks == "retrain"] == ["DataQualityFailed"]
    assert all(alert.all_labels()["model"] == "everloop" for alert in alerts())


@pytest.mark.parametrize("scale", [1.0, 0.1, 0.002])
def test_rules_are_good_at_every_scale(scale, promtool, tmp_path):
    (tmp_path / "rules.yaml").write_text(render_rules(scale))
    assert "SUCCESS" in promtool("check", "rules", tmp_path / "rules.yaml")


def test_scaling_shortens_ranges_and_offsets_but_no_threshold():
    assert scaled("time() - a > 86400 and rate(b[1h] offset 30m) > 3", 0.01) == (
        "time() - a > 86400 and rate(b[36s] offset 18s) > 3"
    )
    assert scaled("rate(b[5m])", 0.001) == "rate(b[10s])"  # two scrapes must fit


def test_thresholds_follow_the_settings():
    settings = Settings.model_validate({"drift": {"min_events": 77, "interval_seconds": 60.0}})
    (drifted, *_), (usual, *_) = alerts(settings), alerts()
    assert ">= 77" in drifted.expr
    assert ">= 77" not in usual.expr
    assert "> 300" in next(alert.expr for alert in alerts(settings) if alert.name == "MonitorBlind")  # five looks


def test_promtool_refuses_what_is_not_so(promtool, tmp_path):
    """The comparison of the tables can fail: a wrong expectation is found."""
    case = Case("DataQualityFailed", FIRES, {"everloop_data_quality_failed": "1x9"}, "5m")
    assert tried(case)[300_000]
    file = tmp_path / "wrong.test.yaml"
    file.write_text(promtool_tests([case], [{moment: [] for moment in tried(case)}], tmp_path))
    with pytest.raises(AssertionError, match=case.alert):
        promtool("test", "rules", file)


def test_the_alert_of_drift_links_to_the_report_on_the_console():
    page = (Path(__file__).parents[3] / "serving" / "console" / "page.html").read_text()
    for alert in alerts():
        if alert.console:
            assert f'id="{alert.console}"' in page
    settings = Settings.model_validate({"gateway": {"port": 9000}})
    assert "http://127.0.0.1:9000/#drift" in render_rules(settings=settings)
    assert "https://shop.example/#drift" in render_rules(console="https://shop.example")
