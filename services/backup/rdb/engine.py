"""The part of RDB reading that touches every byte: it is written in Lua and runs in LuaJIT, without Python's lock.

Python needs microseconds to step over one element, LuaJIT nanoseconds; with it a snapshot is sorted, counted and hashed
faster than a server can send it. The buffers belong to Python, Lua gets addresses, and reads nothing outside of them.
"""

from __future__ import annotations

import ctypes
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from lupa.luajit21 import LuaRuntime  # type: ignore[import-untyped]

from services.backup.rdb.format import RdbError, RdbUnsupported

Event = Callable[[str, bytes, bytes], None]


class TallyBlock(ctypes.Structure):
    """Counts of records, shared with scan.lua, which has the same layout."""

    _fields_ = (
        ("keys", ctypes.c_uint64),
        ("bytes", ctypes.c_uint64),
        ("expiring", ctypes.c_uint64),
        ("first_expiry", ctypes.c_int64),
        ("last_expiry", ctypes.c_int64),
        ("digest", ctypes.c_uint64 * 2),
        ("types", ctypes.c_uint64 * 256),
    )

    @property
    def digest_number(self) -> int:
        low, high = self.digest
        return int(low) | int(high) << 64


def address_of(buffer: bytes | bytearray) -> int:
    """Where a buffer's bytes are. The caller keeps it alive, and does not resize it, while the address is in use."""
    if isinstance(buffer, bytearray):
        return ctypes.addressof(ctypes.c_char.from_buffer(buffer)) if buffer else 0
    return ctypes.cast(ctypes.c_char_p(buffer), ctypes.c_void_p).value or 0


def raise_for(status: str, words: str) -> None:
    """RdbError or RdbUnsupported for what the engine found wrong; nothing if it is at the end."""
    if status == "unsupported":
        raise RdbUnsupported(words)
    if status == "short":
        raise RdbError("the records end in the middle of an entry")
    if status == "damaged":
        raise RdbError(words)


class Engine:
    """One Lua state with everything loaded. For one thread at a time."""

    def __init__(self) -> None:
        lua = LuaRuntime(unpack_returned_tuples=True, encoding="latin-1", register_eval=False, register_builtins=False)
        self._lua = lua
        folder = Path(__file__).parent

        def load(name: str, *args: Any) -> Any:
            return lua.execute((folder / f"{name}.lua").read_text(), *args)

        fmt = load("format")
        siphash = load("siphash")
        digest = load("digest", fmt, siphash, load("packs", fmt))
        scan = load("scan", fmt, siphash, digest)
        self._tally = scan.tally
        self._index = scan.index
        self._sorter = scan.sorter

    def sorter(self, database: int, frame_bytes: int, places: list[tuple[bytes, bytes]], on_event: Event) -> Any:
        """A sorter of scan.lua, for (prefix, staging prefix) pairs. `on_event` gets what is found beside records."""

        def event(kind: str, first: str, second: str) -> None:
            on_event(kind, first.encode("latin-1"), second.encode("latin-1"))

        pairs = [self._lua.table(prefix.decode("latin-1"), staging.decode("latin-1")) for prefix, staging in places]
        return self._sorter(database, frame_bytes, self._lua.table(*pairs), event)

    def tally(self, records: bytes | bytearray, prefix: bytes, into: TallyBlock, shift_ms: int = 0) -> None:
        """Count and hash the records of one prefix, their expiries moved in place by `shift_ms`, for a bytearray only.

        RdbError if they are not whole, well-formed records of keys with that prefix and nothing else.
        """
        status, words = self._tally(
            address_of(records), len(records), prefix.decode("latin-1"), shift_ms, ctypes.addressof(into)
        )
        raise_for(status, words)

    def index(self, records: bytes, position: int, rows: ctypes.Array[ctypes.c_int64]) -> tuple[int, int]:
        """Fill `rows` with four numbers a record, from `position` on. Returns how many records, and where to go on."""
        status, words, count, after = self._index(
            address_of(records), position, len(records), ctypes.addressof(rows), len(rows) // 4
        )
        raise_for(status, words)
        return int(count), int(after)


_local = threading.local()


def engine() -> Engine:
    """This thread's engine."""
    found: Engine | None = getattr(_local, "engine", None)
    if found is None:
        found = _local.engine = Engine()
    return found
