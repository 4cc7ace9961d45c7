"""A fresh log exposes every outcome at 0."""

from prometheus_client import CollectorRegistry, generate_latest

from serving.predictions.measures import DROPPED, SPOOLED, ExportMeasures, LogMeasures


def test_every_outcome_of_a_fresh_log_is_there_at_zero():
    registry = CollectorRegistry()
    LogMeasures(registry)
    ExportMeasures(registry)
    text = generate_latest(registry).decode()
    for outcome in (SPOOLED, *DROPPED):
        assert f'everloop_log_records_total{{outcome="{outcome}"}} 0.0' in text
    for outcome in ("ok", "known", "failed"):
        assert f'everloop_log_uploads_total{{outcome="{outcome}"}} 0.0' in text
    for name in ("everloop_events_exported_total", "everloop_event_export_failed_total"):
        assert f"\n{name} 0.0" in text
