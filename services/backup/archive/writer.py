"""Writing an archive front to back, in memory of one unfinished frame a prefix."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

import zstandard
from blake3 import blake3

from services.backup.archive.manifest import (
    END_MAGIC,
    FOOTER,
    FORMAT_VERSION,
    MAGIC,
    Frame,
    Manifest,
    Snapshot,
    Tally,
    hash_hex,
)
from services.backup.rdb import Entry

FRAME_BYTES: Final = 4 << 20
"""Records are collected to this size before they are compressed; from 1 MiB on the size costs no
compression ratio (measured)."""
ZSTD_LEVEL: Final = 3


class ArchiveWriter:
    """Writes records through `write`, which appends to a new file or object.

    Nothing is an archive before `finish`.
    """

    def __init__(
        self, write: Callable[[bytes], object], prefixes: Sequence[str], *, frame_bytes: int = FRAME_BYTES
    ) -> None:
        self._write = write
        self._frame_bytes = frame_bytes
        self._compressor = zstandard.ZstdCompressor(level=ZSTD_LEVEL)
        self._tallies = [Tally(prefix) for prefix in prefixes]
        self._open: list[list[bytes]] = [[] for _ in prefixes]
        self._open_bytes = [0] * len(prefixes)
        self._frames: list[Frame] = []
        self._offset = len(MAGIC)
        write(MAGIC)

    def add(self, prefix: int, entry: Entry) -> None:
        """Add one record under the prefix with this index."""
        self._tallies[prefix].add(entry)
        self._open[prefix].append(entry.record)
        self._open_bytes[prefix] += len(entry.record)
        if self._open_bytes[prefix] >= self._frame_bytes:
            self._flush(prefix)

    def _flush(self, prefix: int) -> None:
        records = self._open[prefix]
        if not records:
            return
        packed = self._compressor.compress(b"".join(records))
        self._write(packed)
        self._frames.append(
            Frame(
                prefix=prefix,
                offset=self._offset,
                length=len(packed),
                raw_length=self._open_bytes[prefix],
                entries=len(records),
                blake3=hash_hex(packed),
            )
        )
        self._offset += len(packed)
        self._open[prefix] = []
        self._open_bytes[prefix] = 0

    def finish(self, snapshot: Snapshot) -> Manifest:
        """Write what is still open, the manifest, and the footer that makes it an archive."""
        for prefix in range(len(self._tallies)):
            self._flush(prefix)
        manifest = Manifest(
            format_version=FORMAT_VERSION,
            snapshot=snapshot,
            prefixes=[tally.counts() for tally in self._tallies],
            frames=self._frames,
        )
        encoded = manifest.encode()
        self._write(encoded)
        self._write(FOOTER.pack(self._offset, len(encoded), blake3(encoded).digest(), END_MAGIC))
        return manifest
