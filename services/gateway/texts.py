"""Texts of proto3's JSON form, and of paths and queries, as the values of fields: scalars, enums, times, masks.

Everything here raises `Unreadable` for what it cannot read, and only that.
"""

from __future__ import annotations

import base64
import binascii
import math
import re
import struct
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

from google.protobuf.descriptor import EnumDescriptor, FieldDescriptor

from services.gateway.fields import enum_of, values_named

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
# google/protobuf/timestamp.proto and duration.proto: years 1 to 9999, and about 10,000 years.
_MIN_SECONDS, _MAX_SECONDS = -62_135_596_800, 253_402_300_799
_MAX_DURATION_SECONDS = 315_576_000_000
_NANOS = 1_000_000_000

_INTEGER = re.compile(r"[+-]?[0-9]{1,30}")
_DECIMAL = re.compile(r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]{1,6})?")
_TIMESTAMP = re.compile(r"\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}(?:\.(\d{1,9}))?(?:Z|([+-])(\d{2}):(\d{2}))", re.ASCII)
_DURATION = re.compile(r"(-?)(\d{1,12})(?:\.(\d{1,9}))?s", re.ASCII)
_SPAN = re.compile(r"(\d*)(?:\.(\d*))?(h|ms|m|s|us|µs|μs|ns)", re.ASCII)
_UNITS = {
    "h": 3600 * _NANOS,
    "m": 60 * _NANOS,
    "s": _NANOS,
    "ms": 10**6,
    "us": 10**3,
    "µs": 10**3,
    "μs": 10**3,
    "ns": 1,
}
_TRUE, _FALSE = frozenset("1 t T TRUE true True".split()), frozenset("0 f F FALSE false False".split())
_MAX_FLOAT = struct.unpack("<f", b"\xff\xff\x7f\x7f")[0]
_CAMEL = re.compile(r"_([a-z0-9])")
_MASK_NAME = re.compile(r"[a-z0-9_]+(?:\.[a-z0-9_]+)*")


class Unreadable(Exception):
    """A value that is not what its place wants.

    Attributes:
        path: of the field, filled in from the inside out.
        what: is wrong, for a person.
    """

    def __init__(self, what: str, path: str = "") -> None:
        super().__init__(what)
        self.what = what
        self.path = path

    def inside(self, name: str) -> Unreadable:
        """The same, one level further out."""
        dot = "" if not self.path or self.path.startswith("[") else "."
        self.path = f"{name}{dot}{self.path}"
        return self


def integer(text: str, low: int, high: int) -> int:
    """A decimal integer with an optional sign, within bounds."""
    if not _INTEGER.fullmatch(text):
        raise Unreadable(f"{_quoted(text)} is not an integer")
    return within(int(text), low, high)


def within(value: int, low: int, high: int) -> int:
    if not low <= value <= high:
        raise Unreadable(f"{_quoted(str(value))} is not between {low} and {high}")
    return value


def floating(text: str, *, single: bool) -> float:
    """A decimal number, or one of the three words of proto3's JSON form."""
    if text in ("NaN", "Infinity", "-Infinity"):
        return float(text)
    if not _DECIMAL.fullmatch(text):
        raise Unreadable(f"{_quoted(text)} is not a number")
    return finite(float(text), single=single)


def finite(value: float, *, single: bool) -> float:
    if math.isinf(value) or (single and abs(value) > _MAX_FLOAT):
        raise Unreadable(f"the number is too large for {'32' if single else '64'} bits")
    return value


def boolean(text: str) -> bool:
    if text in _TRUE:
        return True
    if text in _FALSE:
        return False
    raise Unreadable(f"{_quoted(text)} is neither true nor false")


def binary(text: str) -> bytes:
    """Base64, standard or URL-safe, with or without padding."""
    try:
        data = text.encode("ascii")
        padded = data if len(data) % 4 == 0 else data + b"=" * (-len(data) % 4)
        if len(padded) != len(data) and b"=" in data:
            raise Unreadable("it is not base64")
        return base64.b64decode(padded, altchars=b"-_" if b"-" in data or b"_" in data else None, validate=True)
    except (UnicodeEncodeError, binascii.Error):
        raise Unreadable("it is not base64") from None


def enum_number(kind: EnumDescriptor, text: str) -> int:
    """An enum's value by name, or by a number that it has."""
    number = values_named(kind).get(text)
    if number is None and _INTEGER.fullmatch(text) and int(text) in kind.values_by_number:
        number = int(text)
    if number is None:
        raise Unreadable(f"{_quoted(text)} is not a {kind.name}")
    return number


def timestamp(text: str) -> tuple[int, int]:
    """RFC 3339, as seconds and nanoseconds since 1970."""
    match = _TIMESTAMP.fullmatch(text)
    if match is None:
        raise Unreadable(f"{_quoted(text)} is not a time such as 2026-01-31T09:30:00Z (RFC 3339)")
    fraction, sign, hours, minutes = match.groups()
    try:
        moment = datetime.fromisoformat(text[:19] + "+00:00")
    except ValueError:
        raise Unreadable(f"{_quoted(text)} is not a date and time that exists") from None
    if sign:
        if int(hours) > 23 or int(minutes) > 59:
            raise Unreadable(f"{_quoted(text)} has an offset that does not exist")
        offset = int(hours) * 3600 + int(minutes) * 60
    else:
        offset = 0
    delta = moment - _EPOCH
    seconds = delta.days * 86_400 + delta.seconds - (offset if sign == "+" else -offset)
    if not _MIN_SECONDS <= seconds <= _MAX_SECONDS:
        raise Unreadable(f"{_quoted(text)} is not within the years 1 to 9999")
    return seconds, _nanos(fraction)


