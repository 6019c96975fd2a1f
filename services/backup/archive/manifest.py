"""What an archive says about itself, and the fixed bytes around it."""

from __future__ import annotations

import json
import struct
from typing import Any, Final, Literal

from blake3 import blake3
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from services.backup.rdb import RecordTally

MAGIC: Final = b"MHBACKUP"
END_MAGIC: Final = b"MHBKPEND"
FORMAT_VERSION: Final = 2
FOOTER: Final = struct.Struct("<QQ32s8s")
"""Offset and length of the manifest, its BLAKE3, and the commit mark."""
MAX_MANIFEST_BYTES: Final = 256 << 20
MAX_FRAME_BYTES: Final = 3 << 30

Content = Literal["records", "functions", "stream"]


class ArchiveError(ValueError):
    """The file is not a whole archive: truncated, damaged, or not one at all."""


class _Strict(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class SourceInfo(_Strict):
    """Where the snapshot comes from, and at which point it was cut.

    `rdb_version` is the format of every value; `crc_checked` is false if the server writes no checksum. `info` is what
    the server says of itself in the stream (`redis-bits`, `ctime`, `used-mem`, ...).
    """

    engine: str
    server_version: str
    replication_id: str
    replication_offset: int
    database: int = Field(ge=0)
    rdb_version: int = Field(ge=1, le=0xFFFF)
    rdb_bytes: int = Field(ge=0)
    crc_checked: bool
    info: dict[str, str]


class PrefixCounts(_Strict):
    """What the archive holds under one prefix.

    `bytes` counts records before compression; `types` is by RDB type number. Expiries are Unix milliseconds, null if no
    key has one. `digest` is the canonical digest of docs/backup-format.md; null in an archive of format 1.
    """

    prefix: str = Field(min_length=1)
    keys: int = Field(ge=0)
    bytes: int = Field(ge=0)
    expiring_keys: int = Field(ge=0)
    first_expiry_ms: int | None
    last_expiry_ms: int | None
    types: dict[str, int]
    digest: str | None = Field(pattern="^[0-9a-f]{32}$")


def counts_of(tally: RecordTally) -> PrefixCounts:
    """A tally as the manifest has it."""
    return PrefixCounts(
        prefix=tally.prefix,
        keys=tally.keys,
        bytes=tally.bytes,
        expiring_keys=tally.expiring,
        first_expiry_ms=tally.first_expiry,
        last_expiry_ms=tally.last_expiry,
        types={str(kind): count for kind, count in sorted(tally.types.items())},
        digest=tally.digest,
    )


class Frame(_Strict):
    """One zstd frame: whole records of one prefix, the server's functions, or a piece of its whole stream.

    `length` is its size in the file, `raw_length` its size before compression.
    """

    content: Content
    prefix: int | None = Field(ge=0)
    offset: int = Field(ge=0)
    length: int = Field(ge=1)
    raw_length: int = Field(ge=1, le=MAX_FRAME_BYTES)
    entries: int = Field(ge=0)
    blake3: str = Field(pattern="^[0-9a-f]{64}$")


class Snapshot(_Strict):
    """What is known of a snapshot beside its content. Times are Unix milliseconds by the service's Redis.

    `other_keys` counts keys of the server that belong to none of the prefixes.
    """

    backup_id: str
    target: str
    created_by: str
    restore_id: str
    create_time_ms: int
    end_time_ms: int
    consistency: Literal["point-in-time", "fuzzy"]
    source: SourceInfo
    other_keys: int = Field(ge=0)


class Manifest(_Strict):
    """The whole description of an archive.

    `form` is `stream` if the server's stream is kept as it is, because something in it is not known here; then no
    prefix is counted. `flags` say so, in stable words, and what else a reader must know. `functions` are the names of
    the libraries in the archive.
    """

    format_version: Literal[1, 2]
    form: Literal["records", "stream"]
    flags: list[str]
    snapshot: Snapshot
    prefixes: list[PrefixCounts]
    functions: list[str]
    frames: list[Frame]

    @model_validator(mode="after")
    def _frames_fit(self) -> Manifest:
        end = len(MAGIC)
        for number, frame in enumerate(self.frames):
            of_prefix = frame.prefix is not None and frame.prefix < len(self.prefixes) and frame.entries > 0
            if frame.offset != end or (of_prefix if frame.content != "records" else not of_prefix):
                raise ValueError(f"frame {number} does not lie where it should")
            if (frame.content == "stream") != (self.form == "stream"):
                raise ValueError(f"frame {number} has no place in this form")
            end += frame.length
        return self

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
            found = json.loads(data)
            if isinstance(found, dict) and found.get("format_version") == 1:
                found = _from_first_format(found)
            return Manifest.model_validate(found)
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(str(part) for part in first["loc"])
            raise ArchiveError(f"the manifest is not valid: {where}: {first['msg']}") from None
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            raise ArchiveError(f"the manifest is not valid: {error}") from None

    def end_of_frames(self) -> int:
        return self.frames[-1].offset + self.frames[-1].length if self.frames else len(MAGIC)


def _from_first_format(found: dict[str, Any]) -> dict[str, Any]:
    """A manifest of format 1 in today's words: it has no digests, functions or flags."""
    snapshot = dict(found["snapshot"])
    snapshot |= {"consistency": "point-in-time", "source": {"engine": "", "info": {}, **snapshot["source"]}}
    later = {"first_expiry_ms": None, "last_expiry_ms": None, "digest": None}
    return {
        "form": "records",
        "flags": [],
        "functions": [],
        **found,
        "snapshot": snapshot,
        "prefixes": [later | counts for counts in found["prefixes"]],
        "frames": [{"content": "records"} | frame for frame in found["frames"]],
    }


def hash_hex(data: bytes) -> str:
    return blake3(data).hexdigest()
