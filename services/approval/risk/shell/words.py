"""Turns the words of a parsed shell command into the text that the program would get, as far as that is known before."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Callable
from dataclasses import dataclass

from tree_sitter import Node

from services.approval.risk.detectors.paths import HIDDEN

MAX_EXPANSION = 64  # words that one brace list may make; more is a hidden word
MAX_DEPTH = 30  # expansions inside expansions; deeper is hidden
MAX_VALUE = 65536  # characters that a variable may hold; more is hidden

# Stand-ins for unquoted braces and commas while the pieces of a word are joined: only those expand.
_OPEN, _COMMA, _CLOSE, _SPLIT = "\ue000", "\ue001", "\ue002", "\ue003"
_TO_MARKS = str.maketrans({"{": _OPEN, ",": _COMMA, "}": _CLOSE})
_FROM_MARKS = str.maketrans({_OPEN: "{", _COMMA: ",", _CLOSE: "}"})
_UNMARK = str.maketrans({_OPEN: "", _COMMA: "", _CLOSE: "", _SPLIT: ""})

_ANSI = re.compile(r"\\(?:x([0-9a-fA-F]{1,2})|u([0-9a-fA-F]{1,4})|U([0-9a-fA-F]{1,8})|([0-7]{1,3})|c(.)|(.))", re.S)
_ANSI_PLAIN = {"n": "\n", "t": "\t", "r": "\r", "a": "\a", "b": "\b", "e": "\x1b", "E": "\x1b", "f": "\f", "v": "\v"}
_SLICE = re.compile(r"^\s*:\s*(\d{1,4})\s*(?::\s*(\d{1,4})\s*)?$")


@dataclass(frozen=True, slots=True)
class Word:
    """One word as the program gets it. HIDDEN stands for what is not known; `taints` tell where parts came from."""

    text: str
    taints: frozenset[str] = frozenset()
    start: int = 0
    end: int = 0

    @property
    def known(self) -> bool:
        return HIDDEN not in self.text


@dataclass(slots=True)
class Value:
    """What a variable or a substitution gives: its text (HIDDEN where unknown) and where it came from."""

    text: str = HIDDEN
    taints: frozenset[str] = frozenset()


NONE: frozenset[str] = frozenset()
Lookup = Callable[[str], Value]
Substitute = Callable[[Node], Value]

WELL_KNOWN = {"IFS": " ", "HOME": "~", "PWD": ".", "OLDPWD": "..", "SHELL": "/bin/sh", "PATH": "/usr/bin", "TMPDIR": "/tmp"}


def decode_ansi(body: str) -> str:
    """The text of the inside of `$'...'` or of a `printf`/`echo -e` argument."""

    def one(match: re.Match[str]) -> str:
        short, u4, u8, octal, control, other = match.groups()
        for digits, base in ((short, 16), (u4, 16), (u8, 16), (octal, 8)):
            if digits:
                code = int(digits, base)
                return chr(code) if code < 0x110000 and not 0xD800 <= code < 0xE000 else HIDDEN
        if control:
            return chr(ord(control) & 0x1F)
        return _ANSI_PLAIN.get(other, other)

    return _ANSI.sub(one, body)


def decoded(text: str, how: str) -> str | None:
    """The text that a decoder makes of a constant, None when it makes none."""
    try:
        if how == "base64":
            return base64.b64decode("".join(text.split()), validate=True).decode()
        if how == "base32":
            return base64.b32decode("".join(text.split())).decode()
        if how == "hex":
            return bytes.fromhex("".join(text.split())).decode()
        if how == "rev":
            return "\n".join(line[::-1] for line in text.split("\n"))
        if how == "printf":
            return decode_ansi(text)
    except (ValueError, binascii.Error):
        return None
    return None


class Resolver:
    """Resolves the words of one script. `lookup` knows variables, `substitute` knows what a substitution prints."""

    def __init__(self, source: bytes, lookup: Lookup, substitute: Substitute) -> None:
        self._source = source
        self._lookup = lookup
        self._substitute = substitute
        self._depth = 0

    def raw(self, node: Node) -> str:
        return self._source[node.start_byte : node.end_byte].decode("utf-8", "replace")

    def words(self, node: Node) -> list[Word]:
        """The words that one argument makes: none, one, or several after splitting and brace lists."""
        value = self._value(node, quoted=False)
        texts: list[str] = []
        for part in value.text.split(_SPLIT) if _SPLIT in value.text else [value.text]:
            if _OPEN in part:
                texts += [each.translate(_FROM_MARKS) for each in expand_braces(part)]
            elif part or _SPLIT not in value.text:
                texts.append(part.translate(_FROM_MARKS))
        return [Word(text, value.taints, node.start_byte, node.end_byte) for text in texts]

    def text(self, node: Node) -> Value:
        """The value of a node as one word, as in an assignment: nothing splits and nothing expands."""
        value = self._value(node, quoted=True)
        return Value(value.text.translate(_UNMARK), value.taints)

    def _value(self, node: Node, *, quoted: bool) -> Value:
        if self._depth >= MAX_DEPTH:
            return Value()
        self._depth += 1
        try:
            return self._value_of(node, quoted)
        finally:
            self._depth -= 1

    def _value_of(self, node: Node, quoted: bool) -> Value:
        kind = node.type
        if kind in ("word", "number", "variable_name", "regex", "extglob_pattern", "test_operator", "file_descriptor", "heredoc_start"):
            if node.child_count and kind in ("word", "number"):
                return self._joined(node, quoted)
            return Value(_unescape(self.raw(node), marks=not quoted))
        if kind == "concatenation":
            return self._joined(node, quoted)
        if kind == "command_name":
            return self._value(node.children[0], quoted=quoted) if node.child_count else Value()
        if kind == "raw_string":
            return Value(self.raw(node)[1:-1])
        if kind == "ansi_c_string":
            return Value(decode_ansi(self.raw(node)[2:-1]))
        if kind in ("string", "translated_string", "heredoc_body"):
            return self._string(node)
        if kind == "simple_expansion":
            return self._expanded(self.raw(node)[1:], quoted)
        if kind == "expansion":
            return self._expansion(node, quoted)
        if kind in ("command_substitution", "process_substitution"):
            value = self._substitute(node)
            return value if quoted or kind == "process_substitution" else _split(value)
        if kind == "brace_expression":
            return Value(self.raw(node).translate(_TO_MARKS) if not quoted else self.raw(node))
        if kind in ("{", "}", ","):
            return Value(self.raw(node).translate(_TO_MARKS) if not quoted else self.raw(node))
        if kind == "array":
            return self._joined(node, quoted)
        if node.child_count == 0:
            return Value(self.raw(node))
        return Value()

    def _joined(self, node: Node, quoted: bool) -> Value:
        parts: list[str] = []
        taints: set[str] = set()
        position = node.start_byte
        spaced = node.type == "array"
        for child in node.children:
            if child.start_byte > position and not spaced:  # text that the grammar leaves between two children
                gap = self._source[position : child.start_byte].decode("utf-8", "replace")
                parts.append(_unescape(gap, marks=not quoted))
            position = child.end_byte
            if spaced and child.type in ("(", ")"):
                continue
            value = self._value(child, quoted=quoted)
            parts.append(value.text)
            taints |= value.taints
        text = (" " if spaced else "").join(parts)
        return Value(text if len(text) <= MAX_VALUE else HIDDEN, frozenset(taints))

    def _string(self, node: Node) -> Value:
        parts: list[str] = []
        taints: set[str] = set()
        heredoc = node.type == "heredoc_body"
        position = node.start_byte
        for child in node.children:
            if child.start_byte > position:
                parts.append(self._source[position : child.start_byte].decode("utf-8", "replace"))
            position = child.end_byte
            if child.type in ('"', '$"'):
                continue
            if child.type in ("string_content", "heredoc_content"):
                parts.append(self.raw(child) if heredoc else _unescape_double(self.raw(child)))
            else:
                value = self._value(child, quoted=True)
                parts.append(value.text)
                taints |= value.taints
        if node.end_byte > position:
            parts.append(self._source[position : node.end_byte].decode("utf-8", "replace"))
        return Value("".join(parts), frozenset(taints))

    def _expanded(self, name: str, quoted: bool) -> Value:
        value = self._lookup(name)
        return value if quoted else self._split(value)

    def _split(self, value: Value) -> Value:
        """The value as an unquoted expansion gives it, hidden where separators of the script's own cut it."""
        own = {c for c in self._lookup("IFS").text if not c.isspace() and c != HIDDEN}
        return Value(HIDDEN, value.taints) if own and not own.isdisjoint(value.text) else _split(value)

    def _expansion(self, node: Node, quoted: bool) -> Value:
        """`${...}`: a plain name, a default, or a slice of a known value; everything else is hidden."""
        body = self.raw(node)[2:-1]
        match = re.match(r"[A-Za-z_]\w*|[0-9@*#?$!-]", body)
        if match is None or body.startswith(("!", "#")):
            return Value()
        value, rest = self._lookup(match.group()), body[match.end() :]
        if not rest:
            return value if quoted else self._split(value)
        if match.group() == "IFS":
            return Value(" " if quoted else _SPLIT)
        if rest.startswith((":-", ":=", "-", "=")):
            if value.text != HIDDEN or value.taints:
                return value if quoted else self._split(value)
            given = node.children[-2] if node.child_count > 3 else None
            return self._value(given, quoted=quoted) if given is not None and given.is_named else Value()
        if rest.startswith((":+", "+")):
            given = node.children[-2]
            return self._value(given, quoted=quoted) if given.is_named else Value()
        if (slice_ := _SLICE.match(rest)) and HIDDEN not in value.text:
            start = int(slice_.group(1))
            text = value.text.replace("~", "/home", 1) if match.group() == "HOME" else value.text
            end = start + int(slice_.group(2)) if slice_.group(2) else None
            return Value(text[start:end], value.taints)
        return Value(HIDDEN, value.taints)


