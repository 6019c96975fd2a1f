"""Building the argument of RESTORE from a value sliced out of an RDB stream."""

from __future__ import annotations

import struct

import anycrc  # type: ignore[import-untyped]

_CRC64 = anycrc.Model("CRC64-REDIS")


def crc64(data: bytes | memoryview, crc: int = 0) -> int:
    """Redis' CRC-64 (Jones), continued from `crc`."""
    return int(_CRC64.calc(data, crc))


def dump_payload(kind: int, value: bytes, rdb_version: int) -> bytes:
    """What DUMP would answer: type, value, RDB version (2 bytes) and CRC-64 (8 bytes), both little-endian."""
    body = b"%c%b%b" % (kind, value, struct.pack("<H", rdb_version))
    return body + struct.pack("<Q", crc64(body))
