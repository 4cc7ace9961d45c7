"""Faults of what people get and of the log: each alert fires, is silent just below and on too little data, and resolves."""

import pytest

from monitoring import metrics as m
from monitoring.rules.trial import FAULT, Case, cases, s

LISTS, CANDIDATE = s(m.GATEWAY_LISTS, variant="champion"), s(m.GATEWAY_LISTS, variant="candidate")
FALLBACKS = s(m.GATEWAY_FALLBACKS, variant="champion", reason="no_predictor")
FAILED = s(m.GATEWAY_FAILED, variant="candidate", reason="timeout")
UPLOADED, SPOOL = s(m.LOG_UPLOADED, instance="g"), s(m.LOG_SPOOL_BYTES, instance="g")
DROPPED, ERRORS = s(m.LOG_RECORDS, outcome="dropped_spool"), s(m.HISTORY_ERRORS, operation="write")
EXPORTED, BROKEN = s(m.EVENT_EXPORT_SEEN, instance="g"), s(m.MONITOR_BROKEN, kind="segments")
GINI = s(m.EXPOSURE_GINI)


CASES = [
    *cases(
        "FallbackHigh",
        {FALLBACKS: "0+1x30 30x30", LISTS: "0+19x60"},
        below={FALLBACKS: "0+0.9x30 27x30"},
        little={FALLBACKS: "0+0.9x60", LISTS: "0+9.9x60"},
        fires="16m 30m",
        silent="4m 9m / 42m",
    ),
    Case(
        "FallbackHigh", FAULT, {FALLBACKS.replace("no_predictor", "no_history"): "0+9x30", LISTS: "0+19x30"}, "", "20m"
    ),
    Case("FallbackHigh", FAULT, {FALLBACKS: "0+2x15 0+2x30", LISTS: "0+19x15 0+19x30"}, "16m 20m 30m", "5m"),
    *cases(
        "CandidateFailing",
        {FAILED: "0x4 2+2x9 20x30", CANDIDATE: "0+100x40"},
        below={FAILED: "0x4 0.9+0.9x9 10x30"},
        little={FAILED: "0x4 0.9+0.9x9 10x30", CANDIDATE: "0+5x40"},
        fires="10m 14m",
        silent="4m / 21m 30m",
    ),
    # The first failure makes the series appear; in the first five minutes of a Prometheus it may be an old one.
    Case("CandidateFailing", FAULT, {FAILED: "_x1 6x30", CANDIDATE: "0+100x40", s("up"): "1x40"}, "", "2m 3m 4m 14m"),
    Case("CandidateFailing", FAULT, {FAILED: "_x4 6x30", CANDIDATE: "0+100x40", s("up"): "1x40"}, "6m 8m", "3m 4m 14m"),
    Case("CandidateFailing", FAULT, {FAILED: "500x9 0x20", CANDIDATE: "900+9x9 0+9x20"}, "", "9m 11m 14m"),  # a restart
    *cases(
        "ReleaseRefused",
        {s(m.REFUSED): "0x4 1x40"},
        below={s(m.REFUSED): "7x44"},
        little={s(m.REFUSED): "_x4 1 _x40"},
        fires="6m 15m",
        silent="4m / 22m",
    ),
    *cases(
        "HistoryFailing",
        {ERRORS: "0x4 1+1x14 15x20"},
        below={ERRORS: "0x4 1 2x40"},
        little={ERRORS: "0x4 1 _x30"},
        fires="11m 19m",
        silent="4m 6m / 27m",
    ),
    *cases(
        "LogDropping",
        {DROPPED: "0x4 5+5x9 50x20", s(m.LOG_RECORDS, outcome="spooled"): "0+50x40"},
        below={DROPPED: "50x40"},
        little={DROPPED: "_x4 50 _x40"},
        fires="5m 14m",
        silent="4m / 21m",
    ),
    Case(
        "LogDropping", FAULT, {DROPPED: "50x9 0x20"}, "", "9m 10m 12m 20m"
    ),  # a restart counts from zero and is no drop
    *cases(
        "LogNotUploading",
        {UPLOADED: "0+60x5 300x15 1320+60x20", SPOOL: "1000x40"},
        below={UPLOADED: "-600+60x40"},
        little={SPOOL: "0x40"},
        fires="17m 20m",
        silent="15m / 22m 30m",
    ),
    *cases(
        "EventsNotExported",
        {EXPORTED: "0+60x5 300x15 1320+60x20"},
        below={EXPORTED: "-600+60x40"},
        little={EXPORTED: "0+60x5 300x10 1020+60x30"},
        fires="17m 20m",
        silent="15m 16m / 22m 30m",
    ),
    *cases(
        "SegmentsBroken",
        {BROKEN: "0x4 2x90"},
        below={BROKEN: "2x90"},
        little={BROKEN: "_x4 2 _x90"},
        fires="6m 60m",
        silent="4m / 66m",
    ),
    *cases(
        "SpoolFilling",
        {SPOOL: "0x4 500000001x9 0x20"},
        below={SPOOL: "500000000x40"},
        little={SPOOL: "0x4 500000001 0x30"},
        fires="6m 14m",
        silent="4m 5m / 15m",
    ),
    *cases(
        "ExposureConcentrated",
        {GINI: "0.5x4 0.981x60 0.5x20", LISTS: "0+10x100"},
        below={GINI: "0.98x80"},
        little={LISTS: "0+1x80"},
        fires="42m 60m",
        silent="4m 34m / 67m",
    ),
    Case("ExposureConcentrated", FAULT, {s(m.EXPOSURE_COVERAGE): "0.019x60", LISTS: "0+10x60"}, "50m", "10m"),
]


@pytest.mark.parametrize("case", CASES, ids=str)
def test_the_built_in_evaluator_does_as_the_table_says(case, check):
    check.case(case)


def test_promtool_finds_the_same_alerts_with_the_same_labels_and_words(check, tmp_path):
    check.promtool(CASES, tmp_path)


def test_every_alert_has_every_kind_of_case(check):
    check.complete(CASES, "everloop-serving")
