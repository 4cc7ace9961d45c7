"""What is not there: each alert fires, is silent just below and on too little data, and resolves."""

import pytest

from monitoring import metrics as m
from monitoring.rules.trial import FAULT, Case, again, cases, s

LISTS = s(m.GATEWAY_LISTS, variant="champion")
AGE, ROUTES = s(m.MONITOR_DATA_AGE, kind="events"), s(m.ROUTES_READ, instance="g")


SAWTOOTH = " ".join(f"{180 * beat}x2" for beat in range(11))  # a beat every three minutes


def silence(alert: str, metric: object, below: str) -> list[Case]:
    """A heartbeat that stops at 5 minutes and begins again at 20."""
    beats = "0+60x5 300x14 1200+60x15"
    return [
        *cases(
            alert,
            {s(metric): beats},
            below={s(metric): below},
            little={s(metric): "0+60x5 300x3 540+60x30"},
            fires="11m 19m",
            silent="4m 7m / 21m 30m",
        ),
        Case(alert, FAULT, {s(metric): "0+60x5 _x20"}, "14m", "4m"),  # it is gone altogether
        Case(alert, FAULT, {s(metric): "0+60x5 NaN NaN 480+60x10"}, "", "4m 6m 10m"),
    ]


CASES = [
    *cases(
        "NoLists",
        {LISTS: "0+10x10 100x29 100+10x20"},
        below={LISTS: "0+10x10 100x14 101x4 102x9 103+1x20"},
        little={LISTS: "0+10x10 100x17 100+10x40"},
        fires="30m 38m",
        silent="24m 29m / 42m 50m",
    ),
    Case("NoLists", FAULT, {LISTS: "0+10x10 _x30"}, "25m 35m", "10m"),
    Case("NoLists", FAULT, {LISTS: "0+10x10 0+10x30"}, "", "10m 15m 20m 30m"),  # the gateway was restarted
    *cases(
        "NoEvents",
        {AGE: "80000x4 86401x14 60x10"},
        below={AGE: "86400x30"},
        little={AGE: "80000x4 86401x8 60x20"},
        fires="15m 19m",
        silent="4m 14m / 20m 25m",
    ),
    Case("NoEvents", FAULT, {AGE: again("Inf", 20)}, "12m", "5m"),
    *silence("MonitorBlind", m.MONITOR_SEEN, below=SAWTOOTH),
    *silence(
        "ControllerDown",
        m.CONTROLLER_SEEN,
        below=SAWTOOTH,
    ),
    *silence(
        "RolloutEngineStuck",
        m.ROLLOUT_SEEN,
        below=SAWTOOTH,
    ),
    *cases(
        "GatewayDown",
        {ROUTES: "0+60x5 stale _x10 960+60x20"},
        below={ROUTES: "0+60x5 _x2 480+60x20"},
        little={ROUTES: "0+60x5 stale 420+60x30"},
        fires="8m 16m",
        silent="5m 6m / 18m",
    ),
    *cases(
        "RoutesStale",
        {ROUTES: "0+60x5 300x5 660+60x10"},
        below={ROUTES: "-60+60x30"},
        little={ROUTES: "0+60x5 300x1 480+60x20"},
        fires="8m 10m",
        silent="6m 7m / 12m 14m",
    ),
    *cases(
        "PredictorMissing",
        {s(m.PREDICTORS, variant="champion"): "1x4 0x5 1x10", s(m.PREDICTORS, variant="candidate"): "1x30"},
        below={s(m.PREDICTORS, variant="champion"): "1x20", s(m.PREDICTORS, variant="candidate"): "0x30"},
        little={s(m.PREDICTORS, variant="champion"): "1x4 0 1x20"},
        fires="7m 10m",
        silent="4m 5m / 11m",
    ),
]


@pytest.mark.parametrize("case", CASES, ids=str)
def test_the_built_in_evaluator_does_as_the_table_says(case, check):
    check.case(case)


def test_promtool_finds_the_same_alerts_with_the_same_labels_and_words(check, tmp_path):
    check.promtool(CASES, tmp_path)


def test_every_alert_has_every_kind_of_case(check):
    check.complete(CASES, "everloop-absence")
