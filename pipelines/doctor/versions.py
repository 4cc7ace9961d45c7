"""Versions out of what a cluster shows: images, labels.

>>> of_image("registry.local:5000/kserve/kserve-controller:v0.17.1@sha256:00")
Version(major=0, minor=17, patch=1)
>>> str(Version(0, 17, 1)), Version(0, 17, 1) >= Version(0, 16)
('0.17.1', True)
"""

import re
from typing import NamedTuple

PATTERN = re.compile(r"^v?(\d+)\.(\d+)(?:\.(\d+))?(?=$|[-+.@_])")


class Version(NamedTuple):
    major: int
    minor: int
    patch: int = 0

    def __str__(self) -> str:
        return f"{self.major}.{self.minor}.{self.patch}"


def parse(text: str) -> Version | None:
    """A version at the beginning of a text (v1.32.4-gke.100); None where there is none (latest, a digest)."""
    match = PATTERN.match(text.strip())
    return Version(*(int(part or 0) for part in match.groups())) if match else None


def of_image(image: str) -> Version | None:
    """By the image's tag."""
    name = image.partition("@")[0].rpartition("/")[2]
    return parse(name.partition(":")[2])
