"""The commands of the runbooks, as the tests and the drill take them.

>>> commands(Path("monitoring/runbooks/DriftDetected.md"))[0]
Command(page='DriftDetected', section='How to look', words=('everloop', 'status'))

They lie in fenced ```sh blocks, one a line. What stands in capitals is for the reader to fill in: `RELEASE`, `TIME`.
"""

import re
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

PAGES = Path(__file__).parent
BLOCK = re.compile(r"^```sh\n(.*?)^```$", re.MULTILINE | re.DOTALL)
HEADING = re.compile(r"^## (.+)$", re.MULTILINE)
SECTIONS = ("What it means", "How to look", "How to stop the bleeding", "How to undo")
PLACEHOLDER = re.compile(r"[A-Z][A-Z_]+")
LOOKING = ("How to look",)  # commands there change nothing and may be run any time


@dataclass(frozen=True)
class Command:
    page: str
    section: str
    words: tuple[str, ...]

    def filled(self, values: Mapping[str, str]) -> list[str]:
        """The words with placeholders replaced. Raises KeyError for one that has no value."""
        return [values[word] if PLACEHOLDER.fullmatch(word) else word for word in self.words]


def pages() -> dict[str, Path]:
    """By the alert's name."""
    return {path.stem: path for path in sorted(PAGES.glob("*.md"))}


def sections(text: str) -> dict[str, str]:
    parts = HEADING.split(text)[1:]
    return dict(zip(parts[::2], parts[1::2], strict=True))


def commands(page: Path) -> list[Command]:
    """In the order of the page. Comments are left out."""
    return [
        Command(page.stem, heading, tuple(words))
        for heading, text in sections(page.read_text(encoding="utf-8")).items()
        for block in BLOCK.findall(text)
        for line in block.splitlines()
        if (words := shlex.split(line, comments=True))
    ]
