"""The metrics of the prediction log and of the export of events, made once each.

>>> measures = LogMeasures(registry)
>>> measures.dropped("dropped_spool", 3)
"""

from datetime import UTC, datetime

from prometheus_client import CollectorRegistry

from monitoring import metrics

SPOOLED = "spooled"
DROPPED = ("dropped_memory", "dropped_spool", "dropped_disk", "dropped_invalid")


class LogMeasures:
    """All outcomes exist from the start, so that a rate of drops is 0 and not absent."""

    def __init__(self, registry: CollectorRegistry) -> None:
        records = metrics.LOG_RECORDS.on(registry)
        uploads = metrics.LOG_UPLOADS.on(registry)
        self.records = {outcome: records.labels(outcome) for outcome in (SPOOLED, *DROPPED)}
        self.uploads = {outcome: uploads.labels(outcome) for outcome in ("ok", "known", "failed")}
        self.spool_bytes = metrics.LOG_SPOOL_BYTES.on(registry)
        self.uploaded = metrics.LOG_UPLOADED.on(registry)
        self.counts = dict.fromkeys(self.records, 0)

    def count(self, outcome: str, records: int = 1) -> None:
        self.records[outcome].inc(records)
        self.counts[outcome] += records

    def upload(self, outcome: str) -> None:
        """ok: put there now. known: it lay there already. failed: it waits for the next try."""
        self.uploads[outcome].inc()
        if outcome != "failed":
            self.uploaded.set(datetime.now(UTC).timestamp())


class ExportMeasures:
    """The export of accepted events into the home."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.exported = metrics.EVENTS_EXPORTED.on(registry)
        self.failed = metrics.EVENT_EXPORT_FAILED.on(registry)
        self.seen = metrics.EVENT_EXPORT_SEEN.on(registry)

    def complete(self) -> None:
        """The home has everything that was accepted."""
        self.seen.set(datetime.now(UTC).timestamp())
