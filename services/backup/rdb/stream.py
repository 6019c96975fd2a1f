"""Reading an RDB stream entry by entry, in memory that depends on the largest entry and not on the size of
the stream."""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from typing import Final, NamedTuple

from services.backup.rdb import format as rdb
from services.backup.rdb.format import RdbError, RdbUnsupported
from services.backup.rdb.payload import crc64

READ_SIZE: Final = 1 << 20
MAX_ENTRY_BYTES: Final = 2 << 30
"""Largest entry that is read.

The server's own limit is 512 MB a string; a length beyond this is a damaged stream.
"""


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


def _entry_end(kind: int, buf: bytes, pos: int) -> int:
    skip = rdb.SKIPPERS.get(kind)
    if skip is None:
        rdb.type_name(kind)
        raise RdbError(f"value type {kind} has no reader")
    return skip(buf, pos)


def record_entries(data: bytes, db: int = 0) -> Iterator[Entry]:
    """The entries of concatenated records (a frame of an archive).

    RdbError if they are not whole and nothing else.
    """
    pos, size = 0, len(data)
    try:
        while pos < size:
            start, expire = pos, None
            kind = data[pos]
            if kind == rdb.OP_EXPIRE_MS:
                (expire,) = struct.unpack_from("<q", data, pos + 1)
                pos += 9
                kind = data[pos]
            key_at = pos + 1
            value_at = rdb.skip_string(data, key_at)
            pos = _entry_end(kind, data, value_at)
            if pos > size:
                break
            yield Entry(db, rdb.read_string(data, key_at), kind, expire, data[start:pos], value_at - start)
    except (IndexError, struct.error):
        raise RdbError("the records end in the middle of an entry") from None
    if pos != size:
        raise RdbError("the records end in the middle of an entry")


class RdbStream:
    """A whole RDB stream, read through `read(n)`, which gives 1 to n bytes, and b"" at the end.

    Iterate `entries()` to the end; after that `version`, `aux`, `crc_checked` and `bytes_read` hold for the
    whole stream. RdbError if the stream is damaged or ends early, RdbUnsupported if it has a version, type or
    opcode that is not known here.
    """

    def __init__(self, read: Callable[[int], bytes], *, max_entry_bytes: int = MAX_ENTRY_BYTES) -> None:
        self._read = read
        self._max_entry = max_entry_bytes
        self._buf = b""
        self._crc = 0
        self.version = 0
        self.aux: dict[str, str] = {}
        self.functions = 0
        self.bytes_read = 0
        self.crc_checked = False

    def _refill(self, pos: int) -> None:
        """Drop what is before `pos`, and at least double what remains, so that reading a large entry again
        costs linear time."""
        buf = self._buf
        self._crc = crc64(buf[:pos], self._crc)
        rest = len(buf) - pos
        if rest > self._max_entry:
            raise RdbError(f"an entry is larger than {self._max_entry} bytes; the stream is damaged")
        parts, got = [buf[pos:]], 0
        while got <= rest:
            chunk = self._read(READ_SIZE)
            if not chunk:
                break
            parts.append(chunk)
            got += len(chunk)
        if not got:
            raise RdbError("the stream ends early")
        self.bytes_read += got
        self._buf = b"".join(parts)

    def _header(self) -> None:
        while len(self._buf) < 9:
            self._refill(0)
        head = self._buf[:9]
        if head[:5] != rdb.MAGIC or not head[5:].isdigit():
            raise RdbError("the stream does not begin as an RDB file")
        self.version = int(head[5:])
        if not rdb.MIN_VERSION <= self.version <= rdb.MAX_VERSION:
            raise RdbUnsupported(
                f"RDB version {self.version} is not supported (known: {rdb.MIN_VERSION} to {rdb.MAX_VERSION})"
            )

    def entries(self) -> Iterator[Entry]:
        self._header()
        pos, db, expire = 9, 0, None
        while True:
            buf = self._buf
            size = len(buf)
            start = pos
            try:
                while True:
                    # `start` is behind the last whole item; an item cut off by the buffer's end is read again
                    # from there.
                    start = pos
                    kind = buf[pos]
                    if kind < rdb.MIN_OPCODE:
                        value_at = rdb.skip_string(buf, pos + 1)
                        end = _entry_end(kind, buf, value_at)
                        if end > size:
                            break
                        key = rdb.read_string(buf, pos + 1)
                        record, offset = buf[pos:end], value_at - pos
                        if expire is not None:
                            record, offset = struct.pack("<Bq", rdb.OP_EXPIRE_MS, expire) + record, offset + 9
                        pos = end
                        yield Entry(db, key, kind, expire, record, offset)
                        expire = None
                        continue
                    if kind == rdb.OP_EOF:
                        if size - pos < 9:
                            break
                        self._finish(pos + 1)
                        return
                    if kind == rdb.OP_EXPIRE_MS:
                        end, value = pos + 9, int.from_bytes(buf[pos + 1 : pos + 9], "little", signed=True)
                    elif kind == rdb.OP_EXPIRE_S:
                        end, value = (
                            pos + 5,
                            1000 * int.from_bytes(buf[pos + 1 : pos + 5], "little", signed=True),
                        )
                    elif kind == rdb.OP_SELECT_DB:
                        value, end = rdb.length(buf, pos + 1)
                    else:
                        end, value = self._skip_opcode(kind, buf, pos + 1), 0
                    if end > size:
                        break
                    if kind == rdb.OP_SELECT_DB:
                        db = value
                    elif kind in (rdb.OP_EXPIRE_MS, rdb.OP_EXPIRE_S):
                        expire = value
                    elif kind == rdb.OP_AUX:
                        self._keep_aux(buf, pos + 1)
                    elif kind == rdb.OP_FUNCTION:
                        self.functions += 1
                    pos = end
            except IndexError:
                pass
            self._refill(start)
            pos = 0

    @staticmethod
    def _skip_opcode(kind: int, buf: bytes, pos: int) -> int:
        if kind == rdb.OP_AUX:
            return rdb.skip_string(buf, rdb.skip_string(buf, pos))
        if kind == rdb.OP_FREQ:
            return pos + 1
        if kind == rdb.OP_FUNCTION:
            return rdb.skip_string(buf, pos)
        if kind == rdb.OP_MODULE_AUX:
            return rdb.skip_module_aux(buf, pos)
        counts = {rdb.OP_IDLE: 1, rdb.OP_RESIZE_DB: 2, rdb.OP_SLOT_INFO: 3}.get(kind)
        if counts is None:
            raise RdbUnsupported(f"opcode 0x{kind:02x} is not known (a newer server)")
        for _ in range(counts):
            _, pos = rdb.length(buf, pos)
        return pos

    def _keep_aux(self, buf: bytes, pos: int) -> None:
        name = rdb.read_string(buf, pos).decode("utf-8", "replace")
        self.aux[name] = rdb.read_string(buf, rdb.skip_string(buf, pos)).decode("utf-8", "replace")

    def _finish(self, pos: int) -> None:
        computed = crc64(self._buf[:pos], self._crc)
        stored = int.from_bytes(self._buf[pos : pos + 8], "little")
        # A server with `rdbchecksum no` writes 0.
        if stored and stored != computed:
            raise RdbError(f"the stream's checksum is {computed:016x} but should be {stored:016x}")
        self.crc_checked = bool(stored)
        if len(self._buf) > pos + 8 or self._read(1):
            raise RdbError("the stream goes on behind its end")
