"""The home: where a recommender's tables, releases and ledger lie, in a folder or in object storage.

>>> home = Home(".everloop")
>>> home.table("events")
'/data/.everloop/tables/events'
"""

import contextlib
import fcntl
import os
import re
import time
from collections.abc import Callable, Iterator
from functools import cached_property
from pathlib import Path

from components.recsys.errors import InputError, StoreError
from components.recsys.store import FolderStore, Store, open_store, storage_options, told_as_store_error

DEFAULT = ".everloop"
TABLES = ("events", "items", "users", "quarantine")
UNUSABLE = re.compile(r"%[0-9A-Fa-f]{2}|[\[\]\\^|\x00-\x1f\x7f]")  # in a folder's path


class Home:
    """Paths and stores of one home. Two runs at once on one home: the second waits (`lock`)."""

    def __init__(self, url: str | Path = DEFAULT) -> None:
        self.store: Store = open_store(str(url))
        self.url = self.store.url
        if self.local is not None:
            _tables_can_lie_in(self.url)

    @property
    def local(self) -> Path | None:
        """The folder, or None when the home is in object storage."""
        return self.store.root if isinstance(self.store, FolderStore) else None

    def table(self, name: str) -> str:
        """The URI of a Delta table, for deltalake and polars."""
        assert name in TABLES, name
        return f"{self.url}/tables/{name}"

    @cached_property
    def storage_options(self) -> dict[str, str] | None:
        return storage_options(self.url)

    @contextlib.contextmanager
    def lock(
        self, name: str = "run", wait_seconds: float = 600, told: Callable[[str], None] = lambda text: None
    ) -> Iterator[None]:
        """Alone on this home. A folder is locked by flock (freed by the kernel when its holder dies);
        object storage needs no lock, since appends and ledger entries are put-if-absent there.

        Raises StoreError when another run still holds it after `wait_seconds`.
        """
        if self.local is None:
            yield
            return
        with told_as_store_error(self.url):
            self.local.mkdir(parents=True, exist_ok=True)
            descriptor = os.open(self.local / f"{name}.lock", os.O_RDWR | os.O_CREAT, 0o644)
        try:
            deadline, waiting = time.monotonic() + wait_seconds, False
            while True:
                try:
                    fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    break
                except BlockingIOError:
                    holder = os.pread(descriptor, 32, 0).decode(errors="replace").strip() or "another process"
                    if time.monotonic() >= deadline:
                        raise StoreError(
                            f"another run ({holder}) holds {self.url}; wait for it or use another --home"
                        ) from None
                    if not waiting:
                        told(f"another run ({holder}) holds {self.url}: waiting up to {wait_seconds:.0f} s for it")
                        waiting = True
                    time.sleep(0.2)
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, f"process {os.getpid()}".encode(), 0)
            yield
        finally:
            os.close(descriptor)


def _tables_can_lie_in(path: str) -> None:
    """deltalake makes a URL of a path and reads it back: `%20` becomes a blank, `\\` a slash, and others it takes for none."""
    found = UNUSABLE.search(path)
    if found:
        raise InputError(
            f"{path!r} cannot be a home: Delta tables cannot lie in a path with {found[0]!r}; choose another --home"
        )
