"""Every link in the README and the docs leads somewhere: files exist, and so do the headings that anchors name."""

import re
import unicodedata
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGES = sorted([ROOT / "README.md", *(ROOT / "docs").rglob("*.md"), *(ROOT / "benchmarks").rglob("*.md")])
LINK = re.compile(r"!?\[(?:[^\[\]]|\[[^\]]*\])*\]\(<?([^()\s>]*(?:\([^()]*\))?[^()\s>]*)>?(?:\s+\"[^\"]*\")?\)")
FENCE = re.compile(r"^(```|~~~).*?^\1[^\n]*$", re.MULTILINE | re.DOTALL)
PATH = re.compile(r"`((?:components|pipelines|serving|monitoring|tests|docs|benchmarks|manifests)/[\w./-]+)`")


def prose(page: Path) -> str:
    """A page without its blocks of code."""
    return FENCE.sub("", page.read_text(encoding="utf-8"))


def anchors(page: Path) -> set[str]:
    """The anchors that GitHub makes of a page's headings."""
    seen: dict[str, int] = {}
    found = set(re.findall(r'<a (?:id|name)="([^"]+)"', prose(page)))
    for heading in re.findall(r"^#{1,6}\s+(.+?)\s*#*$", prose(page), re.MULTILINE):
        text = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading).replace("`", "")
        kept = "".join(c for c in text.lower() if c in " -_" or unicodedata.category(c)[0] in "LNM")
        anchor = kept.strip().replace(" ", "-")
        count = seen.get(anchor, 0)
        seen[anchor] = count + 1
        found.add(f"{anchor}-{count}" if count else anchor)
    return found


def broken(page: Path) -> list[str]:
    """The relative links of a page that lead nowhere, and the paths in backquotes that name no file of ours."""
    text, faults = prose(page), []
    for link in LINK.findall(text):
        target, _, anchor = link.partition("#")
        if re.match(r"[a-z][a-z0-9+.-]*:", target):
            continue
        file = page if not target else (page.parent / target).resolve()
        if not file.exists() or not file.is_relative_to(ROOT):
            faults.append(f"{link}: no such file")
        elif anchor and (file.suffix != ".md" or anchor not in anchors(file)):
            faults.append(f"{link}: no such heading")
    faults += [f"{path}: no such file" for path in PATH.findall(text) if not (ROOT / path).exists()]
    return faults


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_of_a_page_leads_somewhere(page: Path) -> None:
    assert broken(page) == []


def test_the_pages_have_links_at_all() -> None:
    assert sum(len(LINK.findall(prose(page))) for page in PAGES) > 25


def test_a_broken_link_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(globals(), "ROOT", tmp_path)
    (tmp_path / "other.md").write_text("# One thing: `a`, and b\n## Twice\n## Twice\n")
    page = tmp_path / "page.md"
    page.write_text(
        "[ok](other.md) [ok](other.md#one-thing-a-and-b) [ok](other.md#twice-1) [ok](https://example.org) [ok](#here)\n"
        "# Here\n```\n[not a link](nowhere.md)\n```\n[a](gone.md) [b](other.md#gone) [c](#gone) `docs/gone.md`\n"
    )
    assert broken(page) == [
        "gone.md: no such file",
        "other.md#gone: no such heading",
        "#gone: no such heading",
        "docs/gone.md: no such file",
    ]


def test_every_page_of_the_docs_can_be_reached_from_the_readme() -> None:
    reached, waiting = set(), [ROOT / "README.md"]
    while waiting:
        page = waiting.pop()
        if page in reached or page.suffix != ".md" or not page.is_file():
            continue
        reached.add(page)
        targets = (link.partition("#")[0] for link in LINK.findall(prose(page)))
        waiting += [(page.parent / target).resolve() for target in targets if target and ":" not in target]
    assert sorted(page for page in (ROOT / "docs").rglob("*.md") if page not in reached) == []
