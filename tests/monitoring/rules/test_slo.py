"""How fast error budgets burn: each alert fires, is silent just below and on too little data, and resolves."""

import pytest

from monitoring import metrics as m
from monitoring.promql.lexer import milliseconds
from monitoring.rules.trial import Case, cases, counter, s

AGE = s(m.MONITOR_DATA_AGE, kind="events")
OK, BAD = s(m.REQUESTS, job="gateway", code="200"), s(m.REQUESTS, job="gateway", code="500")
QUICK = s(f"{m.GATEWAY_SECONDS}_bucket", variant="champion", le="0.05")
COUNT = s(f"{m.GATEWAY_SECONDS}_count", variant="champion")


def every_nth(nth: int, looks: int, after: int) -> str:
    """The newest event is too old at every nth look, then at none."""
    return (
        " ".join(["60"] * (nth - 1) + [f"{7 * 3600}"])
        + " "
        + " ".join(f"60x{nth - 2} {7 * 3600}" for _ in range(looks // nth - 1))
        + f" 60x{after}"
    )


# window: burn rate, looks every, moments that fire, silent before / after
BURNS = {
    "1h": (14.4, "1m", "70m 119m", "1m / 130m"),
    "6h": (6.0, "5m", "8h 11h", "5m / 13h"),
    "3d": (1.0, "30m", "80h 90h", "30m / 100h"),
}
MANY = 100_000  # requests a look; every share of it is whole, for a counter that loses a millionth is a reset
FRESHNESS = {"1h": (5, 8), "6h": (7, 20), "3d": (12, 150)}  # too old at every nth look: more than it may, less


def burns(window: str) -> list[Case]:
    rate, every, fires, silent = BURNS[window]
    looks = milliseconds(fires.split()[-1]) // milliseconds(every) + 1
    few = 0.5 if window == "3d" else 1  # requests a look: the long window holds less than 100
    when = {"window": window, "every": every, "fires": fires, "silent": silent}

    def errors(pace: float, share: float) -> dict[str, str]:
        return {
            OK: counter((round(pace * (1 - share), 1), looks), (pace, looks)),
            BAD: counter((round(pace * share, 1), looks), (0, looks)),
        }

    def slow(pace: float, share: float) -> dict[str, str]:
        return {QUICK: counter((round(pace * (1 - share), 1), looks), (pace, looks)), COUNT: counter((pace, 2 * looks))}

    often, seldom = FRESHNESS[window]
    return [
        *cases(
            "AvailabilityBudgetBurns",
            errors(MANY, 0.00105 * rate),
            errors(MANY, 0.00095 * rate),
            errors(few, 1),
            **when,
        ),
        *cases("LatencyBudgetBurns", slow(MANY, 0.0105 * rate), slow(MANY, 0.0095 * rate), slow(few, 1), **when),
        *cases(
            "FreshnessBudgetBurns",
            {AGE: every_nth(often, looks, looks)},
            {AGE: every_nth(seldom, looks, looks)},
            {AGE: f"_x{2 * looks}"},
            **when,
        ),
    ]


CASES = [case for window in BURNS for case in burns(window)]


@pytest.mark.parametrize("case", CASES, ids=str)
def test_the_built_in_evaluator_does_as_the_table_says(case, check):
    check.case(case)


def test_promtool_finds_the_same_alerts_with_the_same_labels_and_words(check, tmp_path):
    check.promtool(CASES, tmp_path)


def test_every_alert_has_every_kind_of_case(check):
    check.complete(CASES, "everloop-slo")
