"""The value of an arithmetic expression, as far as it is made of constants."""

from __future__ import annotations

import operator
from collections.abc import Callable

from tree_sitter import Node

MAX_DEPTH = 30  # nested operations; a deeper expression has no known value
_WRAP = 1 << 64

Variable = Callable[[Node], str]  # the text of a variable or expansion, "" when it is not known

_OPERATORS: dict[str, Callable[[int, int], int]] = {
    "+": operator.add,
    "-": operator.sub,
    "*": operator.mul,
    "&": operator.and_,
    "|": operator.or_,
    "^": operator.xor,
    "==": lambda a, b: int(a == b),
    "!=": lambda a, b: int(a != b),
    "<": lambda a, b: int(a < b),
    ">": lambda a, b: int(a > b),
    "<=": lambda a, b: int(a <= b),
    ">=": lambda a, b: int(a >= b),
    "<<": lambda a, b: a << (b % 64),
    ">>": lambda a, b: a >> (b % 64),
}
ASSIGNS = frozenset("= += -= *= /= %= <<= >>= &= ^= |= **= ++ --".split())


def evaluate(node: Node, text_of: Variable, depth: int = 0) -> int | None:
    """The number that an expression gives, None when it is not known. Assignments have no value here."""
    if depth > MAX_DEPTH:
        return None
    kind = node.type
    children = node.children
    if kind == "parenthesized_expression":
        return evaluate(node.named_children[0], text_of, depth + 1) if node.named_child_count == 1 else None
    if kind == "binary_expression" and len(children) == 3:
        left = evaluate(children[0], text_of, depth + 1)
        right = evaluate(children[2], text_of, depth + 1)
        return None if left is None or right is None else _binary(left, children[1].type, right)
    if kind == "unary_expression" and len(children) == 2:
        value = evaluate(children[1], text_of, depth + 1)
        sign = text_of(children[0]) if children[0].is_named else children[0].type
        if value is None or sign not in ("-", "+", "~", "!"):
            return None
        return {"-": -value, "+": value, "~": ~value, "!": int(not value)}[sign]
    if kind == "ternary_expression" and node.named_child_count == 3:
        test, yes, no = node.named_children
        chosen = evaluate(test, text_of, depth + 1)
        return None if chosen is None else evaluate(yes if chosen else no, text_of, depth + 1)
    return number(text_of(node)) if not kind.endswith("_expression") else None


def number(text: str) -> int | None:
    """An integer as the shell writes it: decimal, 0x, octal with a 0, BASE#DIGITS."""
    text = text.strip()
    if not text or len(text) > 40 or not text.isascii() or "_" in text:
        return None
    try:
        if "#" in text:
            base, _, digits = text.partition("#")
            return int(digits, int(base)) if 2 <= int(base) <= 36 else None
        bare = text.lstrip("+-")
        if bare[:2] in ("0x", "0X"):
            return int(text, 16)
        return int(text, 8) if bare.startswith("0") and len(bare) > 1 else int(text)
    except ValueError:
        return None


def _binary(left: int, sign: str, right: int) -> int | None:
    if sign in ("/", "%"):
        if not right:
            return None
        quotient = abs(left) // abs(right) * (1 if (left < 0) == (right < 0) else -1)
        return quotient if sign == "/" else left - quotient * right
    if sign == "**":
        return _wrapped(left**right) if 0 <= right <= 64 else None
    if sign in ("&&", "||"):
        return int(bool(left) and bool(right)) if sign == "&&" else int(bool(left) or bool(right))
    known = _OPERATORS.get(sign)
    return _wrapped(known(left, right)) if known is not None else None


def _wrapped(value: int) -> int:
    value %= _WRAP
    return value - _WRAP if value >= _WRAP // 2 else value
