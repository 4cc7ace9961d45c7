"""A fresh gateway exposes what may go wrong at 0, for both groups, so that the first failure is seen as a growth."""

import re
from pathlib import Path

import serving.gateway
from serving.gateway.measures import FAILURES, FALLBACKS, GROUPS, SHADOWS, Measures


def test_every_failure_of_a_fresh_gateway_is_there_at_zero():
    text = Measures().exposition().decode()
    for group in GROUPS:
        for reason in FAILURES:
            assert f'everloop_gateway_variant_failed_total{{reason="{reason}",variant="{group}"}} 0.0' in text
        for reason in FALLBACKS:
            assert f'everloop_gateway_fallback_total{{reason="{reason}",variant="{group}"}} 0.0' in text
        for name in ("everloop_gateway_short_lists_total", "everloop_gateway_explored_total"):
            assert f'{name}{{variant="{group}"}} 0.0' in text
    for outcome in SHADOWS:
        assert f'everloop_shadow_lists_total{{outcome="{outcome}"}} 0.0' in text
    for outcome in ("accepted", "duplicate", "refused"):
        assert f'everloop_events_total{{outcome="{outcome}"}} 0.0' in text
    assert "everloop_gateway_lists_total{" not in text  # of releases, which are not known before they answer


def test_no_failure_that_is_raised_somewhere_is_missing():
    code = "\n".join(file.read_text() for file in Path(serving.gateway.__file__).parent.glob("*.py"))
    assert set(re.findall(r'Failed\("(\w+)"', code)) == set(FAILURES)
