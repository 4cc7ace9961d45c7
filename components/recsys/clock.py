"""What time it is, for everything that compares times of events.

>>> now()
datetime.datetime(2026, 11, 24, 13, 30, tzinfo=datetime.timezone.utc)

The machine's time, or, where EVERLOOP_CLOCK names a file, the time that was set there, running on since: so a drill can
let weeks pass in seconds while servers, sockets and timeouts go on in real time. Durations of waiting are never taken
from here.
"""

import os
import tempfile
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

VARIABLE = "EVERLOOP_CLOCK"


def now() -> datetime:
    """The present moment, UTC. An unreadable clock file counts as the machine's time."""
    path = os.environ.get(VARIABLE)
    if path:
        try:
            moment, _, since = Path(path).read_text().partition(" ")
            return datetime.fromisoformat(moment).astimezone(UTC) + timedelta(seconds=time.time() - float(since))
        except (OSError, ValueError):
            pass
    return datetime.now(UTC)


def set_clock(path: Path, moment: datetime) -> None:
    """Let everybody whose EVERLOOP_CLOCK is `path` believe that it is `moment` now; no reader sees half of it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=".tmp-")
    with os.fdopen(descriptor, "w") as file:
        file.write(f"{moment.astimezone(UTC).isoformat()} {time.time()}")
    Path(temporary).replace(path)