def _split(value: Value) -> Value:
    """The value as an unquoted expansion gives it: white space separates words."""
    if not any(c.isspace() for c in value.text):
        return value
    pieces = value.text.split()
    text = _SPLIT.join(pieces)
    lead = _SPLIT if value.text[:1].isspace() else ""
    tail = _SPLIT if value.text[-1:].isspace() else ""
    return Value(lead + text + tail if pieces else _SPLIT, value.taints)


def _unescape(text: str, *, marks: bool) -> str:
    if "\\" not in text:
        return text.translate(_TO_MARKS) if (marks and "{" in text) or (marks and "," in text) or (marks and "}" in text) else text
    parts: list[str] = []
    position = 0
    while (at := text.find("\\", position)) >= 0:
        plain = text[position:at]
        parts.append(plain.translate(_TO_MARKS) if marks else plain)
        if at + 1 < len(text) and text[at + 1] != "\n":
            parts.append(text[at + 1])
        position = at + 2
    plain = text[position:]
    parts.append(plain.translate(_TO_MARKS) if marks else plain)
    return "".join(parts)


def _unescape_double(text: str) -> str:
    return re.sub(r"\\([$`\"\\\n])", lambda m: "" if m.group(1) == "\n" else m.group(1), text) if "\\" in text else text


