"""A fresh controller exposes every decision and every end of a run at 0, so that the first of each is seen."""

from components.recsys.errors import EverloopError, InputError, StoreError
from monitoring.controller.app import outcome_of
from monitoring.controller.guards import GUARDS
from monitoring.controller.measures import RUNS, WEBHOOKS, Measures


def test_every_decision_of_a_fresh_controller_is_there_at_zero():
    text = Measures().exposition().decode()
    for reason in GUARDS:
        assert f'everloop_triggers_total{{outcome="suppressed",reason="{reason}"}} 0.0' in text
    assert 'everloop_triggers_total{outcome="admitted",reason=""} 0.0' in text
    for outcome in RUNS:
        assert f'everloop_retrain_runs_total{{outcome="{outcome}"}} 0.0' in text
    for outcome in WEBHOOKS:
        assert f'everloop_webhooks_total{{outcome="{outcome}"}} 0.0' in text


def test_every_answer_of_the_webhook_is_among_them():
    errors = [InputError("x"), StoreError("x")]
    for status in (400, 401, 408, 413, 500, 503):
        error = EverloopError("x")
        error.status = status
        errors.append(error)
    assert {outcome_of(error) for error in errors} | {"accepted"} == set(WEBHOOKS)
