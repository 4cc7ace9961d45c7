"""Cuts an expression into tokens.

>>> [token.text for token in tokens('rate(a[5m]) > 2')]
['rate', '(', 'a', '[', '5m', ']', ')', '>', '2', '']

Kinds: word, number, duration, string, op, end. Raises QueryError with the place.
"""

import ast
import re
from dataclasses import dataclass

from monitoring.promql.syntax import QueryError

UNITS_MS = {
    "ms": 1,
    "s": 1000,
    "m": 60_000,
    "h": 3_600_000,
    "d": 86_400_000,
    "w": 7 * 86_400_000,
    "y": 365 * 86_400_000,
}
PART = re.compile(r"(\d+)(ms|[smhdwy])")
TOKEN = re.compile(
    r"""\s*(?:\#[^\n]*\s*)*(?:
      (?P<duration>(?:\d+(?:ms|[smhdwy]))+)(?![\w.])
    | (?P<number>0[xX][0-9a-fA-F]+|(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?)(?![\w])
    | (?P<word>[a-zA-Z_:][a-zA-Z0-9_:]*)
    | (?P<string>"(?:[^"\\\n]|\\.)*"|'(?:[^'\\\n]|\\.)*'|`[^`]*`)
    | (?P<op>=~|!~|==|!=|>=|<=|[-+*/%^(){}\[\],=<>])
    | (?P<end>$)
    )""",
    re.VERBOSE,
)


@dataclass(frozen=True)
class Token:
    kind: str
    text: str
    place: int


def tokens(text: str) -> list[Token]:
    found, place = [], 0
    while True:
        match = TOKEN.match(text, place)
        if match is None:
            raise QueryError(f"{text!r}: cannot read {text[place : place + 20]!r} at character {place}")
        kind = match.lastgroup or "end"
        found.append(Token(kind, match.group(kind), match.start(kind)))
        if kind == "end":
            return found
        place = match.end()


def milliseconds(duration: str) -> int:
    """A duration as Prometheus writes it: 1h30m, 500ms."""
    parts = PART.findall(duration)
    if "".join(number + unit for number, unit in parts) != duration or not parts:
        raise QueryError(f"{duration!r} is no duration; write for example 5m or 1h30m")
    return sum(int(number) * UNITS_MS[unit] for number, unit in parts)


def spelled(duration_ms: int) -> str:
    """The shortest whole-unit spelling of a duration: 90000 is 90s, 7200000 is 2h."""
    for unit in ("d", "h", "m", "s"):
        if duration_ms % UNITS_MS[unit] == 0 and duration_ms:
            return f"{duration_ms // UNITS_MS[unit]}{unit}"
    return f"{duration_ms}ms" if duration_ms else "0s"


def unquoted(text: str) -> str:
    """The string that a literal stands for; Go's escapes that we use are Python's too."""
    return text[1:-1] if text.startswith("`") else str(ast.literal_eval(text))
