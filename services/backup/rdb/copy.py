"""Reading an RDB stream without understanding it: cut into pieces, and its checksum checked."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from services.backup.rdb import format as rdb
from services.backup.rdb.format import RdbError
from services.backup.rdb.payload import crc64
from services.backup.rdb.sorter import FRAME_BYTES, READ_SIZE

_CHECKSUM: Final = 8


class RdbCopy:
    """Reads a whole stream through `read(n)` and gives it to `emit` in pieces. RdbError if its checksum is wrong."""

    def __init__(
        self,
        read: Callable[[int], bytes],
        emit: Callable[[bytearray], None],
        *,
        progress: Callable[[int, int], None] | None = None,
        piece_bytes: int = FRAME_BYTES,
    ) -> None:
        self._read = read
        self._emit = emit
        self._progress = progress
        self._piece_bytes = piece_bytes
        self.version = 0
        self.bytes_read = 0
        self.crc_checked = False

    def run(self) -> None:
        """Read the stream to its end."""
        piece, tail, crc = bytearray(), b"", 0
        while data := self._read(READ_SIZE):
            self.bytes_read += len(data)
            piece += data
            if not self.version and self.bytes_read >= rdb.HEADER_BYTES:
                self.version = rdb.header_version(bytes(piece[: rdb.HEADER_BYTES]))
            seen = tail + data
            crc, tail = crc64(memoryview(seen)[:-_CHECKSUM], crc), seen[-_CHECKSUM:]
            if len(piece) >= self._piece_bytes:
                self._emit(piece)
                piece = bytearray()
                if self._progress is not None:
                    self._progress(0, self.bytes_read)
        if piece:
            self._emit(piece)
        if self.bytes_read < rdb.HEADER_BYTES + 1 + _CHECKSUM or not self.version:
            raise RdbError("the stream ends early")
        stored = int.from_bytes(tail, "little")
        # A server with `rdbchecksum no` writes 0.
        if stored and stored != crc:
            raise RdbError(f"the stream's checksum is {crc:016x} but should be {stored:016x}")
        self.crc_checked = bool(stored)
