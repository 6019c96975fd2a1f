"""What words are made of: the text a program gets, what is known of it, and the escapes and lists it is written with."""

from __future__ import annotations

import base64
import binascii
from dataclasses import dataclass

from services.approval.risk import patterns
from services.approval.risk.detectors.paths import HIDDEN

MAX_EXPANSION = 256  # words that one brace list may make; more is a hidden word
MAX_BRACES = 64  # braces of one word; more is a hidden word

# Stand-ins for unquoted braces and commas, and for the places where a word splits, while the pieces of a word are joined.
# They are lone surrogates: no text that is decoded from bytes has any.
OPEN, COMMA, CLOSE, SPLIT = "\ud800", "\ud801", "\ud802", "\ud803"
MARKS = OPEN + COMMA + CLOSE + SPLIT
_TO_MARKS = str.maketrans({"{": OPEN, ",": COMMA, "}": CLOSE})
_FROM_MARKS = str.maketrans({OPEN: "{", COMMA: ",", CLOSE: "}"})
_JOINED = str.maketrans({OPEN: "{", COMMA: ",", CLOSE: "}", SPLIT: " "})

_ANSI = patterns.compile(r"(?s)\\(?:x([0-9a-fA-F]{1,2})|u([0-9a-fA-F]{1,4})|U([0-9a-fA-F]{1,8})|([0-7]{1,3})|c(.)|(.))")
_ANSI_PLAIN = {"n": "\n", "t": "\t", "r": "\r", "a": "\a", "b": "\b", "e": "\x1b", "E": "\x1b", "f": "\f", "v": "\v"}
_SEQUENCE = patterns.compile(r"^(-?\d{1,6}|[a-zA-Z])\.\.(-?\d{1,6}|[a-zA-Z])(?:\.\.(-?\d{1,6}))?$")

NONE: frozenset[str] = frozenset()


@dataclass(slots=True)  # never changed, and yet not frozen: several are made for every command, and that takes five times as long
class Word:
    """One word as the program gets it. HIDDEN stands for what is not known; `taints` tell where parts came from.

    `start` and `end` are offsets into the script, 0 when they are not known.
    """

    text: str
    taints: frozenset[str] = NONE
    start: int = 0
    end: int = 0

    @property
    def known(self) -> bool:
        return HIDDEN not in self.text


@dataclass(slots=True)
class Value:
    """What a variable or a substitution gives: its text (HIDDEN where unknown) and where it came from.

    `items`: the elements of an array or of the arguments. `options`: the few values of which a hidden one is one.
    """

    text: str = HIDDEN
    taints: frozenset[str] = NONE
    items: tuple[str, ...] | None = None
    options: tuple[Value, ...] = ()


def decode_ansi(body: str) -> str:
    """The text of the inside of `$'...'`, or of the format of `printf`."""
    return _ANSI.sub(_ansi_letter, body) if "\\" in body else body


def _ansi_letter(match: patterns.Match) -> str:
    short, u4, u8, octal, control, other = match.groups()
    for digits, base in ((short, 16), (u4, 16), (u8, 16), (octal, 8)):
        if digits:
            code = int(digits, base)
            return chr(code) if code < 0x110000 and not 0xD800 <= code < 0xE000 else HIDDEN
    if control:
        return chr(ord(control) & 0x1F)
    return _ANSI_PLAIN.get(other or "", other or "")


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


def without_marks(text: str) -> str:
    """A resolved text as one word."""
    return text if text.isascii() else text.translate(_JOINED)


def pieces(text: str, budget: int) -> list[str]:
    """The words that a marked text makes: none, one or several. More than `budget` are one hidden word."""
    if text.isascii():
        return [text]
    found: list[str] = []
    parts = [part for part in text.split(SPLIT) if part] if SPLIT in text else [text]
    for part in parts:
        if OPEN in part:
            found += [each.translate(_FROM_MARKS) for each in expand_braces(part)]
        else:
            found.append(part.translate(_FROM_MARKS))
        if len(found) > budget:
            return [HIDDEN]
    return found