def timestamp_text(seconds: int, nanos: int) -> str:
    """RFC 3339 in UTC. Raises ValueError outside of the years 1 to 9999."""
    if not _MIN_SECONDS <= seconds <= _MAX_SECONDS or not 0 <= nanos < _NANOS:
        raise ValueError("a timestamp is outside of the years 1 to 9999")
    return (_EPOCH + timedelta(seconds=seconds)).isoformat()[:19] + _fraction(nanos) + "Z"


def duration(text: str) -> tuple[int, int]:
    """Seconds with a fraction and an `s`, as proto3's JSON form has it: `1.5s`."""
    match = _DURATION.fullmatch(text)
    if match is None:
        raise Unreadable(f"{_quoted(text)} is not a duration such as 1.5s")
    minus, seconds, fraction = match.groups()
    return _signed(bool(minus), int(seconds), _nanos(fraction))


def span(text: str) -> tuple[int, int]:
    """A duration as queries hold it: numbers with units, `1h30m`, `250ms`, `-1.5s`, or `0`."""
    minus, rest = text.startswith("-"), text[1:] if text[:1] in ("+", "-") else text
    total, position = 0, 0
    while position < len(rest):
        match = _SPAN.match(rest, position)
        if match is None or not (match[1] or match[2]) or len(match[1]) > 20:
            break
        unit = _UNITS[match[3]]
        part = (match[2] or "")[:18]
        total += int(match[1] or 0) * unit + int(part or 0) * unit // 10 ** len(part)
        position = match.end()
    if rest != "0" and (position < len(rest) or not rest):
        raise Unreadable(f"{_quoted(text)} is not a duration such as 1h30m, 1.5s or 250ms")
    if total > 2**63 - 1:
        raise Unreadable(f"{_quoted(text)} is longer than a duration in a query can be")
    return _signed(minus, *divmod(total, _NANOS))


def duration_text(seconds: int, nanos: int) -> str:
    """`1.5s`. Raises ValueError for what is no duration."""
    if abs(seconds) > _MAX_DURATION_SECONDS or abs(nanos) >= _NANOS or seconds * nanos < 0:
        raise ValueError("a duration is out of range")
    return f"{'-' if seconds < 0 or nanos < 0 else ''}{abs(seconds)}{_fraction(abs(nanos))}s"


def _signed(minus: bool, seconds: int, nanos: int) -> tuple[int, int]:
    if seconds > _MAX_DURATION_SECONDS:
        raise Unreadable("the duration is longer than 10,000 years")
    return (-seconds, -nanos) if minus else (seconds, nanos)


def _nanos(fraction: str | None) -> int:
    return int(fraction.ljust(9, "0")) if fraction else 0


def _fraction(nanos: int) -> str:
    """With 0, 3, 6 or 9 digits, as proto3's JSON form has it."""
    if not nanos:
        return ""
    digits = f"{nanos:09d}"
    return "." + (digits[:3] if digits.endswith("000000") else digits[:6] if digits.endswith("000") else digits)


def mask_paths(text: str) -> list[str]:
    """The paths of a field mask in its JSON form: `displayName,labels.team`."""
    paths = []
    for path in text.split(",") if text else []:
        snake = re.sub(r"[A-Z]", lambda match: f"_{match[0].lower()}", path)
        if "_" in path or not _MASK_NAME.fullmatch(snake):
            raise Unreadable(f"{_quoted(path)} is not a path of a field mask in lowerCamelCase")
        paths.append(snake)
    return paths


def mask_text(paths: list[str]) -> str:
    """The JSON form of a field mask. Raises ValueError when a path has none."""
    for path in paths:
        if not _MASK_NAME.fullmatch(path):
            raise ValueError("a field mask has a path that cannot be written as JSON")
    return ",".join(_CAMEL.sub(lambda match: match[1].upper(), path) for path in paths)


_F = FieldDescriptor
INTEGERS: dict[int, tuple[int, int]] = {
    **dict.fromkeys((_F.TYPE_INT32, _F.TYPE_SINT32, _F.TYPE_SFIXED32), (-(2**31), 2**31 - 1)),
    **dict.fromkeys((_F.TYPE_INT64, _F.TYPE_SINT64, _F.TYPE_SFIXED64), (-(2**63), 2**63 - 1)),
    **dict.fromkeys((_F.TYPE_UINT32, _F.TYPE_FIXED32), (0, 2**32 - 1)),
    **dict.fromkeys((_F.TYPE_UINT64, _F.TYPE_FIXED64), (0, 2**64 - 1)),
}
WIDE = frozenset(kind for kind, (_, high) in INTEGERS.items() if high > 2**32)


def scalar_reader(field: FieldDescriptor) -> Callable[[str], Any]:
    """Reads the text form of a field that is no message, as paths and queries hold it."""
    kind = field.type
    if kind in INTEGERS:
        low, high = INTEGERS[kind]
        return lambda text: integer(text, low, high)
    if kind in (_F.TYPE_FLOAT, _F.TYPE_DOUBLE):
        single = kind == _F.TYPE_FLOAT
        return lambda text: floating(text, single=single)
    if kind == _F.TYPE_BOOL:
        return boolean
    if kind == _F.TYPE_BYTES:
        return binary
    if kind == _F.TYPE_ENUM:
        enum = enum_of(field)
        return lambda text: enum_number(enum, text)
    return str


def _quoted(text: str) -> str:
    """What was sent, short enough to be repeated."""
    return repr(text if len(text) <= 40 else text[:39] + "…")
