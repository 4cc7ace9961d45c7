"""Service level objectives, and alerts on how fast their error budgets burn.

>>> [objective.target for objective in OBJECTIVES]
[0.999, 0.99, 0.99]

Multi-window, multi-burn-rate (Beyer et al., The Site Reliability Workbook, O'Reilly 2018, chapter 5): a long window, so
that little is no alarm, and a twelfth of it, so that the alarm ends when the burning does. A burn rate of 1 spends the
budget in exactly 30 days.
"""

from dataclasses import dataclass
from typing import Literal

from monitoring.metrics import GATEWAY_SECONDS, MONITOR_DATA_AGE, REQUESTS
from monitoring.rules.rule import Alert, Group, Record

FRESH = "everloop:events_fresh:bool"
FRESH_SECONDS = 6 * 3600  # a retrained model should know this morning's clicks
FAST = "0.05"  # seconds; a bucket's bound, as a share of lists below it is exact only there
LEAST = 100  # requests in the long window: of fewer, one failure is already 1 %
GATEWAY = 'job="gateway"'  # predictors count the same metric; what they fail is not yet what people saw


@dataclass(frozen=True)
class Window:
    """burn: times the rate that spends the budget in 30 days; 14.4 spends 2 % of it in an hour."""

    long: str
    short: str
    burn: float
    severity: Literal["page", "ticket"]
    for_: str


WINDOWS = (
    Window("1h", "5m", 14.4, "page", "2m"),
    Window("6h", "30m", 6.0, "page", "15m"),
    Window("3d", "6h", 1.0, "ticket", "1h"),
)


@dataclass(frozen=True)
class Objective:
    """bad: the share of bad ones over {window}. counted: what must be at least LEAST over {window}; empty: no such floor."""

    name: str
    target: float
    what: str
    bad: str
    counted: str

    def share(self, window: str) -> str:
        return self.bad.replace("{window}", window)

    @property
    def alert(self) -> str:
        return f"{self.name}BudgetBurns"


OBJECTIVES = (
    Objective(
        "Availability",
        0.999,
        "requests are answered without a server error",
        f'sum(rate({REQUESTS}{{{GATEWAY},code=~"5.."}}[{{window}}])) / sum(rate({REQUESTS}{{{GATEWAY}}}[{{window}}]))',
        f"sum(increase({REQUESTS}{{{GATEWAY}}}[{{window}}]))",
    ),
    Objective(
        "Latency",
        0.99,
        f"lists are given within {float(FAST) * 1000:g} ms",
        f'1 - sum(rate({GATEWAY_SECONDS}_bucket{{le="{FAST}"}}[{{window}}]))'
        f" / sum(rate({GATEWAY_SECONDS}_count[{{window}}]))",
        f"sum(increase({GATEWAY_SECONDS}_count[{{window}}]))",
    ),
    Objective(
        "Freshness",
        0.99,
        f"the time the newest event is younger than {FRESH_SECONDS // 3600} hours",
        f"1 - avg_over_time({FRESH}[{{window}}])",
        "",
    ),
)


def slo() -> Group:
    fresh = Record(FRESH, f'max({MONITOR_DATA_AGE}{{kind="events"}}) < bool {FRESH_SECONDS}')
    return Group("everloop-slo", (fresh, *(_burns(o, window) for o in OBJECTIVES for window in WINDOWS)))


def _burns(objective: Objective, window: Window) -> Alert:
    limit = f"{window.burn * (1 - objective.target):.4g}"
    floor = objective.counted.replace("{window}", window.long)
    return Alert(
        objective.alert,
        f"{objective.share(window.long)} > {limit} and {objective.share(window.short)} > {limit}"
        + (f" and {floor} >= {LEAST}" if floor else ""),
        for_=window.for_,
        severity=window.severity,
        dashboard="serving",
        labels={"slo": objective.name.lower(), "window": window.long},
        summary=f"{objective.name}: {{{{ $value | humanizePercentage }}}} bad over {window.long}.",
        description=f"The objective is that {100 * objective.target:g} % of {objective.what};"
        f" its error budget of 30 days burns {window.burn:g} times as fast as it may.",
    )
