"""Small archives to damage and to read."""

from __future__ import annotations

import io

from services.backup.archive import (
    ArchiveCipher,
    ArchiveReader,
    ArchiveWriter,
    KeyRing,
    Level,
    MemorySource,
    Snapshot,
    SourceInfo,
)
from services.backup.rdb import Batch, RecordTally
from services.backup.verify import verify_archive
from tests.unit.backup.packs import listpack, text

PREFIXES = ("orchestrator:", "approval:", "empty:")
FUNCTION = b"\xf5" + text(b"#!lua name=lib")


def snapshot() -> Snapshot:
    source = SourceInfo(
        engine="redis",
        server_version="7.2.4",
        replication_id="a" * 40,
        replication_offset=42,
        database=0,
        rdb_version=11,
        rdb_bytes=1000,
        crc_checked=True,
        info={"redis-bits": "64"},
    )
    return Snapshot(
        backup_id="bkp_1",
        target="all",
        created_by="alice",
        restore_id="",
        create_time_ms=1,
        end_time_ms=2,
        consistency="point-in-time",
        source=source,
        other_keys=3,
    )


def record(number: int) -> bytes:
    """A key, a third of them strings with an expiry."""
    key = text(f"{PREFIXES[number % 2]}{number}".encode())
    if number % 3:
        return b"\x10" + key + text(listpack([b"field", b"x" * (number % 20)]))
    return b"\xfc" + (1_900_000_000_000 + number).to_bytes(8, "little") + b"\x00" + key + text(b"x" * (number % 20))


def build(keys: int = 50, per_frame: int = 10, cipher: ArchiveCipher | None = None) -> bytes:
    """Frames of `per_frame` records under two prefixes, and a library of functions."""
    out = io.BytesIO()
    tallies = [RecordTally(prefix) for prefix in PREFIXES]
    with ArchiveWriter(out.write, cipher=cipher) as writer:
        for begin in range(0, keys, 2 * per_frame):
            for prefix in (0, 1):
                numbers = range(begin + prefix, min(begin + 2 * per_frame, keys), 2)
                records = bytearray(b"".join(map(record, numbers)))
                tallies[prefix].add_records(records)
                writer.add(Batch(prefix, records + b"unused room", len(records), len(numbers)))
        writer.add_bytes("functions", bytearray(FUNCTION))
        writer.finish(snapshot(), tallies, functions=["lib"])
    return out.getvalue()


def ignore(keys: int, size: int) -> None:
    pass


def verify(data: bytes, keys: KeyRing | None = None, level: Level = Level.CONTENT) -> ArchiveReader:
    reader = ArchiveReader(MemorySource(data), keys)
    verify_archive(reader, level, ignore)
    return reader
