"""What an expression is made of.

>>> parse('sum by (variant) (rate(lists_total{code!="500"}[5m])) > 3')
Binary(op='>', left=Aggregate(op='sum', ...), right=Number(value=3.0), ...)

Times and ranges are whole milliseconds, as in Prometheus.
"""

import re
from dataclasses import dataclass
from functools import cached_property

from components.recsys.errors import InputError


class QueryError(InputError):
    """An expression that cannot be read or answered."""


@dataclass(frozen=True)
class Matcher:
    """One `name op "value"` of a selector; a label that is not there counts as empty."""

    name: str
    op: str
    value: str

    @cached_property
    def pattern(self) -> re.Pattern[str]:
        try:
            return re.compile(self.value, re.DOTALL)
        except re.error as error:
            raise QueryError(f"{self.value!r} is not a regular expression: {error}") from None

    def accepts(self, value: str) -> bool:
        if self.op in ("=", "!="):
            return (value == self.value) == (self.op == "=")
        return (self.pattern.fullmatch(value) is not None) == (self.op == "=~")


@dataclass(frozen=True)
class Number:
    value: float


@dataclass(frozen=True)
class Text:
    value: str


@dataclass(frozen=True)
class Selector:
    """Series by name and matchers; with `range_ms` all samples of that long, else the newest within the lookback."""

    name: str
    matchers: tuple[Matcher, ...] = ()
    range_ms: int = 0
    offset_ms: int = 0


@dataclass(frozen=True)
class Call:
    function: str
    arguments: tuple["Node", ...]


@dataclass(frozen=True)
class Negation:
    operand: "Node"


@dataclass(frozen=True)
class Matching:
    """Which labels two vectors are paired by: those named (on), or all but those named."""

    on: bool = False
    labels: tuple[str, ...] = ()


@dataclass(frozen=True)
class Binary:
    op: str
    left: "Node"
    right: "Node"
    as_bool: bool = False
    matching: Matching = Matching()


@dataclass(frozen=True)
class Aggregate:
    """by: the labels kept; without: the labels dropped; neither: one group of all."""

    op: str
    operand: "Node"
    labels: tuple[str, ...] = ()
    without: bool = False


Node = Number | Text | Selector | Call | Negation | Binary | Aggregate


def selectors(node: Node) -> list[Selector]:
    """All series that an expression reads."""
    match node:
        case Selector():
            return [node]
        case Call():
            return [found for argument in node.arguments for found in selectors(argument)]
        case Negation() | Aggregate():
            return selectors(node.operand)
        case Binary():
            return selectors(node.left) + selectors(node.right)
        case _:
            return []
