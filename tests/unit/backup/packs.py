"""Redis' packed encodings, written as a server writes them; the reader under test is another piece of code."""

from __future__ import annotations

import struct
from collections.abc import Sequence

Item = bytes | int


def text(data: bytes) -> bytes:
    """A plain RDB string."""
    if len(data) < 64:
        return bytes([len(data)]) + data
    if len(data) < 16384:
        return struct.pack(">H", 0x4000 | len(data)) + data
    return b"\x80" + struct.pack(">I", len(data)) + data


def squeezed(data: bytes) -> bytes:
    """An RDB string that is compressed, though badly: literal runs only, and a copy of the first run if it repeats."""
    packed = b"".join(bytes([len(run) - 1]) + run for i in range(0, len(data), 32) if (run := data[i : i + 32]))
    return b"\xc3" + length(len(packed)) + length(len(data)) + packed


def length(number: int) -> bytes:
    return bytes([number]) if number < 64 else b"\x80" + struct.pack(">I", number)


def _signed(value: int, width: int) -> bytes:
    return value.to_bytes(width, "little", signed=True)


def _width(value: int, widths: Sequence[int]) -> int:
    return next(width for width in widths if -(1 << (8 * width - 1)) <= value < 1 << (8 * width - 1))


def _listpack_item(item: Item) -> bytes:
    if isinstance(item, int):
        if 0 <= item < 128:
            return bytes([item])
        if -4096 <= item < 4096:
            return struct.pack(">H", 0xC000 | item & 0x1FFF)
        width = _width(item, (2, 3, 4, 8))
        return bytes([{2: 0xF1, 3: 0xF2, 4: 0xF3, 8: 0xF4}[width]]) + _signed(item, width)
    if len(item) < 64:
        return bytes([0x80 | len(item)]) + item
    if len(item) < 4096:
        return struct.pack(">H", 0xE000 | len(item)) + item
    return b"\xf0" + struct.pack("<I", len(item)) + item


def listpack(items: Sequence[Item]) -> bytes:
    body = b""
    for item in items:
        entry = _listpack_item(item)
        limits = (128, 16383, 2097151, 268435455)
        back = next((i for i, limit in enumerate(limits, 1) if len(entry) < limit), 5)
        body += entry + b"\0" * back
    return struct.pack("<IH", len(body) + 7, min(len(items), 0xFFFF)) + body + b"\xff"


def _ziplist_item(item: Item) -> bytes:
    if isinstance(item, int):
        if 0 <= item <= 12:
            return bytes([0xF1 + item])
        width = _width(item, (1, 2, 3, 4, 8))
        return bytes([{1: 0xFE, 2: 0xC0, 3: 0xF0, 4: 0xD0, 8: 0xE0}[width]]) + _signed(item, width)
    if len(item) < 64:
        return bytes([len(item)]) + item
    if len(item) < 16384:
        return struct.pack(">H", 0x4000 | len(item)) + item
    return b"\x80" + struct.pack(">I", len(item)) + item


def ziplist(items: Sequence[Item]) -> bytes:
    body, before = b"", 0
    for item in items:
        head = bytes([before]) if before < 254 else b"\xfe" + struct.pack("<I", before)
        entry = head + _ziplist_item(item)
        body, before = body + entry, len(entry)
    return struct.pack("<IIH", len(body) + 11, 10, len(items)) + body + b"\xff"


def intset(numbers: Sequence[int], width: int = 8) -> bytes:
    return struct.pack("<II", width, len(numbers)) + b"".join(_signed(number, width) for number in numbers)


def stream_node(
    entries: Sequence[tuple[int, int, Sequence[tuple[bytes, bytes]], bool]], master: Sequence[bytes]
) -> bytes:
    """A node of a stream: (milliseconds and sequence from the node's id, pairs, deleted) each."""
    live = sum(not deleted for *_, deleted in entries)
    items: list[Item] = [live, len(entries) - live, len(master), *master, 0]
    for ms, seq, pairs, deleted in entries:
        same = [name for name, _ in pairs] == list(master)
        items += [(2 if same else 0) | (1 if deleted else 0), ms, seq]
        if same:
            items += [value for _, value in pairs]
        else:
            items += [len(pairs), *(part for pair in pairs for part in pair)]
        items.append(len(pairs) + 3 if same else 2 * len(pairs) + 4)
    return listpack(items)
