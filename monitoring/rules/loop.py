"""Faults of the loop itself: paused, failing, refusing, taking back.

>>> [rule.name for rule in loop().rules]
['RetrainPaused', 'BreakerOpen', ...]
"""

from monitoring.metrics import RETRAIN_PAUSED, RETRAIN_RUNS, ROLLOUTS, WEBHOOKS
from monitoring.rules.rule import Alert, Group, gained


def loop() -> Group:
    return Group(
        "everloop-loop",
        (
            Alert(
                "RetrainPaused",
                f'max by (reason) ({RETRAIN_PAUSED}{{reason!="breaker"}}) == 1',
                for_="1h",
                severity="ticket",
                console="controller",
                dashboard="loop",
                summary="Retraining has been paused for an hour ({{ $labels.reason }}).",
                description="Nothing is trained until somebody resumes. Was it forgotten?",
            ),
            Alert(
                "BreakerOpen",
                f'max({RETRAIN_PAUSED}{{reason="breaker"}}) == 1',
                severity="page",
                console="controller",
                dashboard="loop",
                summary="The circuit breaker is open: several runs failed in a row.",
                description="Nothing is trained until somebody has found out why and resumes.",
            ),
            Alert(
                "RetrainFailing",
                gained(f'{RETRAIN_RUNS}{{outcome="failed"}}', "1d") + " > 1.5",
                severity="ticket",
                console="controller",
                dashboard="loop",
                summary="Runs failed {{ $value | humanize }} times in a day.",
                description="The champion serves on and grows old.",
            ),
            Alert(
                "WebhookFailing",
                gained(f'{WEBHOOKS}{{outcome!="accepted"}}', "15m") + " > 0",
                for_="1m",
                severity="ticket",
                dashboard="loop",
                summary="The controller does not take webhook calls.",
                description="A wrong token or body is dropped by Alertmanager at once; a store that is down is tried again.",
            ),
            Alert(
                "RolloutAborted",
                gained(f'{ROLLOUTS}{{outcome="aborted"}}', "1h", by="reason") + " > 0",
                severity="ticket",
                console="rollout",
                dashboard="loop",
                summary="A rollout was aborted ({{ $labels.reason }}).",
                description="The champion serves everybody again. The ledger holds the figures that decided.",
            ),
        ),
    )