def expand_braces(text: str) -> list[str]:
    """The words of marked brace lists, up to MAX_EXPANSION; a list that cannot expand is left as it is."""
    if text.count(_OPEN) > MAX_EXPANSION:
        return [HIDDEN]
    done: list[str] = []
    todo = [text]
    while todo:
        if len(todo) + len(done) > MAX_EXPANSION:
            return [HIDDEN]
        current = todo.pop()
        group = _innermost(current)
        if group is None:
            done.append(current)
            continue
        start, end = group
        inner = current[start + 1 : end]
        if _COMMA in inner:
            options = inner.split(_COMMA)
        elif (span := re.match(r"^(\d{1,4}|[a-zA-Z])\.\.(\d{1,4}|[a-zA-Z])$", inner)) is not None:
            options = [span.group(1), span.group(2)] if span.group(1) != span.group(2) else [span.group(1)]
        else:
            done_inner = "{" + inner + "}"
            todo.append(current[:start] + done_inner + current[end + 1 :])
            continue
        todo += [current[:start] + option + current[end + 1 :] for option in reversed(options)]
    return done


def _innermost(text: str) -> tuple[int, int] | None:
    end = text.find(_CLOSE, max(0, text.find(_OPEN)))
    start = text.rfind(_OPEN, 0, end) if end >= 0 else -1
    return (start, end) if start >= 0 else None
