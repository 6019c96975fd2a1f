"""The archive: what is written is read, and whatever is not whole is refused."""

from __future__ import annotations

import io
import random

import pytest
import zstandard
from blake3 import blake3

from services.backup.archive import (
    ArchiveError,
    ArchiveReader,
    ArchiveWriter,
    Manifest,
    MemorySource,
    Snapshot,
    SourceInfo,
)
from services.backup.archive.manifest import END_MAGIC, FOOTER
from services.backup.rdb import Entry, record_entries

PREFIXES = ("orchestrator:", "approval:", "empty:")


def entry(key: str, value: bytes = b"v", kind: int = 0) -> Entry:
    record = bytes([kind, len(key)]) + key.encode() + bytes([len(value)]) + value
    (made,) = record_entries(record)
    return made


def snapshot() -> Snapshot:
    source = SourceInfo(
        server_version="7.2.4",
        replication_id="a" * 40,
        replication_offset=42,
        database=0,
        rdb_version=11,
        rdb_bytes=1000,
        crc_checked=True,
    )
    return Snapshot(
        backup_id="bkp_1",
        target="all",
        created_by="alice",
        restore_id="",
        create_time_ms=1,
        end_time_ms=2,
        source=source,
        other_keys=3,
    )


def build(frame_bytes: int = 300) -> bytes:
    out = io.BytesIO()
    writer = ArchiveWriter(out.write, PREFIXES, frame_bytes=frame_bytes)
    for i in range(50):
        writer.add(i % 2, entry(f"{PREFIXES[i % 2]}{i}", b"x" * (i % 20), kind=16 if i % 3 else 0))
    writer.finish(snapshot())
    return out.getvalue()


def verify(data: bytes) -> ArchiveReader:
    reader = ArchiveReader(MemorySource(data))
    reader.verify()
    return reader


def reseal(data: bytes, change: tuple[str, str]) -> bytes:
    """The archive with its manifest changed and everything around it made right again."""
    offset, length, _, _ = FOOTER.unpack(data[-FOOTER.size :])
    manifest = data[offset : offset + length].decode()
    assert change[0] in manifest
    encoded = manifest.replace(*change, 1).encode()
    return data[:offset] + encoded + FOOTER.pack(offset, len(encoded), blake3(encoded).digest(), END_MAGIC)


def test_round_trip() -> None:
    reader = verify(build())
    manifest = reader.manifest
    assert [(p.prefix, p.keys) for p in manifest.prefixes] == [("orchestrator:", 25), ("approval:", 25), ("empty:", 0)]
    assert sum(manifest.prefixes[0].types.values()) == 25
    assert len(manifest.frames) > 4
    assert manifest.snapshot == snapshot()
    assert [e.key for e in reader.entries(1)] == [b"approval:%d" % i for i in range(1, 50, 2)]
    assert {e.kind for e in reader.samples(0).values()} == {0, 16}
    assert reader.samples(0)[0].key == b"orchestrator:0"
    assert manifest.index_of("approval:") == 1
    assert manifest.index_of("other:") is None
    assert Manifest.decode(manifest.encode()) == manifest


def test_an_archive_of_nothing_is_an_archive() -> None:
    out = io.BytesIO()
    ArchiveWriter(out.write, PREFIXES).finish(snapshot())
    assert verify(out.getvalue()).manifest.keys == 0


def test_every_truncation_is_refused() -> None:
    whole = build()
    for size in range(len(whole)):
        with pytest.raises(ArchiveError):
            verify(whole[:size])


def test_every_flipped_bit_is_refused() -> None:
    whole = build()
    rng = random.Random(5)
    for position in range(len(whole)):
        damaged = bytearray(whole)
        damaged[position] ^= 1 << rng.randrange(8)
        with pytest.raises(ArchiveError):
            verify(bytes(damaged))


@pytest.mark.parametrize("extra", [b"\0", b"more" * 100])
def test_bytes_behind_the_end_are_refused(extra: bytes) -> None:
    with pytest.raises(ArchiveError):
        verify(build() + extra)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (('"format_version":1', '"format_version":2'), "format_version"),
        (('"keys":25', '"keys":24'), "manifest counts"),
        (('"keys":25', '"keys":-1'), "greater than or equal"),
        (('"prefix":"approval:"', '"prefix":"orchestrator:"'), "another prefix"),
        (('"offset":8', '"offset":9'), "does not lie"),
        (('"raw_length":3', '"raw_length":4'), "as much as"),
        (('"other_keys":3', '"other_keys":3,"surprise":1'), "surprise"),
        (('"entries":1', '"entries":2'), "entries"),
    ],
)
def test_a_manifest_that_lies_is_refused(change: tuple[str, str], message: str) -> None:
    with pytest.raises(ArchiveError, match=message):
        verify(reseal(build(), change))


def test_a_frame_that_swells_is_refused_before_it_is_unpacked() -> None:
    """A frame whose real content is far larger than the manifest says must not be allocated."""
    bomb = zstandard.ZstdCompressor().compress(b"\0" * (64 << 20))
    data = build()
    manifest = ArchiveReader(MemorySource(data)).manifest
    frame = manifest.frames[0].model_copy(update={"length": len(bomb), "blake3": blake3(bomb).hexdigest(), "offset": 8})
    encoded = manifest.model_copy(update={"frames": [frame]}).encode()
    footer = FOOTER.pack(8 + len(bomb), len(encoded), blake3(encoded).digest(), END_MAGIC)
    with pytest.raises(ArchiveError, match="as much as"):
        verify(data[:8] + bomb + encoded + footer)


def test_a_damaged_frame_of_another_prefix_does_not_hide() -> None:
    data = bytearray(build())
    last = ArchiveReader(MemorySource(bytes(data))).manifest.frames[-1]
    data[last.offset] ^= 1
    reader = ArchiveReader(MemorySource(bytes(data)))
    assert last.prefix == 1
    assert len(list(reader.entries(0))) == 25
    with pytest.raises(ArchiveError, match="damaged"):
        reader.verify()
