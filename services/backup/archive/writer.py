"""Writing an archive front to back. Frames are compressed in threads, and written in their order."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Final, Literal

import zstandard
from blake3 import blake3

from services.backup.archive.cipher import ArchiveCipher
from services.backup.archive.manifest import (
    END_MAGIC,
    FOOTER,
    FORMAT_VERSION,
    MAGIC,
    Content,
    Frame,
    Manifest,
    Snapshot,
    counts_of,
    hash_hex,
)
from services.backup.rdb import Batch, BufferPool, RecordTally

ZSTD_LEVEL: Final = 3
THREADS: Final = 2
_AHEAD: Final = 3
"""Frames that may wait to be compressed or written, each with its buffer."""


@dataclass(frozen=True)
class _Packed:
    data: bytes
    digest: str


class ArchiveWriter:
    """Writes through `write`, which appends to a new file or object. Use as a context manager.

    Nothing is an archive before `finish`. With a cipher everything is encrypted.
    """

    def __init__(
        self,
        write: Callable[[bytes], object],
        *,
        cipher: ArchiveCipher | None = None,
        pool: BufferPool | None = None,
    ) -> None:
        self._write = write
        self._cipher = cipher
        self._pool = pool
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="archive")
        self._local = threading.local()
        self._waiting: deque[tuple[Content, int | None, int, int, Future[_Packed]]] = deque()
        self._frames: list[Frame] = []
        self._begun = 0
        self._offset = len(MAGIC)
        write(MAGIC)

    def __enter__(self) -> ArchiveWriter:
        return self

    def __exit__(self, *_: object) -> None:
        self._threads.shutdown(cancel_futures=True)

    def add(self, batch: Batch) -> None:
        """Add the records of one prefix as a frame. The batch's buffer is not the caller's any more."""
        self._submit("records", batch.prefix, batch.buffer, batch.size, batch.entries)

    def add_bytes(self, content: Content, data: bytearray) -> None:
        """Add a frame that belongs to no prefix."""
        self._submit(content, None, data, len(data), 0)

    def _submit(self, content: Content, prefix: int | None, buffer: bytearray, size: int, entries: int) -> None:
        while len(self._waiting) >= _AHEAD:
            self._write_next()
        job = self._threads.submit(self._pack, self._begun, buffer, size)
        self._begun += 1
        self._waiting.append((content, prefix, size, entries, job))

    def _pack(self, number: int, buffer: bytearray, size: int) -> _Packed:
        if not hasattr(self._local, "compressor"):
            self._local.compressor = zstandard.ZstdCompressor(level=ZSTD_LEVEL)
        packed: bytes = self._local.compressor.compress(memoryview(buffer)[:size])
        if self._pool is not None:
            self._pool.put(buffer)
        if self._cipher is not None:
            packed = self._cipher.encrypt(number, packed)
        return _Packed(packed, hash_hex(packed))

    def _write_next(self) -> None:
        content, prefix, size, entries, job = self._waiting.popleft()
        packed = job.result()
        self._write(packed.data)
        self._frames.append(
            Frame(
                content=content,
                prefix=prefix,
                offset=self._offset,
                length=len(packed.data),
                raw_length=size,
                entries=entries,
                blake3=packed.digest,
            )
        )
        self._offset += len(packed.data)

    def finish(
        self,
        snapshot: Snapshot,
        tallies: Sequence[RecordTally],
        *,
        form: Literal["records", "stream"] = "records",
        flags: Sequence[str] = (),
        functions: Sequence[str] = (),
    ) -> Manifest:
        """Write what still waits, the manifest, and the footer that makes it an archive."""
        while self._waiting:
            self._write_next()
        manifest = Manifest(
            format_version=FORMAT_VERSION,
            form=form,
            flags=list(flags),
            snapshot=snapshot,
            prefixes=[counts_of(tally) for tally in tallies],
            functions=list(functions),
            frames=self._frames,
        )
        encoded = manifest.encode()
        if self._cipher is not None:
            encoded = self._cipher.lock(encoded)
        self._write(encoded)
        self._write(FOOTER.pack(self._offset, len(encoded), blake3(encoded).digest(), END_MAGIC))
        return manifest
