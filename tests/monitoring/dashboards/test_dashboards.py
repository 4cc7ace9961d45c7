"""Dashboards as Grafana reads them, and every query of every panel put to a real Prometheus."""

import json
import re

import pytest
import yaml

from monitoring.dashboards.backfill import prometheus_over
from monitoring.dashboards.preview import draw
from monitoring.dashboards.render import dashboards, write_monitoring
from monitoring.dashboards.story import story
from monitoring.dashboards.units import spelled
from monitoring.metrics import ALL
from monitoring.rules.render import alerts, groups
from monitoring.rules.rule import Record

END = 1_764_000_000.0
SERIES = {
    name: {*metric.labels, "job", "instance", "le"}
    for metric in ALL
    for name in (metric.name, *(metric.name + end for end in ("_bucket", "_count", "_sum") if metric.buckets))
}
RECORDED = {rule.name for group in groups() for rule in group.rules if isinstance(rule, Record)}
PANELS = [
    pytest.param(panel, id=f"{dashboard.name}-{panel.title}")
    for dashboard in dashboards()
    for panel in dashboard.panels()
]


@pytest.fixture(scope="module")
def prometheus():
    with prometheus_over(story(END)) as running:
        yield running


@pytest.mark.parametrize("panel", PANELS)
def test_every_query_of_a_panel_gives_series_on_a_real_prometheus(panel, prometheus):
    for expr, legend in panel.queries.items():
        expr = expr.replace("$__rate_interval", "2m")
        assert "$" not in expr
        found = prometheus.query_range(expr, END - 6 * 3600, END, 60)
        assert any(value != "NaN" for series in found for _, value in series["values"]), expr
        for label in re.findall(r"\{\{(\w+)\}\}", legend):
            assert any(label in series["metric"] for series in found), (expr, label)


@pytest.mark.parametrize("panel", PANELS)
def test_panels_read_only_metrics_that_exist_and_say_what_they_show(panel):
    assert panel.description.endswith(".")
    for expr in panel.queries:
        assert set(re.findall(r"\beverloop[a-z_:]+", re.sub(r'"[^"]*"', '""', expr))) <= SERIES.keys() | RECORDED


def test_every_metric_is_on_a_dashboard_and_in_the_story():
    asked = " ".join(expr for dashboard in dashboards() for panel in dashboard.panels() for expr in panel.queries)
    told = {name.split("{")[0] for name in story(END, hours=0.1)}
    for metric in ALL:
        assert metric.name in asked, metric.name
        assert metric.name in told or f"{metric.name}_count" in told, metric.name


def test_the_story_has_the_labels_that_the_metrics_have():
    for name in story(END, hours=0.1):
        metric, _, labels = name.partition("{")
        if metric in SERIES:
            assert set(re.findall(r"(\w+)=", labels)) <= SERIES[metric], name


@pytest.mark.parametrize("dashboard", dashboards(), ids=lambda dashboard: dashboard.name)
def test_json_is_as_grafana_wants_it(dashboard):
    value = json.loads(json.dumps(dashboard.json()))
    assert (value["schemaVersion"], value["id"], value["uid"]) == (42, None, f"everloop-{dashboard.name}")
    assert [variable["type"] for variable in value["templating"]["list"]] == ["datasource"]
    panels = value["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    taken = set()
    for panel in panels:
        at = panel["gridPos"]
        cells = {(at["x"] + x, at["y"] + y) for x in range(at["w"]) for y in range(at["h"])}
        assert at["x"] + at["w"] <= 24
        assert not cells & taken, panel["title"]
        taken |= cells
        assert all(target["datasource"]["uid"] == "${datasource}" for target in panel.get("targets", ()))


def test_every_alert_names_a_dashboard_that_exists():
    assert {f"everloop-{alert.dashboard}" for alert in alerts()} == {dashboard.uid for dashboard in dashboards()}


def test_the_chart_gets_the_rules_and_a_file_for_each_dashboard(tmp_path):
    written = {path.relative_to(tmp_path).as_posix(): path.read_text() for path in write_monitoring(tmp_path)}
    assert written.keys() == {
        "rules.yaml",
        "routes.yaml",
        *(f"dashboards/{dashboard.name}.json" for dashboard in dashboards()),
    }
    assert [json.loads(written[f"dashboards/{one.name}.json"])["uid"] for one in dashboards()] == [
        one.uid for one in dashboards()
    ]
    names = {rule.get("alert") for group in yaml.safe_load(written["rules.yaml"])["groups"] for rule in group["rules"]}
    assert names - {None} == {alert.name for alert in alerts()}


def test_a_preview_shows_every_panel(prometheus):
    dashboard = dashboards()[2]
    figure = draw(dashboard, prometheus, END)
    texts = {text.get_text() for text in figure.texts}
    assert {panel.title for panel in dashboard.panels()} <= texts
    drawn = [panel for panel in dashboard.panels() if panel.kind != "stat"]
    assert len(figure.axes) == len(drawn)
    assert all(axes.lines or axes.patches for axes in figure.axes)


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [
        (0.0035, "s", "3.5 ms"),
        (7200, "s", "2 h"),
        (0.987, "percentunit", "98.7 %"),
        (1536, "bytes", "1.5 KiB"),
        (26.24, "reqps", "26.2 req/s"),
        (float("nan"), "s", "no value"),
    ],
)
def test_units(value, unit, text):
    assert spelled(value, unit) == text
