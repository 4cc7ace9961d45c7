"""What the loop does by itself: alerts, runs, rollouts, and what holds it back.

>>> loop().uid
'everloop-loop'
"""

from monitoring.dashboards.panel import Dashboard, Panel
from monitoring.metrics import (
    CONTROLLER_SEEN,
    DATA_QUALITY_FAILED,
    MONITOR_SEEN,
    PREDICTOR_RESTARTS,
    PREDICTORS,
    RETRAIN_ACTIVE,
    RETRAIN_LAST,
    RETRAIN_PAUSED,
    RETRAIN_RUNS,
    ROLLOUT_ACTIVE,
    ROLLOUT_GUARD,
    ROLLOUT_OBSERVED,
    ROLLOUT_SEEN,
    ROLLOUT_SHARE,
    ROLLOUTS,
    ROUTES_READ,
    TRIGGERS,
    WEBHOOKS,
)
from monitoring.rules.rule import MODEL
from monitoring.rules.slo import OBJECTIVES, WINDOWS
from monitoring.rules.triggers import STALE_DAYS

NO_YES = {0: "no", 1: "yes"}


def loop() -> Dashboard:
    fresh = OBJECTIVES[2]
    return Dashboard(
        "loop",
        "Everloop: the loop",
        "What the loop does by itself: alerts, training runs, gradual releases; and what holds it back.",
        {
            "At a glance": (
                Panel(
                    "Alerts firing",
                    "Alerts of Everloop that fire now.",
                    {f'count(ALERTS{{model="{MODEL}",alertstate="firing"}}) or vector(0)': "alerts"},
                    kind="stat",
                    limit=1,
                ),
                Panel(
                    "Runs under way",
                    "Training runs that the controller follows.",
                    {f"max({RETRAIN_ACTIVE})": "runs"},
                    kind="stat",
                ),
                Panel(
                    "Last success",
                    f"Time since the last run that succeeded. After {STALE_DAYS} days one is asked for.",
                    {f"time() - max({RETRAIN_LAST} > 0)": "ago"},
                    "s",
                    "stat",
                    limit=STALE_DAYS * 86_400,
                ),
                Panel(
                    "Candidate's share",
                    "Share of people that the rollout asks for.",
                    {f"max({ROLLOUT_SHARE})": "asked"},
                    "percentunit",
                    "stat",
                ),
                Panel(
                    "Data gate",
                    "Whether the newest data passes the data gate. Nothing is trained while it does not.",
                    {f"max({DATA_QUALITY_FAILED})": "data"},
                    kind="stat",
                    limit=1,
                    words={0: "passes", 1: "failed"},
                ),
                Panel(
                    "Held back",
                    "Whether retraining is paused, by a person or by the circuit breaker.",
                    {f"max by (reason) ({RETRAIN_PAUSED})": "{{reason}}"},
                    kind="stat",
                    limit=1,
                    words=NO_YES,
                ),
            ),
            "Alerts": (
                Panel(
                    "Firing",
                    "Alerts that fire, over time. Pending ones are not shown.",
                    {f'max by (alertname) (ALERTS{{model="{MODEL}",alertstate="firing"}})': "{{alertname}}"},
                    kind="state-timeline",
                    limit=1,
                    highest=1,
                    words={1: "fires"},
                ),
                Panel(
                    "Error budgets",
                    "Burn rate over 6 hours of each objective: 1 spends the budget in exactly 30 days.",
                    {f"({o.share('6h')}) / {1 - o.target:.4g}": o.name.lower() for o in OBJECTIVES},
                    limit=WINDOWS[1].burn,
                ),
            ),
            "Retraining": (
                Panel(
                    "Webhook calls",
                    "Calls of Alertmanager to the controller, by answer, in 15 minutes.",
                    {f"sum by (outcome) (increase({WEBHOOKS}[15m]))": "{{outcome}}"},
                ),
                Panel(
                    "Decisions",
                    "Alerts that asked for a run, by decision and reason, in an hour.",
                    {f"sum by (outcome, reason) (increase({TRIGGERS}[1h]))": "{{outcome}}: {{reason}}"},
                ),
                Panel(
                    "Runs that ended",
                    "By outcome, in a day. rejected: the new model did not beat the champion at the gate.",
                    {f"sum by (outcome) (increase({RETRAIN_RUNS}[1d]))": "{{outcome}}"},
                ),
            ),
            "Gradual releases": (
                Panel(
                    "Share of the candidate",
                    "Asked for by the rollout, and seen in the lists.",
                    {f"max({ROLLOUT_SHARE})": "asked", f"max({ROLLOUT_OBSERVED})": "seen"},
                    "percentunit",
                    highest=1,
                ),
                Panel(
                    "Guards",
                    "State of each guard. A broken one takes the candidate back.",
                    {f"max by (guard) ({ROLLOUT_GUARD})": "{{guard}}"},
                    kind="state-timeline",
                    limit=2,
                    highest=2,
                    words={0: "undecided", 1: "passes", 2: "broken"},
                ),
                Panel(
                    "Rollouts",
                    "Rollouts under way, and those that ended in a day by outcome and reason.",
                    {
                        f"max({ROLLOUT_ACTIVE})": "under way",
                        f"sum by (outcome, reason) (increase({ROLLOUTS}[1d]))": "{{outcome}} {{reason}}",
                    },
                ),
            ),
            "The parts": (
                Panel(
                    "Silence",
                    "Seconds since each part last did its turn.",
                    {
                        f"time() - max({seen})": name
                        for name, seen in (
                            ("gateway", ROUTES_READ),
                            ("rollout", ROLLOUT_SEEN),
                            ("monitor", MONITOR_SEEN),
                            ("controller", CONTROLLER_SEEN),
                        )
                    },
                    "s",
                    limit=120,
                ),
                Panel(
                    "Predictors",
                    "Predictor processes that answer, by group, and restarts in an hour.",
                    {
                        f"sum by (variant) ({PREDICTORS})": "{{variant}}",
                        f"sum(increase({PREDICTOR_RESTARTS}[1h]))": "restarted",
                    },
                ),
                Panel(
                    "Fresh data",
                    f"Share of the last hour in which the newest event was young enough; the objective is {fresh.target:.0%}.",
                    {f"1 - ({fresh.share('1h')})": "fresh"},
                    "percentunit",
                    highest=1,
                    limit=fresh.target,
                    bad_below=True,
                ),
            ),
        },
    )
