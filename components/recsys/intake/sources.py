"""Where files come from: paths, globs and s3:// URLs become local files, and bytes become a fingerprint.

>>> with local_files(["clicks-*.csv.gz"]) as files:
...     [file.label for file in files]
['clicks-1.csv.gz', 'clicks-2.csv.gz']
"""

import contextlib
import difflib
import fnmatch
import glob
import hashlib
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from components.recsys.errors import InputError, NotFound
from components.recsys.store import open_store, storage_options, told_as_store_error

WILD = "*?["
LOG = "_delta_log"
READ_AT_ONCE = 1 << 20


@dataclass(frozen=True)
class File:
    """One source. path: a local file, or the URI of a Delta table. label: what people read. origin: where a copy is from."""

    path: str
    label: str
    is_delta: bool = False
    origin: str = ""

    def sha256(self) -> str:
        """Of the bytes; of a Delta table's identity and version."""
        if self.is_delta:
            from deltalake import DeltaTable

            table = DeltaTable(self.path, storage_options=storage_options(self.path))
            return hashlib.sha256(f"{table.metadata().id}\n{table.version()}".encode()).hexdigest()
        digest = hashlib.sha256()
        with Path(self.path).open("rb") as file:
            while block := file.read(READ_AT_ONCE):
                digest.update(block)
        return digest.hexdigest()


@contextlib.contextmanager
def local_files(paths: str | Sequence[str]) -> Iterator[list[File]]:
    """The files that paths, globs and URLs name, in order; those of an object store as temporary copies.

    Raises InputError (NotFound) naming what does not exist or cannot be opened.
    """
    with tempfile.TemporaryDirectory(prefix="everloop-") as folder:
        files = [file for path in _each(paths) for file in (_remote(path, folder) if "://" in path else _local(path))]
        yield files


def fingerprint(paths: str | Sequence[str]) -> str:
    """sha256 of the bytes of all files that the paths name, in order; the same bytes under other names are the same."""
    with local_files(paths) as files:
        return combined([file.sha256() for file in files])


def combined(hashes: Sequence[str]) -> str:
    return hashlib.sha256("\n".join(hashes).encode()).hexdigest()


def _each(paths: str | Sequence[str]) -> list[str]:
    each = [paths] if isinstance(paths, str) else list(paths)
    if not each:
        raise InputError("no file was named")
    return [str(path).removeprefix("file://") for path in each]


def _local(name: str) -> list[File]:
    path = Path(name).expanduser()
    try:
        there = path.exists()
    except OSError as error:
        raise InputError(f"{name[:200]} cannot be opened: {error.strerror}") from None
    if not there:
        if any(mark in name for mark in WILD):
            found = sorted(glob.glob(str(path)))  # noqa: PTH207 - Path.glob takes no absolute pattern
            if found:
                return [file for each in found for file in _local(each)]
            raise NotFound(f"{name}: no file fits this pattern")
        raise NotFound(f"{name} does not exist{_near(path)}")
    if path.is_dir():
        if (path / LOG).is_dir():
            return [File(str(path.absolute()), path.name, is_delta=True)]
        inside = sorted(str(each) for each in path.iterdir() if each.is_file() and each.name[0] not in "._")
        if not inside:
            raise InputError(f"{name} is a folder without files; name a file, a folder of files or a Delta table")
        return [file for each in inside for file in _local(each)]
    try:
        with path.open("rb"):
            pass
    except OSError as error:
        raise InputError(f"{name} cannot be opened: {error.strerror}") from None
    return [File(str(path.absolute()), path.name)]


def _near(path: Path) -> str:
    if not path.parent.is_dir():
        return f" (nor does the folder {path.parent})"
    near = difflib.get_close_matches(path.name, [each.name for each in path.parent.iterdir()], n=1, cutoff=0.6)
    return f"; did you mean {path.with_name(near[0])}?" if near else ""


def _remote(url: str, folder: str) -> list[File]:
    """Downloaded, except for Delta tables, whose own reader knows object storage."""
    bucket, _, key = url.removeprefix("s3://").partition("/")
    store = open_store(f"s3://{bucket}" if url.startswith("s3://") else url)
    fixed = min((key.index(mark) for mark in WILD if mark in key), default=len(key))
    keys = store.list(key[:fixed].rpartition("/")[0]) if fixed < len(key) else store.list(key)
    if any(LOG in each.removeprefix(key).split("/")[:2] for each in keys):
        return [File(url.rstrip("/"), key.rstrip("/").rpartition("/")[2], is_delta=True)]
    if fixed < len(key):
        keys = [each for each in keys if fnmatch.fnmatch(each, key)]
        if not keys:
            raise NotFound(f"{url}: no object fits this pattern")
    files = []
    for index, each in enumerate(keys or [key]):
        copy = Path(folder) / f"{len(list(Path(folder).iterdir()))}-{index}" / each.rpartition("/")[2]
        with told_as_store_error(folder):
            copy.parent.mkdir(parents=True)
            copy.write_bytes(store.read(each))
        files.append(File(str(copy), copy.name, origin=f"{store.url}/{each}"))
    return files
