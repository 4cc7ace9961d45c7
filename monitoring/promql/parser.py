"""Reads an expression: precedence climbing over the tokens.

>>> parse("a / b > 0.5")
Binary(op='>', left=Binary(op='/', ...), right=Number(value=0.5), ...)

The subset: selectors, ranges, offset, functions of `monitoring.promql.functions`, sum/avg/min/max/count by/without,
arithmetic, comparison, and/or/unless, bool, on/ignoring. Anything else raises QueryError.
"""

from functools import lru_cache

from monitoring.promql.functions import ARGUMENTS
from monitoring.promql.lexer import Token, milliseconds, tokens, unquoted
from monitoring.promql.operators import AGGREGATIONS, ARITHMETIC, COMPARISONS, SETS
from monitoring.promql.syntax import (
    Aggregate,
    Binary,
    Call,
    Matcher,
    Matching,
    Negation,
    Node,
    Number,
    QueryError,
    Selector,
    Text,
)

PRECEDENCE = {
    "or": 1,
    "and": 2,
    "unless": 2,
    **dict.fromkeys(COMPARISONS, 3),
    **dict.fromkeys(("+", "-"), 4),
    **dict.fromkeys(("*", "/", "%"), 5),
    "^": 6,
}
UNARY = 5  # -a^2 is -(a^2)


@lru_cache(maxsize=1024)
def parse(text: str) -> Node:
    reader = _Reader(text)
    node = reader.expression(1)
    reader.expect("", "end")
    return node


class _Reader:
    def __init__(self, text: str) -> None:
        self.text, self.tokens, self.at = text, tokens(text), 0

    @property
    def token(self) -> Token:
        return self.tokens[self.at]

    def fail(self, wanted: str) -> QueryError:
        found = repr(self.token.text) if self.token.text else "the end"
        return QueryError(f"{self.text!r}: {wanted} expected at character {self.token.place}, not {found}")

    def take(self, *texts: str) -> str:
        """The token's text if it is one of these, else nothing. Words of the language are read in any case."""
        token = self.token
        text = token.text.lower() if token.kind == "word" else token.text
        if token.kind in ("word", "op") and text in texts:
            self.at += 1
            return text
        return ""

    def expect(self, text: str, kind: str = "op") -> str:
        token = self.token
        if token.kind != kind or (text and token.text != text):
            raise self.fail(repr(text) if text else f"a {kind}" if kind != "end" else "the end")
        self.at += 1
        return token.text

    def expression(self, least: int) -> Node:
        left = self.unary()
        while True:
            at = self.at
            op = self.take(*PRECEDENCE)
            if not op or PRECEDENCE[op] < least:
                self.at = at
                return left
            as_bool = bool(self.take("bool"))
            if as_bool and op not in COMPARISONS:
                raise self.fail("a comparison before bool")
            matching = self.matching()
            # ^ binds to the right: 2^3^2 is 2^9
            right = self.expression(PRECEDENCE[op] + (op != "^"))
            left = _binary(self.text, op, left, right, as_bool, matching)

    def matching(self) -> Matching:
        how = self.take("on", "ignoring")
        if not how:
            return Matching()
        labels = self.names()
        if self.take("group_left", "group_right"):
            raise QueryError(f"{self.text!r}: group_left and group_right are not in the subset")
        return Matching(how == "on", labels)

    def unary(self) -> Node:
        sign = self.take("-", "+")
        if sign:
            operand = self.expression(UNARY)
            if sign == "+":
                return operand
            return Number(-operand.value) if isinstance(operand, Number) else Negation(operand)
        return self.suffixed(self.atom())

    def atom(self) -> Node:
        if self.take("("):
            node = self.expression(1)
            self.expect(")")
            return node
        token = self.token
        if token.kind == "number":
            self.at += 1
            return Number(float(int(token.text, 16)) if token.text.lower().startswith("0x") else float(token.text))
        if token.kind == "string":
            self.at += 1
            return Text(unquoted(token.text))
        if token.kind == "word":
            return self.word()
        if token.text == "{":
            return Selector("", self.matchers())
        raise self.fail("an expression")

    def word(self) -> Node:
        name = self.expect("", "word")
        following = self.token.text
        if name.lower() in ("inf", "nan") and following not in ("{", "["):
            return Number(float(name))
        if name.lower() in AGGREGATIONS and following.lower() in ("(", "by", "without"):
            return self.aggregation(name.lower())
        if following == "(":
            return self.call(name)
        return Selector(name, self.matchers() if following == "{" else ())

    def aggregation(self, op: str) -> Node:
        grouping = self.grouping()
        self.expect("(")
        operand = self.expression(1)
        self.expect(")")
        without, labels = grouping or self.grouping() or (False, ())
        return Aggregate(op, _vector(self.text, operand, op), labels, without)

    def grouping(self) -> tuple[bool, tuple[str, ...]] | None:
        how = self.take("by", "without")
        return (how == "without", self.names()) if how else None

    def names(self) -> tuple[str, ...]:
        self.expect("(")
        found: list[str] = []
        while not self.take(")"):
            found.append(self.expect("", "word"))
            if not self.take(","):
                self.expect(")")
                break
        return tuple(found)

    def call(self, name: str) -> Node:
        if name not in ARGUMENTS:
            raise QueryError(
                f"{self.text!r}: the function {name} is not in the subset ({', '.join(sorted(ARGUMENTS))})"
            )
        self.expect("(")
        arguments: list[Node] = []
        while not self.take(")"):
            arguments.append(self.expression(1))
            if not self.take(","):
                self.expect(")")
                break
        wanted = ARGUMENTS[name]
        if [_kind(argument) for argument in arguments] != list(wanted):
            raise QueryError(f"{self.text!r}: {name} takes ({', '.join(wanted)})")
        return Call(name, tuple(arguments))

    def matchers(self) -> tuple[Matcher, ...]:
        self.expect("{")
        found: list[Matcher] = []
        while not self.take("}"):
            name = self.expect("", "word")
            op = self.take("=", "!=", "=~", "!~")
            if not op:
                raise self.fail("one of = != =~ !~")
            found.append(Matcher(name, op, unquoted(self.expect("", "string"))))
            if op in ("=~", "!~"):
                _ = found[-1].pattern  # a broken pattern is told here, not at the first look
            if not self.take(","):
                self.expect("}")
                break
        return tuple(found)

    def suffixed(self, node: Node) -> Node:
        if self.take("["):
            if not isinstance(node, Selector):
                raise QueryError(f"{self.text!r}: subqueries are not in the subset; record the inner expression first")
            node = Selector(node.name, node.matchers, milliseconds(self.expect("", "duration")))
            self.expect("]")
        if self.take("offset"):
            if not isinstance(node, Selector):
                raise QueryError(f"{self.text!r}: offset belongs right after a selector")
            node = Selector(node.name, node.matchers, node.range_ms, milliseconds(self.expect("", "duration")))
        return node


