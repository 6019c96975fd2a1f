"""What an archive says about itself, and the fixed bytes around it."""

from __future__ import annotations

import struct
from collections import Counter
from typing import Final, Literal

from blake3 import blake3
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from services.backup.rdb import Entry

MAGIC: Final = b"MHBACKUP"
END_MAGIC: Final = b"MHBKPEND"
FORMAT_VERSION: Final = 1
FOOTER: Final = struct.Struct("<QQ32s8s")
"""Offset and length of the manifest, its BLAKE3, and the commit mark."""
MAX_MANIFEST_BYTES: Final = 256 << 20
MAX_FRAME_BYTES: Final = 3 << 30


class ArchiveError(ValueError):
    """The file is not a whole archive: truncated, damaged, or not one at all."""


class _Strict(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class SourceInfo(_Strict):
    """Where the snapshot comes from.

    `rdb_version` is the format of every value; `crc_checked` is false if the server writes no checksum.
    """

    server_version: str
    replication_id: str
    replication_offset: int
    database: int = Field(ge=0)
    rdb_version: int = Field(ge=1, le=0xFFFF)
    rdb_bytes: int = Field(ge=0)
    crc_checked: bool


class PrefixCounts(_Strict):
    """What the archive holds under one prefix.

    `bytes` counts records before compression; `types` is by RDB type number.
    """

    prefix: str = Field(min_length=1)
    keys: int = Field(ge=0)
    bytes: int = Field(ge=0)
    expiring_keys: int = Field(ge=0)
    types: dict[str, int]


class Frame(_Strict):
    """One zstd frame of whole records of one prefix.

    `length` is its compressed size, `raw_length` its size before.
    """

    prefix: int = Field(ge=0)
    offset: int = Field(ge=0)
    length: int = Field(ge=1)
    raw_length: int = Field(ge=1, le=MAX_FRAME_BYTES)
    entries: int = Field(ge=1)
    blake3: str = Field(pattern="^[0-9a-f]{64}$")


class Snapshot(_Strict):
    """What is known of a snapshot beside its content. Times are Unix milliseconds by the service's Redis."""

    backup_id: str
    target: str
    created_by: str
    restore_id: str
    create_time_ms: int
    end_time_ms: int
    source: SourceInfo
    other_keys: int = Field(ge=0)


class Manifest(_Strict):
    """The whole description of an archive.

    `other_keys` (in `snapshot`) counts keys of the server that belong to none of the prefixes.
    """

    format_version: Literal[1]
    snapshot: Snapshot
    prefixes: list[PrefixCounts]
    frames: list[Frame]

    @property
    def keys(self) -> int:
        return sum(prefix.keys for prefix in self.prefixes)

    def index_of(self, prefix: str) -> int | None:
        """The index of a prefix in `prefixes`, None if the archive does not cover it."""
        return next((i for i, counts in enumerate(self.prefixes) if counts.prefix == prefix), None)

    def encode(self) -> bytes:
        return self.model_dump_json().encode()

    @staticmethod
    def decode(data: bytes) -> Manifest:
        """Parse and check; ArchiveError if it is not a manifest of a known format."""
        try:
            manifest = Manifest.model_validate_json(data)
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(str(part) for part in first["loc"])
            raise ArchiveError(f"the manifest is not valid: {where}: {first['msg']}") from None
        end = len(MAGIC)
        for number, frame in enumerate(manifest.frames):
            if frame.offset != end or frame.prefix >= len(manifest.prefixes):
                raise ArchiveError(f"the manifest's frame {number} does not lie where it should")
            end += frame.length
        return manifest

    def end_of_frames(self) -> int:
        return self.frames[-1].offset + self.frames[-1].length if self.frames else len(MAGIC)


class Tally:
    """Counts of the records of one prefix, kept the same way when writing and when verifying."""

    def __init__(self, prefix: str) -> None:
        self.prefix = prefix
        self.keys = self.bytes = self.expiring = 0
        self.types: Counter[int] = Counter()

    def add(self, entry: Entry) -> None:
        self.keys += 1
        self.bytes += len(entry.record)
        self.types[entry.kind] += 1
        if entry.expire_ms is not None:
            self.expiring += 1

    def counts(self) -> PrefixCounts:
        types = {str(kind): count for kind, count in sorted(self.types.items())}
        return PrefixCounts(
            prefix=self.prefix, keys=self.keys, bytes=self.bytes, expiring_keys=self.expiring, types=types
        )


def hash_hex(data: bytes) -> str:
    return blake3(data).hexdigest()
