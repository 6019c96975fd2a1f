"""Reading an archive, and proving that it is whole."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import zstandard
from blake3 import blake3

from services.backup.archive.cipher import KeyRing, unlock
from services.backup.archive.manifest import (
    END_MAGIC,
    FOOTER,
    MAGIC,
    MAX_MANIFEST_BYTES,
    ArchiveError,
    Manifest,
    hash_hex,
)
from services.backup.archive.medium import Source
from services.backup.rdb import Entry, RdbError, record_entries

_SMALLEST_FILE: Final = len(MAGIC) + FOOTER.size


class ArchiveReader:
    """Opens the archive in `source`: checks the footer and the manifest. ArchiveError if they are not whole.

    Every byte of it is covered: the magic is compared, frames and manifest are hashed, and the footer
    must describe exactly them. ArchiveLocked if it is encrypted and `keys` do not open it. Callable from several
    threads at once.
    """

    def __init__(self, source: Source, keys: KeyRing | None = None) -> None:
        self._source = source
        size = source.size
        if size < _SMALLEST_FILE:
            raise ArchiveError(f"the file has {size} bytes, fewer than any archive")
        if self._read_at(0, len(MAGIC)) != MAGIC:
            raise ArchiveError("the file does not begin as an archive")
        offset, length, digest, end = FOOTER.unpack(self._read_at(size - FOOTER.size, FOOTER.size))
        if end != END_MAGIC:
            raise ArchiveError("the file does not end as an archive; it is truncated or was never finished")
        if length > MAX_MANIFEST_BYTES or offset + length + FOOTER.size != size:
            raise ArchiveError("the footer does not describe this file")
        encoded = self._read_at(offset, length)
        if blake3(encoded).digest() != digest:
            raise ArchiveError("the manifest's checksum is wrong")
        encoded, self._cipher = unlock(encoded, keys)
        self.manifest = Manifest.decode(encoded)
        if self.manifest.end_of_frames() != offset:
            raise ArchiveError("the manifest does not describe every frame")
        self.size = size
        self.digest: str = digest.hex()
        """BLAKE3 of the manifest, which holds the BLAKE3 of every frame: the identity of the whole
        archive."""

    @property
    def key_id(self) -> str:
        """The key that it is encrypted with, "" if it is not."""
        return "" if self._cipher is None else self._cipher.key_id

    def _read_at(self, offset: int, length: int) -> bytes:
        data = self._source.read(offset, length)
        if len(data) != length:
            raise ArchiveError("the file ends early")
        return data

    def packed(self, number: int) -> bytes:
        """A frame as it lies in the file, its checksum right. ArchiveError if it is not."""
        frame = self.manifest.frames[number]
        packed = self._read_at(frame.offset, frame.length)
        if hash_hex(packed) != frame.blake3:
            raise ArchiveError(f"frame {number} is damaged: its checksum is wrong")
        return packed

    def unpacked(self, number: int) -> bytes:
        """What a frame holds, checked, decrypted and decompressed."""
        frame = self.manifest.frames[number]
        packed = self.packed(number)
        if self._cipher is not None:
            packed = self._cipher.decrypt(number, packed)
        try:
            # The size is compared before anything of that size is allocated.
            if zstandard.frame_content_size(packed) != frame.raw_length:
                raise ArchiveError(f"frame {number} does not hold as much as the manifest says")
            return zstandard.ZstdDecompressor().decompress(
                packed, max_output_size=frame.raw_length, allow_extra_data=False
            )
        except zstandard.ZstdError as error:
            raise ArchiveError(f"frame {number} cannot be decompressed: {error}") from None

    def entries(self, prefix: int | None = None) -> Iterator[Entry]:
        """The records, all or of one prefix, every frame checked before anything of it is given out."""
        database = self.manifest.snapshot.source.database
        for number, frame in enumerate(self.manifest.frames):
            if frame.prefix is None or (prefix is not None and frame.prefix != prefix):
                continue
            name = self.manifest.prefixes[frame.prefix].prefix.encode()
            count = 0
            try:
                for entry in record_entries(self.unpacked(number), database):
                    if not entry.key.startswith(name):
                        raise ArchiveError(f"frame {number} holds a key of another prefix")
                    count += 1
                    yield entry
            except RdbError as error:
                raise ArchiveError(f"frame {number}: {error}") from None
            if count != frame.entries:
                raise ArchiveError(f"frame {number} holds {count} entries, not {frame.entries}")

    def samples(self, prefix: int) -> dict[int, Entry]:
        """The smallest entry of each RDB type under a prefix: enough to ask a server whether it can load
        them all."""
        found: dict[int, Entry] = {}
        for entry in self.entries(prefix):
            known = found.get(entry.kind)
            if known is None or len(entry.record) < len(known.record):
                found[entry.kind] = entry
        return found
