"""Why a model is trained again: each alert fires, is silent just below and on too little data, and resolves."""

import pytest

from monitoring import metrics as m
from monitoring.rules.trial import FAULT, Case, again, cases, s

DETECTED, EVENTS = s(m.DRIFT_DETECTED, kind="data", feature="cabin"), s(m.DRIFT_EVENTS, kind="data")
CLICKS, OTHERS = (s(m.CLICK_RATE, variant="champion", release=release) for release in ("a", "b"))
DROPPED = s(m.CLICK_RATE_DROPPED)


CASES = [
    *cases(
        "DriftDetected",
        {DETECTED: "0x4 1x15 0x20", EVENTS: "500x40"},
        below={DETECTED: "0x4 0.99x15 0x20"},
        little={EVENTS: "499x40"},
        fires="10m 20m",
        silent="4m 9m / 21m 30m",
    ),
    Case("DriftDetected", FAULT, {DETECTED: again("NaN", 30), EVENTS: "500x30"}, "", "10m 20m"),
    Case(
        "DriftDetected", FAULT, {DETECTED: "1x9 _x2 1x20", EVENTS: "500x30"}, "8m 11m 20m", ""
    ),  # a gap of two scrapes
    Case("DriftDetected", FAULT, {DETECTED: "1x9 stale _x20", EVENTS: "500x30"}, "8m", "11m"),
    *cases(
        "QualityDropped",
        {CLICKS: "0.079x40", DROPPED: "0x4 1x15 0x20"},
        below={DROPPED: "0x40"},
        little={DROPPED: again("NaN", 40)},
        fires="10m 20m",
        silent="4m 9m / 21m 30m",
    ),
    Case("QualityDropped", FAULT, {CLICKS: "0.079x20", OTHERS: again("NaN", 20), DROPPED: "1x20"}, "10m", ""),
    Case("QualityDropped", FAULT, {CLICKS: "0.079x9 _x2 0.079x20", DROPPED: "1x9 _x2 1x20"}, "8m 11m 20m", ""),
    *cases(
        "ModelStale",
        {s(m.RETRAIN_LAST): "1x124 2678400x20"},
        below={s(m.RETRAIN_LAST): "1x40 864000x103"},
        little={s(m.RETRAIN_LAST): "0x144"},  # never yet, and not known since when the release serves
        fires="732h",
        silent="720h / 756h",
        every="6h",
    ),
    Case("ModelStale", FAULT, {s(m.RETRAIN_LAST): "0x144", s(m.RELEASE_SINCE): "1x144"}, "732h", "714h", "6h"),
    Case("ModelStale", FAULT, {s(m.RETRAIN_LAST): "2160000x144", s(m.RELEASE_SINCE): "1x144"}, "", "732h", "6h"),
    Case(  # who led before and is kept warm makes nobody stale
        "ModelStale",
        FAULT,
        {s(m.RELEASE_SINCE, variant="former"): "1x144", s(m.RELEASE_SINCE, variant="champion"): "2160000x144"},
        "",
        "732h",
        "6h",
    ),
    *cases(
        "DataQualityFailed",
        {s(m.DATA_QUALITY_FAILED): "0x4 1x10 0x10"},
        below={s(m.DATA_QUALITY_FAILED): "0.5x25"},
        little={s(m.DATA_QUALITY_FAILED): "_x25"},
        fires="5m 15m",
        silent="4m / 16m",
    ),
]


@pytest.mark.parametrize("case", CASES, ids=str)
def test_the_built_in_evaluator_does_as_the_table_says(case, check):
    check.case(case)


def test_promtool_finds_the_same_alerts_with_the_same_labels_and_words(check, tmp_path):
    check.promtool(CASES, tmp_path)


def test_every_alert_has_every_kind_of_case(check):
    check.complete(CASES, "everloop-triggers")
