"""A fresh monitor exposes its looks and what it passed over at 0."""

from monitoring.watching.exporting import Measures


def test_looks_and_broken_segments_of_a_fresh_monitor_are_there_at_zero():
    text = Measures().exposition().decode()
    for outcome in ("ok", "failed"):
        assert f'everloop_monitor_looks_total{{outcome="{outcome}"}} 0.0' in text
    assert 'everloop_monitor_broken_total{kind="segments"} 0.0' in text
    assert "everloop_drift_detected{" not in text  # no data must not look like no drift
