"""Writing a plain RDB file, as a server would."""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import Final

from services.backup.rdb import format as rdb
from services.backup.rdb.payload import crc64

_MAX_SHORT: Final = 0x3F


class RdbWriter:
    """Writes through `write`: a header, then what is added, then the end mark with its checksum."""

    def __init__(self, write: Callable[[bytes], object], version: int) -> None:
        self._write = write
        self._crc = 0
        self.add(rdb.header(version))

    def add(self, data: bytes | bytearray) -> None:
        """Add whole items, as they are: functions, or records of the database that was selected."""
        self._crc = crc64(memoryview(data), self._crc)
        self._write(bytes(data))

    def select(self, database: int) -> None:
        """What follows belongs to this database."""
        number = bytes([database]) if database <= _MAX_SHORT else b"\x80" + struct.pack(">I", database)
        self.add(bytes([rdb.OP_SELECT_DB]) + number)

    def finish(self) -> None:
        self.add(bytes([rdb.OP_EOF]))
        self._write(struct.pack("<Q", self._crc))
