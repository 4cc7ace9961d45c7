"""Which Everloop this is.

>>> VERSION, source_digest()[:8]
('0.1.0', '5f1a90c2')
"""

import functools
import hashlib
from importlib.metadata import version
from pathlib import Path

VERSION = version("everloop")
PACKAGES = ("components", "pipelines", "serving", "monitoring")


@functools.cache
def source_digest() -> str:
    """sha256 over the installed source of our packages: two builds with one version number can be told apart."""
    root = Path(__file__).parents[2]
    digest = hashlib.sha256()
    for path in sorted(path for package in PACKAGES for path in (root / package).rglob("*.py")):
        digest.update(path.relative_to(root).as_posix().encode() + b"\0" + path.read_bytes() + b"\0")
    return digest.hexdigest()
