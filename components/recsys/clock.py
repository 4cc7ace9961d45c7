"""What time it is, for everything that compares times of events.

>>> now()
datetime.datetime(2026, 11, 24, 13, 30, tzinfo=datetime.timezone.utc)

The machine's time, or, where EVERLOOP_CLOCK names a file, the ISO time in it: so a drill can let weeks pass in seconds
while servers, sockets and timeouts go on in real time. Durations of waiting are never taken from here.
"""

import os
import tempfile
from datetime import UTC, datetime
from pathlib import Path

VARIABLE = "EVERLOOP_CLOCK"


def now() -> datetime:
    """The present moment, UTC. An unreadable clock file counts as the machine's time."""
    path = os.environ.get(VARIABLE)
    if path:
        try:
            return datetime.fromisoformat(Path(path).read_text().strip()).astimezone(UTC)
        except (OSError, ValueError):
            pass
    return datetime.now(UTC)


def set_clock(path: Path, moment: datetime) -> None:
    """Let everybody whose EVERLOOP_CLOCK is `path` believe it is `moment`; no reader sees half of it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=".tmp-")
    with os.fdopen(descriptor, "w") as file:
        file.write(moment.astimezone(UTC).isoformat())
    Path(temporary).replace(path)