def _kind(node: Node) -> str:
    match node:
        case Text():
            return "string"
        case Selector() if node.range_ms:
            return "range"
        case Selector() | Aggregate():
            return "vector"
        case Number():
            return "scalar"
        case Call():
            return "scalar" if node.function in ("time", "scalar") else "vector"
        case Negation():
            return _kind(node.operand)
        case Binary():
            kinds = {_kind(node.left), _kind(node.right)}
            return "scalar" if kinds == {"scalar"} else "vector"


def _vector(text: str, node: Node, why: str) -> Node:
    if _kind(node) != "vector":
        raise QueryError(f"{text!r}: {why} needs a vector, not a {_kind(node)}")
    return node


def _binary(text: str, op: str, left: Node, right: Node, as_bool: bool, matching: Matching) -> Node:
    kinds = [_kind(left), _kind(right)]
    if op in SETS:
        _vector(text, left, op)
        _vector(text, right, op)
    elif not set(kinds) <= {"scalar", "vector"}:
        raise QueryError(
            f"{text!r}: {op} needs vectors or scalars, not a {next(k for k in kinds if k in ('range', 'string'))}"
        )
    elif kinds == ["scalar", "scalar"] and op in COMPARISONS and not as_bool:
        raise QueryError(f"{text!r}: comparing two scalars needs bool")
    if (matching.on or matching.labels) and "scalar" in kinds:
        raise QueryError(f"{text!r}: on and ignoring pair two vectors")
    assert op in ARITHMETIC or op in COMPARISONS or op in SETS
    return Binary(op, left, right, as_bool, matching)
