"""Parts that a killed supervisor left behind: written down as they start, ended before others take their place.

>>> leftovers = Leftovers(folder / "parts.json")
>>> leftovers.end(told=print)
gateway (process 4711) was left by an everloop that was killed; ended
"""

import json
import signal
import time
from collections.abc import Callable, Iterable
from pathlib import Path

from components.recsys.store import FolderStore
from pipelines.loop.process import Part
from serving.rollout.processes import alive, birth_of, send

PATIENCE = 10.0  # seconds for one to end in order


class Leftovers:
    """file: {name: [pid, birth]}; a pid that another process has meanwhile is left alone."""

    def __init__(self, file: Path) -> None:
        self.file = file

    def note(self, parts: Iterable[Part]) -> None:
        """Raises StoreError."""
        text = json.dumps({part.name: [part.pid, birth_of(part.pid)] for part in parts})
        # Whole or not at all: half of it would leave processes that nobody knows of.
        FolderStore(str(self.file.parent)).write(self.file.name, text.encode())

    def end(self, told: Callable[[str], None]) -> None:
        try:
            left = {name: (int(pid), str(birth)) for name, (pid, birth) in json.loads(self.file.read_text()).items()}
        except (OSError, ValueError, TypeError):
            return
        for name, (pid, birth) in left.items():
            if alive(pid, birth):
                send(pid, birth, signal.SIGTERM)
                told(f"{name} (process {pid}) was left by an everloop that was killed; ended")
        deadline = time.monotonic() + PATIENCE
        while any(alive(*one) for one in left.values()) and time.monotonic() < deadline:
            time.sleep(0.05)
        for one in left.values():
            send(*one, signal.SIGKILL)
        self.file.unlink(missing_ok=True)