def split(value: Value, separators: str) -> Value:
    """The value as an unquoted expansion gives it: the separators cut it into words, and blank ones run together."""
    text = value.text
    if not separators or text.isalnum():
        return value
    own = "".join(c for c in separators if not c.isspace())
    if own:
        blanks = [c for c in separators if c.isspace()]
        for blank in blanks:
            text = text.replace(blank, SPLIT)
        for separator in own:
            # An empty field between two separators is an empty word; nothing that matters starts with one.
            text = text.replace(separator, SPLIT)
        return Value(text, value.taints) if text != value.text else value
    cut = text.split() if len(separators) == 3 else _cut(text, separators)
    if len(cut) == 1 and cut[0] == text:
        return value
    if not cut:
        return Value(SPLIT, value.taints) if text else value
    lead = SPLIT if text[0] in separators else ""
    tail = SPLIT if text[-1] in separators else ""
    return Value(lead + SPLIT.join(cut) + tail, value.taints)


def _cut(text: str, blanks: str) -> list[str]:
    for blank in blanks[1:]:
        text = text.replace(blank, blanks[0])
    return [part for part in text.split(blanks[0]) if part]


def unescape(text: str, *, marks: bool) -> str:
    """A bare word without its backslashes; with `marks`, its braces and commas become stand-ins."""
    if "\\" not in text:
        return text.translate(_TO_MARKS) if marks else text
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


def unescape_some(text: str, letters: str) -> str:
    """The text without the backslashes that stand before one of `letters`, and without continued lines."""
    if "\\" not in text:
        return text
    parts: list[str] = []
    position = 0
    while (at := text.find("\\", position)) >= 0:
        parts.append(text[position:at])
        following = text[at + 1 : at + 2]
        if following in letters and following:
            parts.append(following)
        elif following != "\n":
            parts.append("\\" + following)
        position = at + 2
    parts.append(text[position:])
    return "".join(parts)


def backquoted(text: str) -> list[tuple[str, bool]]:
    """The parts of a text outside and inside of its backquotes, each with whether it is inside. An open pair ends with the text."""
    parts: list[tuple[str, bool]] = []
    start = at = 0
    inside = False
    while (at := text.find("`", at)) >= 0:
        escape = at
        while escape > start and text[escape - 1] == "\\":
            escape -= 1
        if (at - escape) % 2 == 0:
            parts.append((text[start:at], inside))
            inside, start = not inside, at + 1
        at += 1
    parts.append((text[start:], inside))
    return parts


def expand_braces(text: str) -> list[str]:
    """The words of marked brace lists, up to MAX_EXPANSION; a list that cannot expand is left as it is."""
    if text.count(OPEN) > MAX_BRACES or text.count(COMMA) > MAX_EXPANSION:
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
        if COMMA in inner:
            options = inner.split(COMMA)
        elif (sequence := _sequence(inner)) is not None:
            options = sequence
        else:
            options = ["{" + inner + "}"]
        if len(options) > MAX_EXPANSION:
            return [HIDDEN]
        todo += [current[:start] + option + current[end + 1 :] for option in reversed(options)]
    return done


def _sequence(inner: str) -> list[str] | None:
    """The words of `1..9`, `a..e` or `1..9..2`; None when it is no sequence."""
    match = _SEQUENCE.match(inner) if ".." in inner else None
    if match is None:
        return None
    first, last, step = match.groups()
    if first is None or last is None or first.isalpha() != last.isalpha():
        return None
    letters = first.isalpha()
    start, end = (ord(first), ord(last)) if letters else (int(first), int(last))
    stride = max(1, abs(int(step))) if step else 1
    if abs(end - start) // stride >= MAX_EXPANSION:
        return [HIDDEN]
    numbers = range(start, end + 1, stride) if start <= end else range(start, end - 1, -stride)
    if letters:
        return [chr(number) for number in numbers]
    padded = any(text.lstrip("-").startswith("0") and len(text.lstrip("-")) > 1 for text in (first, last))
    width = max(len(first), len(last)) if padded else 0
    return [f"{number:0{width}d}" if width else str(number) for number in numbers]


def _innermost(text: str) -> tuple[int, int] | None:
    end = text.find(CLOSE, max(0, text.find(OPEN)))
    start = text.rfind(OPEN, 0, end) if end >= 0 else -1
    return (start, end) if start >= 0 else None
