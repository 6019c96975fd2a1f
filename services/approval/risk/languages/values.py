"""What an expression of a program may be before it runs: texts, a name that it stands for, parts, and where its data comes from."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from urllib.parse import unquote

from services.approval.risk.detectors.paths import HIDDEN

MAX_TEXT = 1 << 16  # characters of all texts of one value; more is hidden
MAX_ALTERNATIVES = 40  # texts that one value may be; more is hidden

# Where data comes from; a set of them travels with a value.
# ROAMED: names of files found in a folder outside the program's own.
SECRET, ENVIRONMENT, FETCHED, DECODED, INPUT, LOCAL, ROAMED = 1, 2, 4, 8, 16, 32, 64


@dataclass(slots=True, eq=False)
class Function:
    """A function of the program: the names of its parameters, and what it returns."""

    parameters: tuple[str, ...]
    returns: Value


@dataclass(frozen=True, slots=True)
class Value:
    """`texts`: every text that it may be, HIDDEN standing for what is not known. `name`: the dotted name it stands for.

    `items` are the parts of a list, `fields` those of an object or of keyword arguments; their taints are in `taints` too.
    """

    texts: tuple[str, ...] = (HIDDEN,)
    name: str = ""
    taints: int = 0
    items: tuple[Value, ...] | None = None
    fields: dict[str, Value] | None = None
    function: Function | None = None

    @property
    def text(self) -> str:
        """The text when there is just one, else HIDDEN."""
        return self.texts[0] if len(self.texts) == 1 else HIDDEN

    @property
    def known(self) -> bool:
        """Whether it is one constant text."""
        return len(self.texts) == 1 and HIDDEN not in self.texts[0]


UNKNOWN = Value()


def constant(text: str) -> Value:
    """A value that is just this text."""
    return Value((text,))


def bounded(texts: Iterable[str]) -> tuple[str, ...]:
    """The texts without repetition, hidden when they are more than is looked at."""
    unique = tuple(dict.fromkeys(texts))
    if not unique or len(unique) > MAX_ALTERNATIVES or sum(map(len, unique)) > MAX_TEXT:
        return (HIDDEN,)
    return unique


def joined(values: Iterable[Value], separator: str = "") -> Value:
    """One text after the other, in every combination."""
    texts, taints, first = [""], 0, True
    for value in values:
        if len(texts) * len(value.texts) > MAX_ALTERNATIVES or (len(texts[0]) + len(value.texts[0])) * len(texts) * len(value.texts) > MAX_TEXT:
            texts = [HIDDEN]
        else:
            texts = [a + ("" if first else separator) + b for a in texts for b in value.texts]
        taints |= value.taints
        first = False
    return Value(bounded(texts), taints=taints)


def either(values: Iterable[Value]) -> Value:
    """What one of several values may be."""
    given = list(values)
    if len(given) == 1:
        return given[0]
    taints = tainted(given)
    name = next((value.name for value in given if value.name), "")
    function = next((value.function for value in given if value.function), None)
    fields = next((value.fields for value in given if value.fields), None)
    items = next((value.items for value in given if value.items), None)
    return Value(bounded(text for value in given for text in value.texts), name, taints, items, fields, function)


def tainted(values: Iterable[Value]) -> int:
    """Where the data of several values comes from."""
    taints = 0
    for value in values:
        taints |= value.taints
    return taints


def mapped(value: Value, change: Callable[[str], str]) -> Value:
    """The value with a function applied to each text; a text that it does not take is hidden."""
    texts = []
    for text in value.texts:
        try:
            texts.append(change(text) if HIDDEN not in text else HIDDEN)
        except (ValueError, binascii.Error, OverflowError, UnicodeError):
            texts.append(HIDDEN)
    return Value(bounded(texts), taints=value.taints)


def decoded(value: Value, how: str) -> Value:
    """A text in base64 or hex, or percent-encoded, as what it says."""
    result = mapped(value, _DECODERS.get(how, _hidden))
    return replace(result, taints=result.taints | DECODED)


def from_codes(codes: Iterable[Value]) -> Value:
    """A text given by the numbers of its characters."""
    try:
        return Value(bounded(["".join(chr(int(code.text, 0)) for code in codes)]), taints=DECODED)
    except (ValueError, OverflowError):
        return Value(taints=DECODED)


def formatted(values: list[Value]) -> Value:
    """The first text with each %-directive replaced by the next value."""
    if not values:
        return UNKNOWN
    parts: list[Value] = []
    rest = iter(values[1:])
    pieces = values[0].text.split("%")
    parts.append(constant(pieces[0]))
    for piece in pieces[1:]:
        if not piece:
            parts.append(constant("%"))
            continue
        cut = next((i for i, char in enumerate(piece) if char.isalpha()), len(piece) - 1) + 1
        parts += [next(rest, UNKNOWN), constant(piece[cut:])]
    whole = joined(parts)
    return replace(whole, taints=whole.taints | tainted(values))


def unescaped(escape: str) -> str:
    """The character that an escape sequence of a string stands for."""
    body = escape[1:]
    simple = {"n": "\n", "t": "\t", "r": "\r", "0": "\0", "e": "\x1b", "a": "\a", "b": "\b", "f": "\f", "v": "\v", "s": " ", "\n": ""}
    if body in simple:
        return simple[body]
    digits = body[1:].strip("{}") if body[:1] in ("x", "u", "U") else body
    try:
        return chr(int(digits, 16 if body[:1] in ("x", "u", "U") else 8))
    except (ValueError, OverflowError):
        return body


def _hidden(_: str) -> str:
    return HIDDEN


def _base64(text: str) -> str:
    data = base64.b64decode(text.replace("-", "+").replace("_", "/") + "=" * (-len(text) % 4))
    return data.decode("utf-8", "replace")


_DECODERS: dict[str, Callable[[str], str]] = {
    "base64": _base64,
    "hex": lambda text: bytes.fromhex(text).decode("utf-8", "replace"),
    "percent": unquote,
    "reverse": lambda text: text[::-1],
    "rot13": lambda text: "".join(_rotated(char) for char in text),
}


def _rotated(char: str) -> str:
    if not char.isascii() or not char.isalpha():
        return char
    base = 65 if char.isupper() else 97
    return chr((ord(char) - base + 13) % 26 + base)
