"""Segments that wait on disk: a folder of files that a crash leaves readable.

>>> spool = Spool(Path("spool"), writer="gateway-1")
>>> segment = spool.open("2026-11-24")       # spool/2026-11-24.gateway-1-1795526400000000.open
>>> segment.write([b'{"request_id":"r1"}']); segment.close()
>>> [waiting.key for waiting in spool.closed()]
['2026-11-24/gateway-1-1795526400000000']

An open segment is locked (flock) by its owner, so the kernel tells whether the owner lives. Open segments of the dead
are adopted: lines that are no records, such as a torn last one, are left out. Several processes may share a folder.
"""

import fcntl
import os
import re
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from components.recsys.predictions import prediction_of

OPEN, CLOSED, PART = ".open", ".jsonl", ".part"


@dataclass(frozen=True)
class Waiting:
    """A closed segment. key: `<day>/<writer>-<number>`."""

    path: Path
    key: str

    def lines(self) -> list[bytes]:
        """Whole lines; what follows the last newline was torn. Raises OSError."""
        return self.path.read_bytes().split(b"\n")[:-1]


class Segment:
    """An open file of the spool; `size` counts what is safely on disk. One thread at a time."""

    def __init__(self, path: Path, descriptor: int, day: str) -> None:
        self.path, self.descriptor, self.day = path, descriptor, day
        self.size = 0
        self.opened = time.monotonic()

    def write(self, lines: Sequence[bytes]) -> int:
        """Append lines and sync them. The bytes written. Raises OSError, and then none of them is in the segment."""
        data = memoryview(b"".join(line + b"\n" for line in lines))
        total = len(data)
        try:
            while data:
                data = data[os.write(self.descriptor, data) :]
            os.fsync(self.descriptor)
        except OSError:
            with suppress(OSError):
                os.ftruncate(self.descriptor, self.size)
                os.lseek(self.descriptor, self.size, os.SEEK_SET)
            raise
        self.size += total
        return total

    def close(self) -> None:
        """From here on anybody may upload it; without content it goes. Raises OSError."""
        try:
            if self.size:
                self.path.rename(self.path.with_suffix(CLOSED))
            else:
                self.path.unlink(missing_ok=True)
        finally:
            os.close(self.descriptor)


class Spool:
    """A folder of segments. The folder is made when it is first needed, so that a full disk stops nobody at the start."""

    def __init__(self, folder: Path, writer: str) -> None:
        self.folder = folder
        self.writer = re.sub(r"[^A-Za-z0-9_-]", "-", writer) or "writer"
        self.last = 0
        self.bytes, self.counting = 0, threading.Lock()
        self.count()

    def open(self, day: str) -> Segment:
        """A new segment, locked. Raises OSError."""
        self.folder.mkdir(parents=True, exist_ok=True)
        with self._alone():
            while True:
                path = self.folder / f"{day}.{self.writer}-{self.number()}{OPEN}"
                if path.with_suffix(CLOSED).exists():
                    continue
                try:
                    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644)
                except FileExistsError:
                    continue
                fcntl.flock(descriptor, fcntl.LOCK_EX)
                synced(self.folder)  # or a power cut could take the file whose content was synced
                return Segment(path, descriptor, day)

    def number(self) -> int:
        """Microseconds of the machine's clock, but never the same again: names sort by age, whatever the clock does."""
        self.last = max(self.last + 1, time.time_ns() // 1000)
        return self.last

    def closed(self) -> list[Waiting]:
        """What waits for upload, the oldest day first."""
        found = sorted(self.folder.glob(f"*{CLOSED}"))
        return [Waiting(path, "/".join(path.name.removesuffix(CLOSED).split(".", 1))) for path in found]

    def add(self, size: int) -> None:
        with self.counting:
            self.bytes += size

    def remove(self, waiting: Waiting) -> None:
        """After its upload. Raises OSError."""
        with suppress(FileNotFoundError):  # another process that shares the folder uploaded it too
            size = waiting.path.stat().st_size
            waiting.path.unlink()
            self.add(-size)

    def count(self) -> None:
        """Set `bytes` to what all segments take, open ones included; other processes may share the folder."""
        total = 0
        with suppress(OSError), os.scandir(self.folder) as entries:
            for entry in entries:
                if entry.name.endswith((OPEN, CLOSED)):
                    with suppress(FileNotFoundError):  # uploaded while we looked
                        total += entry.stat().st_size
        with self.counting:
            self.bytes = total

    def adopt(self) -> int:
        """Close the open segments whose owners are dead. How many. Raises OSError."""
        adopted = 0
        if not self.folder.is_dir():
            return 0
        with self._alone():
            for path in sorted(self.folder.glob(f"*{OPEN}")):
                with suppress(FileNotFoundError, BlockingIOError), path.open("rb") as file:
                    fcntl.flock(file.fileno(), fcntl.LOCK_EX | fcntl.LOCK_NB)
                    self._close_after(path, file.read())
                    adopted += 1
        return adopted

    def renamed(self, waiting: Waiting) -> Waiting:
        """Under another number, since another writer of the same name has taken this one. Raises OSError."""
        day = waiting.key.split("/")[0]
        path = self.folder / f"{day}.{self.writer}-{self.number()}{CLOSED}"
        waiting.path.rename(path)
        return Waiting(path, f"{day}/{path.name.removesuffix(CLOSED).split('.', 1)[1]}")

    def _close_after(self, path: Path, data: bytes) -> None:
        """A segment of a dead owner, without what is no record."""
        lines = data.split(b"\n")[:-1]  # what follows the last newline was torn
        good = [line for line in lines if is_record(line)]
        if not good:
            path.unlink()
            return
        whole = b"".join(line + b"\n" for line in good)
        if whole != data:
            descriptor, temporary = tempfile.mkstemp(dir=self.folder, suffix=PART)
            with os.fdopen(descriptor, "wb") as file:
                file.write(whole)
                file.flush()
                os.fsync(file.fileno())
            Path(temporary).replace(path)
        path.rename(path.with_suffix(CLOSED))

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """Between a file's creation and its lock nobody must look whether it is locked."""
        descriptor = os.open(self.folder / "lock", os.O_RDWR | os.O_CREAT, 0o644)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield
        finally:
            os.close(descriptor)


def synced(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def is_record(line: bytes) -> bool:
    try:
        prediction_of(line)
    except (ValueError, TypeError, KeyError):
        return False
    return True
