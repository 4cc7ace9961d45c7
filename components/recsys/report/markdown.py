"""The little Markdown that our cards use, as safe HTML: headings, lists, tables, paragraphs, code, bold.

>>> str(to_html("- `<b>`"))
'<ul><li><code>&lt;b&gt;</code></li></ul>'

No library: what is not known stays text, so no input can become a tag, a link or a script.
"""

import re
from collections.abc import Iterator
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
    head = lines[0] if len(lines) > 1 and RULE.match(lines[1]) else None
    body = Markup("").join(_row(line, "td") for line in lines if line != head and not RULE.match(line))
    top = Markup("<thead>{}</thead>").format(_row(head, "th")) if head else Markup("")
    caption = Markup('<caption class="heard">{}</caption>').format(_inline(heading))
    return Markup('<div class="wide"><table>{}{}<tbody>{}</tbody></table></div>').format(caption, top, body)


def _row(line: str, tag: str) -> Markup:
    cells = re.split(r"(?<!\\)\|", line.strip().strip("|"))
    scope = Markup(' scope="col"') if tag == "th" else Markup("")
    inside = (_inline(cell.strip().replace("\\|", "|")) for cell in cells)
    return Markup("<tr>{}</tr>").format(
        Markup("").join(Markup("<{0}{1}>{2}</{0}>").format(Markup(tag), scope, cell) for cell in inside)
    )


def _inline(text: str) -> Markup:
    safe = str(escape(text.replace("&lt;", "<")))  # cards escape < for readers of the file; here it is escaped once
    safe = re.sub(r"`([^`]+)`", r"<code>\1</code>", safe)
    return Markup(re.sub(r"\*\*([^*]+)\*\*", r"<strong>\1</strong>", safe))
