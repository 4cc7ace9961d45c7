"""Feedback that no run has learnt from yet.

>>> new_segments(home)
['/data/.everloop/log/events/2026-11-24/gateway-1-3f2a...-000000000001-000000000812.jsonl.gz']

A segment is new until a batch that holds it has passed the data gate; one that a stopped or interrupted run took is new
again. Each event is in the event table once whatever is read twice, since ingestion knows an event by its id.
"""

from components.recsys.home import Home
from components.recsys.intake import batches, pending
from components.recsys.predictions import EVENTS


def new_segments(home: Home) -> list[str]:
    """URLs, the oldest day first."""
    waiting = set(pending.batches_of(home))
    taken = {
        key for facts in batches.kept_facts(home) if facts["batch"] not in waiting for key in facts.get("segments", ())
    }
    return [f"{home.url}/{key}" for key in home.store.list(EVENTS) if key.endswith(".jsonl.gz") and key not in taken]
