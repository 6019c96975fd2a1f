"""What an archive lies on: the two small interfaces between the format and whatever stores it."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import BinaryIO, Protocol


class Source(Protocol):
    """The bytes of a stored archive, or of one that is about to be stored."""

    @property
    def size(self) -> int:
        """Bytes in all."""
        ...

    def read(self, offset: int, length: int) -> bytes:
        """The bytes from `offset`; fewer than `length` only at the end. Callable from several threads at once.

        OSError if the storage fails.
        """
        ...


class Sink(Protocol):
    """Where one new archive goes, front to back. Nobody sees it before `seal` has returned."""

    def write(self, data: bytes) -> None:
        """Append. Called from one thread at a time. OSError if the storage fails."""
        ...

    def seal(self, check: Callable[[Source], None]) -> None:
        """Make what was written durable, have it checked by reading it back, and give it its name.

        `check` is called once for every place that the archive went to, before it can be seen there, and raises if it
        is not whole; then it is removed, as if it had never been written, and the error goes on.
        """
        ...

    def abort(self) -> None:
        """Remove everything that was written. Nothing if it is sealed, or aborted already."""
        ...


class FileSource:
    """A file that is open for reading. It does not close it."""

    def __init__(self, file: BinaryIO) -> None:
        self._handle = file.fileno()
        self._size = os.fstat(self._handle).st_size

    @property
    def size(self) -> int:
        return self._size

    def read(self, offset: int, length: int) -> bytes:
        data = os.pread(self._handle, length, offset)
        if len(data) == length or not data:
            return data
        # One read gives at most 2 GiB, and less from some file systems.
        parts = [data]
        while data and (got := sum(map(len, parts))) < length:
            data = os.pread(self._handle, length - got, offset + got)
            parts.append(data)
        return b"".join(parts)


class MemorySource:
    """An archive that is in memory."""

    def __init__(self, data: bytes) -> None:
        self._data = data

    @property
    def size(self) -> int:
        return len(self._data)

    def read(self, offset: int, length: int) -> bytes:
        return self._data[offset : offset + length]
