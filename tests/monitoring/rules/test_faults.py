"""A healthy loop whose measuring is broken: gaps, NaN, restarts. Nobody is woken and nothing is trained for that."""

import math
import random
import re

import pytest

from monitoring.dashboards.story import story
from monitoring.metrics import RETRAIN_LAST
from monitoring.promql.parser import parse
from monitoring.promql.scraping import parsed
from monitoring.promql.series import NAME, labels_of
from monitoring.promql.watch import Evaluator
from monitoring.rules.render import render_rules
from serving.measures import Measures

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


def exposed(measures, **labels):
    """What a predictor exposes, as a scrape stores it."""
    return parsed(measures.exposition().decode(), {"job": "predictor", **labels})


@pytest.mark.parametrize("led_days", [1, 100])
def test_a_predictor_that_comes_leads_and_is_retired_wakes_nobody(series, led_days):
    """As the engine's file names them: the candidate comes at 10 minutes and leads from 18 on, the champion of before is
    kept for a while and gone at 25, an old former one is gone at 20."""
    watch, before, names = Evaluator(render_rules()), set(), set()
    begin = END - 1800
    parts = {name: Measures() for name in ("old", "champion", "candidate")}
    parts["old"].release_since.set(begin - 200 * 86_400)
    parts["champion"].release_since.set(begin - led_days * 86_400)
    parts["candidate"].release_since.set(begin + 600)
    for step in range(61):
        moment, minute = begin + 30 * step, step / 2
        for labels, samples in series.items():
            value = next((value for at, value in samples if at == moment), None)
            mine = dict(labels).get("job") == "predictor" or dict(labels)[NAME] == str(RETRAIN_LAST)
            if value is not None and not mine:
                watch.store.add(labels, round(moment * 1000), value)
        roles = {"old": "former"} if minute < 20 else {}
        roles["champion"] = "champion" if minute < 18 else "former"
        if minute >= 10:
            roles["candidate"] = "candidate" if minute < 18 else "champion"
        if minute >= 25:
            del roles["champion"]
        now = {}
        for name, variant in roles.items():
            parts[name].answered("predict", 200, 0.002)
            now |= exposed(parts[name], instance=name, variant=variant)
            now |= {labels_of({NAME: "up", "job": "predictor", "instance": name, "variant": variant}): 1.0}
        for labels in before - now.keys():
            watch.store.add(labels, round(moment * 1000), None)
        for labels, value in now.items():
            watch.store.add(labels, round(moment * 1000), value)
        before = set(now)
        firing = {alert.name for alert in watch.evaluate(moment) if alert.firing}
        names |= firing
        assert not watch.faults
    # Without a training that is known of, a champion of 100 days is stale until another leads.
    assert names == ({"ModelStale"} if led_days == 100 else set())
    assert not firing


def test_but_silence_of_everything_does(series):
    """The end of all series is told by those that watch for absence, not taken for health."""
    cut = {labels: [sample for sample in samples if sample[0] <= END - 900] for labels, samples in series.items()}
    beat = labels_of({NAME: "up", "job": "other"})  # somebody else goes on
    cut[beat] = [(END - 1800 + 30 * index, 1.0) for index in range(61)]
    assert fired(cut) >= {"MonitorBlind", "ControllerDown", "RolloutEngineStuck", "GatewayDown"}
