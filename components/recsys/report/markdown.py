"""The little Markdown that our cards use, as safe HTML: headings, lists, tables, paragraphs, code, bold.

>>> str(to_html("- `<b>`"))
'<ul><li><code>&lt;b&gt;</code></li></ul>'

No library: what is not known stays text, so no input can become a tag, a link or a script.
"""

import re
from collections.abc import Iterator, Sequence
from itertools import groupby

from markupsafe import Markup, escape

HEADING_BELOW = 2  # a card's title is a third-level heading inside the report
DEEPEST = 6
RULE = re.compile(r"^\|(\s*:?-+:?\s*\|)+\s*$")


def to_html(text: str) -> Markup:
    """Markdown as HTML in which everything but the markup above is escaped."""
    lines = [line.rstrip() for line in text.splitlines()]
    parts: list[Markup] = []
    heading = "Table"  # a table's caption, for those who hear the page
    for kind, group in groupby(lines, _kind):
        block = list(group)
        heading = block[-1].lstrip("#").strip() if kind == "heading" else heading
        parts += _block(kind, block, heading)
    return Markup("").join(parts)


def _kind(line: str) -> str:
    if not line.strip():
        return "blank"
    if line.startswith("#"):
        return "heading"
    if line.startswith("- "):
        return "list"
    return "table" if line.startswith("|") else "text"


def _block(kind: str, lines: list[str], heading: str) -> Iterator[Markup]:
    if kind == "heading":
        for line in lines:
            title = line.lstrip("#")
            level = min(len(line) - len(title) + HEADING_BELOW, DEEPEST)
            yield Markup("<h{0}>{1}</h{0}>").format(level, _inline(title.strip()))
    elif kind == "list":
        yield Markup("<ul>{}</ul>").format(
            Markup("").join(Markup("<li>{}</li>").format(_inline(line[2:])) for line in lines)
        )
    elif kind == "table":
        yield _table(lines, heading)
    elif kind == "text":
        yield Markup("<p>{}</p>").format(_inline(" ".join(lines)))


def _table(lines: list[str], heading: str) -> Markup:
    ruled = len(lines) > 1 and RULE.match(lines[1]) is not None
    right = [cell.strip().endswith(":") for cell in _cells(lines[1])] if ruled else []
    body = Markup("").join(_row(line, "td", right) for line in lines[2 if ruled else 0 :])
    top = Markup("<thead>{}</thead>").format(_row(lines[0], "th", right)) if ruled else Markup("")
    caption = Markup('<caption class="heard">{}</caption>').format(_inline(heading))
    return Markup('<div class="wide"><table>{}{}<tbody>{}</tbody></table></div>').format(caption, top, body)


def _row(line: str, tag: str, right: Sequence[bool]) -> Markup:
    scope = Markup(' scope="col"') if tag == "th" else Markup("")
    cells = []
    for place, cell in enumerate(_cells(line)):
        kind = Markup(' class="number"') if place < len(right) and right[place] else Markup("")
        inside = _inline(cell.strip().replace("\\|", "|"))
        cells.append(Markup("<{0}{1}{2}>{3}</{0}>").format(Markup(tag), scope, kind, inside))
    return Markup("<tr>{}</tr>").format(Markup("").join(cells))


def _cells(line: str) -> list[str]:
    return re.split(r"(?<!\\)\|", line.strip().removeprefix("|").removesuffix("|"))


def _inline(text: str) -> Markup:
    safe = str(escape(text.replace("&lt;", "<")))  # cards escape < for readers of the file; here it is escaped once
    safe = re.sub(r"`([^`]+)`", r"<code>\1</code>", safe)
    return Markup(re.sub(r"\*\*([^*]+)\*\*", r"<strong>\1</strong>", safe))
