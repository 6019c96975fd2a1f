"""The RDB format as far as Python reads it: names, and the keys. What touches every byte is in format.lua.

Source: `rdb.h` and `rdb.c` of Redis 6.2 to 8.2 and Valkey 7.2 to 9.1.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

HEADER: Final = re.compile(rb"REDIS(\d{4})|VALKEY(\d{3})")
"""How a stream begins; Valkey has its own mark since version 9."""
HEADER_BYTES: Final = 9
MIN_VERSION: Final = 6
"""Oldest RDB version read here; every server since Redis 2.6 writes at least that."""
MAX_VERSION: Final = 12
"""Newest RDB version of Redis whose types are known here (7.4 to 8.2)."""
VALKEY_VERSION: Final = 80
"""Valkey's own, since its version 9; its hashes whose fields expire (type 22) are not known here."""

OP_EXPIRE_MS: Final = 0xFC
OP_SELECT_DB: Final = 0xFE
OP_EOF: Final = 0xFF

_ENC_INT8, _ENC_INT16, _ENC_INT32, _ENC_LZF = 0, 1, 2, 3


class RdbError(ValueError):
    """The bytes are not a whole, well-formed RDB stream."""


class RdbUnsupported(RdbError):
    """The stream is well-formed as far as one can tell, but newer or other than what is known here."""


def length(buf: bytes, pos: int) -> tuple[int, int]:
    """The plain length at `pos`, and the position behind it. RdbError if it is a string encoding instead."""
    first = buf[pos]
    if first < 0x40:
        return first, pos + 1
    if first < 0x80:
        return (first & 0x3F) << 8 | buf[pos + 1], pos + 2
    if first == 0x80:
        return int.from_bytes(buf[pos + 1 : pos + 5], "big"), pos + 5
    if first == 0x81:
        return int.from_bytes(buf[pos + 1 : pos + 9], "big"), pos + 9
    raise RdbError(f"byte 0x{first:02x} is not a length")


def read_string(buf: bytes, pos: int) -> bytes:
    """The decoded string at `pos`, which must be whole in the buffer."""
    first = buf[pos]
    if first < 0x40:
        return buf[pos + 1 : pos + 1 + first]
    if first < 0xC0:
        size, pos = length(buf, pos)
        return buf[pos : pos + size]
    encoding = first & 0x3F
    if encoding == _ENC_LZF:
        packed, pos = length(buf, pos + 1)
        size, pos = length(buf, pos)
        return lzf_decompress(buf[pos : pos + packed], size)
    width = {_ENC_INT8: 1, _ENC_INT16: 2, _ENC_INT32: 4}.get(encoding)
    if width is None:
        raise RdbError(f"string encoding {encoding} is not known")
    return b"%d" % int.from_bytes(buf[pos + 1 : pos + 1 + width], "little", signed=True)


def lzf_decompress(data: bytes, size: int) -> bytes:
    """LZF as Redis uses it, for the keys that the server compressed.

    RdbError if the data does not give exactly `size` bytes.
    """
    out = bytearray()
    pos, end = 0, len(data)
    try:
        while pos < end:
            control = data[pos]
            pos += 1
            if control < 32:
                out += data[pos : pos + control + 1]
                pos += control + 1
                continue
            run = control >> 5
            if run == 7:
                run += data[pos]
                pos += 1
            start = len(out) - ((control & 0x1F) << 8 | data[pos]) - 1
            pos += 1
            if start < 0:
                raise RdbError("compressed string refers to before its start")
            for offset in range(start, start + run + 2):
                out.append(out[offset])
            if len(out) > size:
                raise RdbError("compressed string is longer than it says")
    except IndexError:
        raise RdbError("compressed string ends early") from None
    if len(out) != size:
        raise RdbError("compressed string is not as long as it says")
    return bytes(out)


_NAMES: Final[Mapping[int, str]] = {
    **dict.fromkeys((0,), "string"),
    **dict.fromkeys((1, 10, 14, 18), "list"),
    **dict.fromkeys((2, 11, 20), "set"),
    **dict.fromkeys((5, 12, 17), "zset"),
    **dict.fromkeys((4, 13, 16, 24, 25), "hash"),
    **dict.fromkeys((15, 19, 21), "stream"),
}
KNOWN_TYPES: Final = frozenset(_NAMES)


def type_name(kind: int) -> str:
    """The Redis type (`string`, `hash`, ...) of an RDB value type. RdbUnsupported if it is not known."""
    if kind not in _NAMES:
        raise RdbUnsupported(f"value type {kind} is not known (a module's value, or a newer server)")
    return _NAMES[kind]


def header_version(head: bytes) -> int:
    """The RDB version of a stream that begins with these 9 bytes. RdbError if it is none."""
    found = HEADER.fullmatch(head)
    if found is None:
        raise RdbError("the stream does not begin as an RDB file")
    return int(found[1] or found[2])


def known_version(version: int) -> bool:
    """Whether the types of an RDB version are known here."""
    return MIN_VERSION <= version <= MAX_VERSION or version == VALKEY_VERSION


def header(version: int) -> bytes:
    """How a stream of an RDB version begins."""
    return b"VALKEY%03d" % version if version >= VALKEY_VERSION else b"REDIS%04d" % version


def library_name(code: bytes) -> str:
    """The name of a library of functions, by the first line of its code (`#!lua name=...`); "" if it has none."""
    words = code.split(b"\n", 1)[0].split()
    return next((word[5:].decode("utf-8", "replace") for word in words if word.startswith(b"name=")), "")
