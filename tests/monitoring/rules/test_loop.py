"""Faults of the loop itself: each alert fires, is silent just below and on too little data, and resolves."""

import pytest

from monitoring import metrics as m
from monitoring.rules.trial import cases, s

PAUSED, BREAKER = s(m.RETRAIN_PAUSED, reason="person"), s(m.RETRAIN_PAUSED, reason="breaker")
RUNS, HOOKS = s(m.RETRAIN_RUNS, outcome="failed"), s(m.WEBHOOKS, outcome="unauthorized")
ABORTED = s(m.ROLLOUTS, outcome="aborted", reason="clicks")


CASES = [
    *cases(
        "RetrainPaused",
        {PAUSED: "0x4 1x70 0x20"},
        below={PAUSED: "0x4 0.9x70 0x20"},
        little={PAUSED: "0x4 1x58 0x40"},
        fires="66m 74m",
        silent="4m 64m / 76m",
    ),
    *cases(
        "BreakerOpen",
        {BREAKER: "0x4 1x10 0x20"},
        below={BREAKER: "0x40", PAUSED: "1x40"},
        little={BREAKER: "_x40"},
        fires="5m 15m",
        silent="4m / 16m",
    ),
    *cases(
        "RetrainFailing",
        {RUNS: "0x4 1x4 2x60"},
        below={RUNS: "0x8 1x60"},
        little={RUNS: "_x8 1x60"},
        fires="12h 20h",
        silent="4h 8h / 36h",
        every="1h",
    ),
    *cases(
        "WebhookFailing",
        {HOOKS: "0x4 1x40", s(m.WEBHOOKS, outcome="accepted"): "0+1x60"},
        below={HOOKS: "0x60"},
        little={HOOKS: "_x60"},
        fires="7m 15m",
        silent="4m 5m / 22m",
    ),
    *cases(
        "RolloutAborted",
        {ABORTED: "_x69 1x90", s("up"): "1x160"},
        below={ABORTED: "0x160"},
        little={ABORTED: "_x160"},
        fires="70m 128m",
        silent="68m / 130m 140m",
    ),
]


@pytest.mark.parametrize("case", CASES, ids=str)
def test_the_built_in_evaluator_does_as_the_table_says(case, check):
    check.case(case)


def test_promtool_finds_the_same_alerts_with_the_same_labels_and_words(check, tmp_path):
    check.promtool(CASES, tmp_path)


def test_every_alert_has_every_kind_of_case(check):
    check.complete(CASES, "everloop-loop")
