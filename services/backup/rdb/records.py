"""Records, as they lie in a frame: one key after the other, each with its expiry and its value."""

from __future__ import annotations

import ctypes
from collections.abc import Iterator
from typing import Final, NamedTuple

from services.backup.rdb import format as rdb
from services.backup.rdb.engine import TallyBlock, engine

_ROWS: Final = 1024


class Entry(NamedTuple):
    """One key with its value, as the server wrote it.

    `record` is the verbatim slice: an expiry in milliseconds with its opcode if there is one, type byte, key,
    value. `value_at` is where the value begins in it. `expire_ms` is Unix time in milliseconds.
    """

    db: int
    key: bytes
    kind: int
    expire_ms: int | None
    record: bytes
    value_at: int

    @property
    def value(self) -> bytes:
        return self.record[self.value_at :]


def record_entries(data: bytes, db: int = 0) -> Iterator[Entry]:
    """The entries of concatenated records (a frame of an archive).

    RdbError if they are not whole and nothing else; entries before the damage are given out first.
    """
    rows = (ctypes.c_int64 * (4 * _ROWS))()
    position = 0
    while position < len(data):
        count, position = engine().index(data, position, rows)
        numbers = iter(rows[: 4 * count])
        for start, kind_at, value_at, end in zip(numbers, numbers, numbers, numbers, strict=True):
            first = data[kind_at + 1]
            # Most keys are plain strings of less than 64 bytes.
            key = data[kind_at + 2 : kind_at + 2 + first] if first < 0x40 else rdb.read_string(data, kind_at + 1)
            expire = None
            if kind_at != start:
                expire = int.from_bytes(data[start + 1 : start + 9], "little", signed=True)
            yield Entry(db, key, data[kind_at], expire, data[start:end], value_at - start)


class RecordTally:
    """Counts and digest of the records of one prefix, the same when writing, when verifying, and on a server."""

    def __init__(self, prefix: str) -> None:
        self.prefix = prefix
        self.keys = self.bytes = self.expiring = 0
        self.first_expiry: int | None = None
        self.last_expiry: int | None = None
        self.types: dict[int, int] = {}
        self._digest = 0

    def add(self, block: TallyBlock) -> None:
        """Add what the engine has counted in one go."""
        if block.expiring:
            self._expiries(int(block.first_expiry), int(block.last_expiry))
        self.keys += int(block.keys)
        self.bytes += int(block.bytes)
        self.expiring += int(block.expiring)
        for kind, count in enumerate(block.types):
            if count:
                self.types[kind] = self.types.get(kind, 0) + count
        self._digest = (self._digest + block.digest_number) % (1 << 128)

    def add_records(self, records: bytes | bytearray, shift_ms: int = 0) -> None:
        """Count the records of a frame, whose expiries are moved in place by `shift_ms`. Errors as `Engine.tally`."""
        block = TallyBlock()
        engine().tally(records, self.prefix.encode(), block, shift_ms)
        self.add(block)

    def merge(self, other: RecordTally) -> None:
        """Add what another tally of the same prefix has counted."""
        if other.first_expiry is not None and other.last_expiry is not None:
            self._expiries(other.first_expiry, other.last_expiry)
        self.keys += other.keys
        self.bytes += other.bytes
        self.expiring += other.expiring
        for kind, count in other.types.items():
            self.types[kind] = self.types.get(kind, 0) + count
        self._digest = (self._digest + other._digest) % (1 << 128)

    def _expiries(self, first: int, last: int) -> None:
        self.first_expiry = first if self.first_expiry is None else min(first, self.first_expiry)
        self.last_expiry = last if self.last_expiry is None else max(last, self.last_expiry)

    @property
    def digest(self) -> str:
        """The canonical digest, 32 hexadecimal digits, lowest byte first."""
        return self._digest.to_bytes(16, "little").hex()
