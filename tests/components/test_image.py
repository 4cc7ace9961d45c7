import importlib
import re
from pathlib import Path

import pytest

from components import image
from components.recsys.version import VERSION

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize(
    "file", ["components/Dockerfile", "docs/kubernetes/pipelines.md", "docs/kubernetes/images.md", "images.txt"]
)
def test_every_image_that_is_written_down_has_our_version(file: str) -> None:
    tags = re.findall(r"everloop/\w+:([\w.]+)", (ROOT / file).read_text())
    assert tags
    assert set(tags) == {VERSION}


def test_a_registry_goes_before_the_images_name(monkeypatch: pytest.MonkeyPatch) -> None:
    names = []
    for registry in ("", "registry.example.com/ml/"):
        with monkeypatch.context() as patch:
            patch.setenv("EVERLOOP_REGISTRY", registry)
            names.append(importlib.reload(image).IMAGE)
    importlib.reload(image)
    assert names == [f"everloop/steps:{VERSION}", f"registry.example.com/ml/everloop/steps:{VERSION}"]


def test_only_what_an_image_is_made_from_is_sent_to_its_build() -> None:
    """Everything that the Dockerfile copies is let through, and nothing that it does not."""
    copied = {
        part.split("/")[0]
        for line in (ROOT / "components" / "Dockerfile").read_text().splitlines()
        if line.startswith("COPY ") and "--from" not in line
        for part in line.split()[1:-1]
    }
    allowed = {line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    assert copied == allowed
