"""A healthy loop whose measuring is broken: gaps, NaN, restarts. Nobody is woken and nothing is trained for that."""

import math
import random
import re

import pytest

from monitoring.dashboards.story import story
from monitoring.promql.parser import parse
from monitoring.promql.series import NAME, labels_of
from monitoring.promql.watch import Evaluator
from monitoring.rules.render import render_rules

END = 1_764_000_000.0
MOST_GAP = 8  # scrapes of 30 s: four minutes, less than Prometheus's lookback


def healthy():
    """Half an hour in which all is well: labels to samples."""
    found = {}
    for name, samples in story(END, hours=0.5).items():
        node = parse(name.replace("{}", ""))
        if node.name != "ALERTS" and len(samples) > 2 * MOST_GAP:
            found[labels_of({NAME: node.name, **{m.name: m.value for m in node.matchers}})] = samples
    return found


@pytest.fixture(scope="module")
def series():
    return healthy()


def fired(series):
    watch = Evaluator(render_rules())
    moments = sorted({moment for samples in series.values() for moment, _ in samples})
    by_moment = {}
    for labels, samples in series.items():
        for moment, value in samples:
            by_moment.setdefault(moment, []).append((labels, value))
    names = set()
    for moment in moments:
        for labels, value in by_moment[moment]:
            watch.store.add(labels, round(moment * 1000), value)
        names |= {alert.name for alert in watch.evaluate(moment) if alert.firing}
        assert not watch.faults
    return names


def broken(series, seed: int):
    """Each metric of each part by itself: a gap, some NaN, or, for counters, a new beginning. The buckets of a histogram
    come in one scrape and so fail together."""
    found = {}
    for labels, samples in series.items():
        name, pairs = dict(labels)[NAME], dict(labels)
        draw = random.Random(f"{seed} {re.sub('_(bucket|count|sum)$', '', name)} {pairs.get('instance')}")
        kept = list(samples)
        at, length = draw.randrange(1, len(kept) - MOST_GAP), draw.randint(1, MOST_GAP)
        fault = draw.choice(("gap", "nan", "restart", "none"))
        counter = name.endswith(("_total", "_bucket", "_count", "_sum"))
        if fault == "gap":
            kept = kept[:at] + kept[at + length :]
        elif fault == "nan" and not counter:
            kept[at : at + length] = [(moment, math.nan) for moment, _ in kept[at : at + length]]
        elif fault == "restart" and counter:
            kept = kept[:at] + [(moment, value - kept[at][1]) for moment, value in kept[at:]]
        found[labels] = kept
    return found


def test_a_healthy_loop_fires_nothing(series):
    assert fired(series) == set()


@pytest.mark.parametrize("seed", range(6))
def test_broken_measuring_of_a_healthy_loop_fires_nothing(series, seed):
    assert fired(broken(series, seed)) == set()


def test_but_silence_of_everything_does(series):
    """The end of all series is told by those that watch for absence, not taken for health."""
    cut = {labels: [sample for sample in samples if sample[0] <= END - 900] for labels, samples in series.items()}
    beat = labels_of({NAME: "up", "job": "other"})  # somebody else goes on
    cut[beat] = [(END - 1800 + 30 * index, 1.0) for index in range(61)]
    assert fired(cut) >= {"MonitorBlind", "ControllerDown", "RolloutEngineStuck", "GatewayDown"}
