"""A fresh server exposes what may happen to it at 0, so that the first time is seen as a growth."""

import re
from pathlib import Path

import serving
from serving.measures import CUT_OFF, EVENTS, FALLBACKS, HISTORY, Measures


def test_every_reason_of_a_fresh_predictor_is_there_at_zero():
    text = Measures().exposition().decode()
    for name, label, values in (
        ("everloop_fallback_total", "reason", FALLBACKS),
        ("everloop_events_total", "outcome", EVENTS),
        ("everloop_history_errors_total", "operation", HISTORY),
        ("everloop_connections_cut_off_total", "reason", CUT_OFF),
    ):
        for value in values:
            assert f'{name}{{{label}="{value}"}} 0.0' in text


def test_no_reason_that_is_counted_somewhere_is_missing():
    code = "\n".join(file.read_text() for file in Path(serving.__file__).parent.rglob("*.py"))
    assert set(re.findall(r'complain\("(\w+)"|history_errors\.labels\(operation="(\w+)"', code)) == {
        ("append", ""), ("read", ""), ("", "seed"),
    }  # fmt: skip
    assert set(HISTORY) == {"append", "read", "seed"}
    cut = set(re.findall(r'\.cut_off\(\d+, "(\w+)"', code)) | set(re.findall(r'cut_off\.labels\(reason="(\w+)"', code))
    assert cut == set(CUT_OFF)
    assert set(re.findall(r'events\.labels\(outcome="(\w+)"', code)) == set(EVENTS)
