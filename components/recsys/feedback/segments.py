"""Feedback that no run has learnt from yet.

>>> new_segments(home)
['/data/.everloop/log/events/2026-11-24/gateway-1-3f2a...-000000000001-000000000812.jsonl.gz']

A segment is new until a batch that holds it has passed the data gate; one that a stopped or interrupted run took is new
again. Each event is in the event table once whatever is read twice, since ingestion knows an event by its id.

>>> resolved(home, {"events": ["feedback"], "items": ["s3://shop/items.csv"]})
{'items': ['s3://shop/items.csv'], 'events': ['/data/.everloop/log/events/2026-11-24/gateway-1-...jsonl.gz']}

The word stands for the segments until the run itself begins: what arrived since somebody asked for it is learnt from too,
a schedule finds something else each time, and a day of segments would not fit into the parameter of a run.
"""

from collections.abc import Mapping, Sequence

from components.recsys.home import Home
from components.recsys.intake import batches, pending
from components.recsys.predictions import EVENTS

FEEDBACK = "feedback"  # among the files of events; a path of that name is absolute by then


def new_segments(home: Home) -> list[str]:
    """URLs, the oldest day first."""
    waiting = set(pending.batches_of(home))
    taken = {
        key for facts in batches.kept_facts(home) if facts["batch"] not in waiting for key in facts.get("segments", ())
    }
    return [f"{home.url}/{key}" for key in home.store.list(EVENTS) if key.endswith(".jsonl.gz") and key not in taken]


def resolved(home: Home, sources: Mapping[str, Sequence[str] | str]) -> dict[str, list[str]]:
    """Sources with the home's new segments in place of the word `feedback`: no events at all when there are none."""
    each = {kind: [paths] if isinstance(paths, str) else list(paths) for kind, paths in sources.items()}
    named = each.pop("events", [])
    files = [path for path in named if path != FEEDBACK]
    if FEEDBACK in named:
        files += new_segments(home)
    return {**each, "events": files} if files else each
