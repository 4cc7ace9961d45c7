"""The data that Everloop can try itself on.

>>> movielens_100k()["events"]
'/home/me/.cache/everloop/ml-100k/ml-100k.inter'

MovieLens 100K (Harper and Konstan, TiiS 2015) is free for research and must not be redistributed (GroupLens' terms), so
it is fetched and never shipped: it lies inside a wheel of the RecBole project, which pip fetches from the package index.
"""

import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

from components.recsys.errors import StoreError

WHEEL = "recbole==1.2.1"
WHEEL_SHA256 = "9c9948202011f37eb0a7c6768129313f00d6403ad221ec940d5e2d5d5f33a407"
FOLDER = "recbole/dataset_example/ml-100k"
FILES = {"events": "ml-100k.inter", "items": "ml-100k.item", "users": "ml-100k.user"}


def cache_folder() -> Path:
    """Where fetched data is kept: $EVERLOOP_CACHE, else the user's cache folder."""
    base = (
        os.environ.get("EVERLOOP_CACHE")
        or Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "everloop"
    )
    return Path(base)


def movielens_100k(timeout_seconds: float = 120) -> dict[str, str]:
    """Paths of the events, items and users of MovieLens 100K, fetched on first use (2 MB).

    943 users, 1,682 films, 100,000 ratings with time, genres, age, gender, occupation. Raises StoreError when it cannot be fetched.
    """
    target = cache_folder() / "ml-100k"
    paths = {name: str(target / file) for name, file in FILES.items()}
    if all(Path(path).is_file() for path in paths.values()):
        return paths
    with tempfile.TemporaryDirectory() as folder:
        command = [
            sys.executable,
            "-m",
            "pip",
            "download",
            "--quiet",
            "--no-deps",
            "--disable-pip-version-check",
            "--retries",  # pip's own five, with pauses, would keep somebody without a network waiting for a minute
            "1",
            "--dest",
            folder,
            WHEEL,
        ]
        try:
            subprocess.run(command, check=True, capture_output=True, timeout=timeout_seconds)
        except (subprocess.SubprocessError, OSError):
            raise StoreError(f"MovieLens 100K could not be fetched (pip download {WHEEL} failed)") from None
        wheel = next(Path(folder).glob("*.whl"))
        if hashlib.sha256(wheel.read_bytes()).hexdigest() != WHEEL_SHA256:
            raise StoreError(f"MovieLens 100K was not used: {wheel.name} is not the file expected (its hash differs)")
        unpacked = Path(folder) / "unpacked"
        unpacked.mkdir()
        with zipfile.ZipFile(wheel) as archive:
            for file in FILES.values():
                (unpacked / file).write_bytes(archive.read(f"{FOLDER}/{file}"))
        target.parent.mkdir(parents=True, exist_ok=True)
        staged = Path(tempfile.mkdtemp(dir=target.parent))
        shutil.copytree(unpacked, staged, dirs_exist_ok=True)
        try:
            staged.rename(target)
        except OSError:  # another process was faster
            shutil.rmtree(staged)
    return paths
