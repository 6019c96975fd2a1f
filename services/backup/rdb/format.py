"""The RDB format: opcodes, value types, and how to step over a value without decoding it.

Source: `rdb.h` and `rdb.c` of Redis 6.2 to 8.0 and Valkey 7.2 to 8.1. Functions here take a buffer that may
end anywhere. They either raise IndexError or return a position behind the buffer's end when the buffer is too
short; the caller checks both and reads on.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

MAGIC: Final = b"REDIS"
MIN_VERSION: Final = 6
"""Oldest RDB version read here; every server since Redis 2.6 writes at least that."""
MAX_VERSION: Final = 12
"""Newest RDB version whose types are known here (Redis 7.4 to 8.0)."""

OP_SLOT_INFO: Final = 0xF4
OP_FUNCTION: Final = 0xF5
OP_MODULE_AUX: Final = 0xF7
OP_IDLE: Final = 0xF8
OP_FREQ: Final = 0xF9
OP_AUX: Final = 0xFA
OP_RESIZE_DB: Final = 0xFB
OP_EXPIRE_MS: Final = 0xFC
OP_EXPIRE_S: Final = 0xFD
OP_SELECT_DB: Final = 0xFE
OP_EOF: Final = 0xFF
MIN_OPCODE: Final = 0xF3

_ENC_INT8, _ENC_INT16, _ENC_INT32, _ENC_LZF = 0, 1, 2, 3
_STREAM_ID = 16
_MILLISECONDS = 8


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


def skip_string(buf: bytes, pos: int) -> int:
    """The position behind the string at `pos`."""
    first = buf[pos]
    if first < 0x40:
        return pos + 1 + first
    if first < 0x80:
        return pos + 2 + ((first & 0x3F) << 8 | buf[pos + 1])
    if first >= 0xC0:
        encoding = first & 0x3F
        if encoding == _ENC_INT8:
            return pos + 2
        if encoding == _ENC_INT16:
            return pos + 3
        if encoding == _ENC_INT32:
            return pos + 5
        if encoding == _ENC_LZF:
            packed, pos = length(buf, pos + 1)
            _, pos = length(buf, pos)
            return pos + packed
        raise RdbError(f"string encoding {encoding} is not known")
    size, pos = length(buf, pos)
    return pos + size


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


def _strings(per_element: int) -> Callable[[bytes, int], int]:
    def skip(buf: bytes, pos: int) -> int:
        count, pos = length(buf, pos)
        for _ in range(count * per_element):
            first = buf[pos]
            pos = pos + 1 + first if first < 0x40 else skip_string(buf, pos)
        return pos

    return skip


def _zset_ascii(buf: bytes, pos: int) -> int:
    count, pos = length(buf, pos)
    for _ in range(count):
        pos = skip_string(buf, pos)
        digits = buf[pos]
        pos += 1 if digits >= 253 else 1 + digits
    return pos


def _zset_binary(buf: bytes, pos: int) -> int:
    count, pos = length(buf, pos)
    for _ in range(count):
        pos = skip_string(buf, pos) + 8
    return pos


def _quicklist2(buf: bytes, pos: int) -> int:
    count, pos = length(buf, pos)
    for _ in range(count):
        _, pos = length(buf, pos)
        pos = skip_string(buf, pos)
    return pos


def _hash_field_expiry(buf: bytes, pos: int) -> int:
    count, pos = length(buf, pos + _MILLISECONDS)
    for _ in range(count):
        _, pos = length(buf, pos)
        pos = skip_string(buf, skip_string(buf, pos))
    return pos


def _listpack_field_expiry(buf: bytes, pos: int) -> int:
    return skip_string(buf, pos + _MILLISECONDS)


def _lengths(buf: bytes, pos: int, count: int) -> int:
    for _ in range(count):
        _, pos = length(buf, pos)
    return pos


def _stream(generation: int) -> Callable[[bytes, int], int]:
    def skip(buf: bytes, pos: int) -> int:
        packs, pos = length(buf, pos)
        for _ in range(packs):
            pos = skip_string(buf, skip_string(buf, pos))
        # Elements and the last id; since generation 2 also the first id, the greatest deleted id, and the
        # entries ever added.
        pos = _lengths(buf, pos, 3 if generation == 1 else 8)
        groups, pos = length(buf, pos)
        for _ in range(groups):
            pos = _lengths(buf, skip_string(buf, pos), 2 if generation == 1 else 3)
            pending, pos = length(buf, pos)
            for _ in range(pending):
                _, pos = length(buf, pos + _STREAM_ID + _MILLISECONDS)
            consumers, pos = length(buf, pos)
            for _ in range(consumers):
                pos = skip_string(buf, pos) + _MILLISECONDS * (2 if generation == 3 else 1)
                owned, pos = length(buf, pos)
                pos += owned * _STREAM_ID
        return pos

    return skip


_SKIP: Final[Mapping[int, tuple[str, Callable[[bytes, int], int]]]] = {
    0: ("string", skip_string),
    1: ("list", _strings(1)),
    2: ("set", _strings(1)),
    3: ("zset", _zset_ascii),
    4: ("hash", _strings(2)),
    5: ("zset", _zset_binary),
    9: ("hash", skip_string),
    10: ("list", skip_string),
    11: ("set", skip_string),
    12: ("zset", skip_string),
    13: ("hash", skip_string),
    14: ("list", _strings(1)),
    15: ("stream", _stream(1)),
    16: ("hash", skip_string),
    17: ("zset", skip_string),
    18: ("list", _quicklist2),
    19: ("stream", _stream(2)),
    20: ("set", skip_string),
    21: ("stream", _stream(3)),
    24: ("hash", _hash_field_expiry),
    25: ("hash", _listpack_field_expiry),
}
SKIPPERS: Final[Mapping[int, Callable[[bytes, int], int]]] = {kind: skip for kind, (_, skip) in _SKIP.items()}


def type_name(kind: int) -> str:
    """The Redis type (`string`, `hash`, ...) of an RDB value type. RdbUnsupported if it is not known."""
    if kind not in _SKIP:
        raise RdbUnsupported(f"value type {kind} is not known (a module's value, or a newer server)")
    return _SKIP[kind][0]


def skip_module_aux(buf: bytes, pos: int) -> int:
    """The position behind a module's auxiliary field: its id, when, and values up to their end mark."""
    pos = _lengths(buf, pos, 3)
    while True:
        opcode, pos = length(buf, pos)
        if opcode == 0:
            return pos
        if opcode in (1, 2):
            _, pos = length(buf, pos)
        elif opcode == 3:
            pos += 4
        elif opcode == 4:
            pos += 8
        elif opcode == 5:
            pos = skip_string(buf, pos)
        else:
            raise RdbError(f"module value opcode {opcode} is not known")
