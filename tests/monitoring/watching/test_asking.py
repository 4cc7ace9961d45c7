"""What the monitor says makes the rules ask for a run, and nothing else does: the counting of the benchmark of false alarms."""

from benchmarks.drift.asking import Rules
from components.recsys.drift import Finding
from components.recsys.drift.quality import Quality
from components.recsys.settings import Settings

VARIANTS = [{"variant": "champion", "release": "r", "click_rate": 0.5, "lists": 900}]
STEADY = Finding("data", "organic.kind", False, 0.02, 900, None, None, None)
SEEN = Finding("data", "organic.class", True, 0.3, 900, 0.1, 0.0005, 0.02)
TOO_FEW = Finding("data", "organic.class", True, 0.3, 20, 0.1, 0.0005, 0.02)
WAITING = Finding("data", "lists.class", False, 0.0, 0, untested="the baseline is not over yet")


def quality(dropped: bool) -> Quality:
    return Quality(0.5, 900, 0.7, 900, 0, -0.28, -0.35, -0.2, dropped)


def test_nothing_is_asked_of_a_steady_world():
    rules = Rules(Settings())
    assert rules.asked([STEADY, WAITING], quality(False), VARIANTS) == {}
    assert rules.asked([STEADY], None, []) == {}
    assert rules.asked([], Quality(None, 0, None, 0, 12), []) == {}


def test_drift_and_fewer_clicks_ask_each_for_itself():
    rules = Rules(Settings())
    assert rules.asked([STEADY, SEEN], quality(False), VARIANTS) == {"drift": ("organic.class",)}
    assert rules.asked([STEADY], quality(True), VARIANTS) == {"quality": ("click rate",)}
    assert rules.asked([STEADY, SEEN], quality(True), VARIANTS) == {
        "drift": ("organic.class",),
        "quality": ("click rate",),
    }
    assert rules.asked([STEADY], quality(False), VARIANTS) == {}  # yesterday's alarm does not stick


def test_the_rule_asks_for_events_enough():
    assert Rules(Settings()).asked([TOO_FEW], quality(False), VARIANTS) == {}
