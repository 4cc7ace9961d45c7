"""Scraping over real HTTP, recorded series, `for`, faults of targets and of clocks, and bounded memory."""

import math

import pytest
import yaml
from prometheus_client import CollectorRegistry, Counter, Gauge, start_http_server

from monitoring.promql.series import SeriesStore, labels_of
from monitoring.promql.syntax import QueryError, Selector
from monitoring.promql.templates import check, filled
from monitoring.promql.watch import Evaluator


def rules(*entries):
    return yaml.safe_dump({"groups": [{"name": "g", "rules": list(entries)}]})


def alert(expr, name="Fires", held="0s", **more):
    return {"alert": name, "expr": expr, "for": held, "labels": {"severity": "page"}, **more}


@pytest.fixture
def part():
    """A process that exposes a gauge and a counter; and how to stop it."""
    registry = CollectorRegistry()
    gauge = Gauge("heat", "h.", ("room",), registry=registry)
    counter = Counter("clicks", "c.", registry=registry)
    server, thread = start_http_server(0, "127.0.0.1", registry=registry)
    stopped = []

    def stop():
        if not stopped:
            stopped.append(True)
            server.shutdown()
            thread.join()
            server.server_close()

    yield f"http://127.0.0.1:{server.server_port}/metrics", gauge, counter, stop
    stop()


def test_scraped_series_carry_job_and_instance(part):
    url, gauge, _, _ = part
    gauge.labels("kitchen").set(21)
    watch = Evaluator(rules(alert("heat > 20")))
    assert watch.scrape({"house": url}, now=100) == {"house": ""}
    (fired,) = watch.evaluate(now=100)
    assert fired.labels == {
        "alertname": "Fires",
        "severity": "page",
        "room": "kitchen",
        "job": "house",
        "instance": url.split("/")[2],
    }


def test_a_target_that_dies_ends_its_series_at_once(part):
    url, gauge, _, stop = part
    gauge.labels("kitchen").set(21)
    watch = Evaluator(rules(alert("absent(heat)"), alert("up == 0", "Down")))
    watch.scrape({"house": url}, now=100)
    assert watch.evaluate(now=100) == []
    stop()
    assert "does not answer" in watch.scrape({"house": url}, now=101)["house"]
    assert {fired.name for fired in watch.evaluate(now=101)} == {"Fires", "Down"}


def test_a_series_that_is_no_longer_exposed_ends_at_once(part):
    url, gauge, _, _ = part
    gauge.labels("kitchen").set(21)
    watch = Evaluator(rules())
    watch.scrape({"house": url}, now=100)
    gauge.remove("kitchen")
    watch.scrape({"house": url}, now=101)
    assert watch.query("heat", now=101) == {}
    assert watch.query("max_over_time(heat[1m])", now=101) != {}


def test_what_is_no_exposition_is_a_fault(receiver):
    watch = Evaluator(rules())
    assert "does not answer" in watch.scrape({"odd": f"{receiver.url}/x"}, now=1)["odd"]  # it takes POST only
    assert watch.query("up", now=1) == {labels_of({"__name__": "up", "job": "odd", "instance": receiver.url[7:]}): 0.0}


def test_an_alert_waits_fires_and_ends():
    watch = Evaluator(rules(alert("x > 1", held="10s")))
    for now, value in ((0, 2), (5, 2), (9.9, 2), (10, 2), (12, 0), (13, 2), (22, 2), (23, 2)):
        watch.store.add(labels_of({"__name__": "x"}), round(now * 1000), value)
    assert [[a.firing for a in watch.evaluate(now)] for now in (0, 5, 9.9)] == [[], [], []]
    (fired,) = watch.evaluate(10)
    assert (fired.firing, fired.starts) == (True, 10)
    (ended,) = watch.evaluate(12)
    assert (ended.firing, ended.starts, ended.ends) == (False, 10, 12)
    assert [len(watch.evaluate(now)) for now in (13, 22, 23)] == [0, 0, 1]


def test_a_pending_alert_that_ends_was_never_there():
    watch = Evaluator(rules(alert("x > 1", held="10s")))
    watch.store.add(labels_of({"__name__": "x"}), 0, 2.0)
    watch.store.add(labels_of({"__name__": "x"}), 5000, 0.0)
    assert watch.evaluate(0) + watch.evaluate(5) == []


def test_recorded_series_are_seen_by_the_rules_after_them():
    watch = Evaluator(rules({"record": "twice:x", "expr": "sum(x) * 2"}, alert("avg_over_time(twice:x[1m]) > 3")))
    watch.store.add(labels_of({"__name__": "x", "a": "b"}), 1000, 2.0)
    assert [fired.value for fired in watch.evaluate(1)] == [4.0]


def test_a_rule_that_fails_is_told_and_the_others_go_on():
    watch = Evaluator(rules(alert("x / on () y", "Bad"), alert("count(x) == 2", "Good")))
    for name in ("a", "b"):
        watch.store.add(labels_of({"__name__": "x", "l": name}), 1000, 1.0)
    watch.store.add(labels_of({"__name__": "y"}), 1000, 1.0)
    assert [fired.name for fired in watch.evaluate(1)] == ["Good"]
    assert "aggregate" in watch.faults["Bad"]


def test_a_clock_that_steps_back_neither_crashes_nor_invents():
    watch = Evaluator(rules(alert("increase(x[1m]) > 5")))
    for now, value in ((100, 0), (110, 1), (50, 2), (60, 3), (120, 4)):
        watch.store.add(labels_of({"__name__": "x"}), now * 1000, float(value))
    assert [watch.evaluate(now) for now in (110, 60, 120)] == [[], [], []]
    assert list(watch.query("increase(x[1m])", now=120).values()) == [pytest.approx(4.8, abs=1)]


def test_memory_is_bounded_by_the_longest_range():
    watch = Evaluator(rules(alert("rate(x[5m]) > 1e9")))
    for second in range(0, 20_000, 5):
        for label in ("a", "b"):
            watch.store.add(labels_of({"__name__": "x", "l": label}), second * 1000, float(second))
        watch.evaluate(second)
    assert len(watch.store) <= 2 * (300 / 5 + 2) * 1.5
    watch.evaluate(1e6)
    assert len(watch.store) == 0
    assert watch.store.names == {}


def test_more_past_than_asked_for_is_not_kept():
    store = SeriesStore(keep_ms=600_000)
    store.add(labels_of({"__name__": "x"}), 0, 1.0)
    store.forget(500_000)
    assert store.newest(Selector("x"), 200_000)
    store.forget(700_000)
    assert len(store) == 0


def test_rules_that_cannot_be_read_are_refused_at_the_start():
    for bad in (alert("rate(x)"), alert("x", annotations={"summary": "{{ range $x }}"}), alert("x{a=~'('}")):
        with pytest.raises(QueryError):
            Evaluator(rules(bad))


@pytest.mark.parametrize(
    ("template", "value", "text"),
    [
        ("{{ $value }}", 0.1, "0.1"),
        ("{{ $value | humanizePercentage }}", 0.12345, "12.35%"),
        ("{{ $value | humanizeDuration }}", 93_784, "1d 2h 3m 4s"),
        ("{{ $value | humanizeDuration }}", 0.25, "250ms"),
        ("{{ $value | humanize }}", 1_234_567, "1.235M"),
        ("{{ $value | humanize }}", math.nan, "NaN"),
        ("{{ $labels.room }}, {{$labels.none}}", 1, "kitchen, "),
    ],
)
def test_templates(template, value, text):
    check(template)
    assert filled(template, {"room": "kitchen"}, value) == text
