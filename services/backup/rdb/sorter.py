"""Reading an RDB stream, and sorting its entries by prefix as they come.

Memory depends on the largest entry, not on the size of the stream.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from services.backup.rdb import format as rdb
from services.backup.rdb.engine import TallyBlock, address_of, engine
from services.backup.rdb.format import RdbError, RdbUnsupported
from services.backup.rdb.payload import crc64
from services.backup.rdb.records import RecordTally

READ_SIZE: Final = 1 << 20
MAX_ENTRY_BYTES: Final = 2 << 30
"""Largest entry that is read.

The server's own limit is 512 MB a string; a length beyond this is a damaged stream.
"""
FRAME_BYTES: Final = 4 << 20
"""Records are collected to this size before they are compressed; from 1 MiB on the size costs no compression ratio
(measured)."""
BUFFER_BYTES: Final = FRAME_BYTES * 5 // 4
"""A buffer holds a little more than a frame, so that its last record seldom has to go into the next one."""


@dataclass
class Batch:
    """Whole records of one prefix: the first `size` bytes of `buffer`."""

    prefix: int
    buffer: bytearray
    size: int
    entries: int


class BufferPool:
    """Buffers that go round, for making one means clearing it. Callable from any thread."""

    def __init__(self, size: int) -> None:
        self.size = size
        self._free: list[bytearray] = []

    def take(self, least: int) -> bytearray:
        if least <= self.size and self._free:
            try:
                return self._free.pop()
            except IndexError:
                pass
        return bytearray(max(self.size, least))

    def put(self, buffer: bytearray) -> None:
        if len(buffer) == self.size:
            self._free.append(buffer)


class RdbSorter:
    """Reads a whole stream through `read(n)`, which gives 1 to n bytes, and b"" at the end.

    `run` gives every batch of records to `emit`, in the order in which they fill up. Keys of the prefixes are those in
    `database`. A key that has a prefix followed by `staging` goes to `on_staged` and is left out. After `run` the other
    attributes hold for the whole stream. RdbError if the stream is damaged or ends early, RdbUnsupported if it has a
    version, type or opcode that is not known here.
    """

    def __init__(
        self,
        read: Callable[[int], bytes],
        prefixes: Sequence[str],
        emit: Callable[[Batch], None],
        *,
        database: int = 0,
        staging: str = "",
        on_staged: Callable[[bytes], None] | None = None,
        progress: Callable[[int, int], None] | None = None,
        pool: BufferPool | None = None,
        frame_bytes: int = FRAME_BYTES,
        max_entry_bytes: int = MAX_ENTRY_BYTES,
        read_bytes: int = READ_SIZE,
    ) -> None:
        self._read = read
        self._emit = emit
        self._on_staged = on_staged
        self._progress = progress
        self._max_entry = max_entry_bytes
        self._pool = pool or BufferPool(frame_bytes * 5 // 4)
        self._held: list[bytearray | None] = [None] * len(prefixes)
        self._blocks = [TallyBlock() for _ in prefixes]
        places = [(prefix.encode(), (prefix + staging).encode() if staging else b"") for prefix in prefixes]
        # An empty staging prefix would hold every key.
        places = [(prefix, staged or b"\xff" * 64) for prefix, staged in places]
        self._sorting = (database, frame_bytes, places)
        self._lua: Any = None
        self._read_bytes = read_bytes
        self._buffer = bytearray()
        self._filled = 0
        self._crc = 0
        self.tallies = [RecordTally(prefix) for prefix in prefixes]
        self.version = 0
        self.aux: dict[str, str] = {}
        self.functions: list[tuple[bytes, bytes]] = []
        """Source code of each library, and its item in the stream."""
        self.has_module_data = False
        self.other_keys = 0
        self.bytes_read = 0
        self.crc_checked = False

    def _event(self, kind: str, first: bytes, second: bytes) -> None:
        if kind == "aux":
            self.aux[first.decode("utf-8", "replace")] = second.decode("utf-8", "replace")
        elif kind == "function":
            self.functions.append((first, second))
        elif kind == "module_aux":
            self.has_module_data = True
        elif self._on_staged is not None:
            self._on_staged(first)

    def _refill(self, position: int) -> None:
        """Drop what is before `position`, and at least double what remains, so that reading a large entry again
        costs linear time."""
        view = memoryview(self._buffer)
        self._crc = crc64(view[:position], self._crc)
        rest = self._filled - position
        if rest > self._max_entry:
            raise RdbError(f"an entry is larger than {self._max_entry} bytes; the stream is damaged")
        if len(self._buffer) < 2 * rest + self._read_bytes:
            larger = bytearray(2 * rest + self._read_bytes)
            larger[:rest] = view[position : self._filled]
            self._buffer = larger
        elif position:
            view[:rest] = view[position : self._filled]
        view.release()
        view = memoryview(self._buffer)
        got = 0
        while got <= rest:
            chunk = self._read(self._read_bytes)
            if not chunk:
                break
            view[rest + got : rest + got + len(chunk)] = chunk
            got += len(chunk)
        if not got:
            raise RdbError("the stream ends early")
        self._filled = rest + got
        self.bytes_read += got

    def _header(self) -> None:
        while self._filled < rdb.HEADER_BYTES:
            self._refill(0)
        self.version = rdb.header_version(bytes(self._buffer[: rdb.HEADER_BYTES]))
        if not rdb.known_version(self.version):
            raise RdbUnsupported(
                f"RDB version {self.version} is not supported "
                f"(known: {rdb.MIN_VERSION} to {rdb.MAX_VERSION}, {rdb.VALKEY_VERSION})"
            )

    def run(self) -> None:
        """Read the stream to its end, in one thread."""
        self._lua = engine().sorter(*self._sorting, self._event)
        self._header()
        position = rdb.HEADER_BYTES
        while True:
            status, place, more, used = self._lua.feed(address_of(self._buffer) + position, self._filled - position)
            position += int(used)
            if status == "short":
                self._report()
                self._refill(position)
                position = 0
            elif status == "flush":
                self._flush(int(place) - 1)
            elif status == "grow":
                self._give(int(place) - 1, int(more))
            elif status == "end":
                break
            elif status == "unsupported":
                raise RdbUnsupported(more)
            else:
                raise RdbError(more)
        self._finish(position)
        for place in range(len(self._held)):
            self._flush(place)
            self._held[place] = None
            self.tallies[place].add(self._blocks[place])
        self.other_keys = int(self._lua.state())
        self._report()

    @property
    def keys(self) -> int:
        """Keys sorted so far."""
        return sum(int(block.keys) for block in self._blocks)

    def _report(self) -> None:
        if self._progress is not None:
            self._progress(self.keys, self.bytes_read)

    def _give(self, place: int, least: int) -> None:
        held = self._held[place]
        if held is not None:
            self._pool.put(held)
        buffer = self._pool.take(least)
        self._held[place] = buffer
        self._lua.give(place + 1, address_of(buffer), len(buffer), ctypes.addressof(self._blocks[place]))

    def _flush(self, place: int) -> None:
        size, entries = (int(number) for number in self._lua.held(place + 1))
        buffer = self._held[place]
        if buffer is None or not size:
            return
        self._held[place] = None
        self._lua.give(place + 1, 0, 0, ctypes.addressof(self._blocks[place]))
        self._emit(Batch(place, buffer, size, entries))

    def _finish(self, position: int) -> None:
        while self._filled - position < 8:
            self._refill(position)
            position = 0
        computed = crc64(memoryview(self._buffer)[:position], self._crc)
        stored = int.from_bytes(self._buffer[position : position + 8], "little")
        # A server with `rdbchecksum no` writes 0.
        if stored and stored != computed:
            raise RdbError(f"the stream's checksum is {computed:016x} but should be {stored:016x}")
        self.crc_checked = bool(stored)
        if self._filled > position + 8 or self._read(1):
            raise RdbError("the stream goes on behind its end")
