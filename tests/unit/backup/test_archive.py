"""The archive: what is written is read, and whatever is not whole is refused."""

from __future__ import annotations

import base64
import io
import json
import random
from pathlib import Path

import pytest
import zstandard
from blake3 import blake3

from services.backup.archive import (
    ArchiveError,
    ArchiveLocked,
    ArchiveReader,
    ArchiveWriter,
    BadKeys,
    KeyRing,
    Level,
    Manifest,
    MemorySource,
)
from services.backup.archive.manifest import END_MAGIC, FOOTER
from services.backup.rdb import RecordTally
from services.backup.verify import verify_archive
from tests.unit.backup.archives import FUNCTION, build, ignore, snapshot, verify

KEY_1, KEY_2 = bytes(range(32)), bytes(range(1, 33))


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
    first, _, empty = manifest.prefixes
    assert first.types == {"0": 9, "16": 16}
    assert (first.first_expiry_ms, first.last_expiry_ms) == (1_900_000_000_000, 1_900_000_000_048)
    assert (first.expiring_keys, empty.first_expiry_ms, empty.digest) == (9, None, "0" * 32)
    assert len(manifest.frames) == 7
    assert (manifest.functions, manifest.frames[-1].content) == (["lib"], "functions")
    assert reader.unpacked(6) == FUNCTION
    assert manifest.snapshot == snapshot()
    assert [e.key for e in reader.entries(1)] == [b"approval:%d" % i for i in range(1, 50, 2)]
    assert len(list(reader.entries())) == manifest.keys == 50
    assert {e.kind for e in reader.samples(0).values()} == {0, 16}
    assert reader.samples(0)[0].key == b"orchestrator:0"
    assert manifest.index_of("approval:") == 1
    assert manifest.index_of("other:") is None
    assert Manifest.decode(manifest.encode()) == manifest


def test_an_archive_of_nothing_is_an_archive() -> None:
    out = io.BytesIO()
    with ArchiveWriter(out.write) as writer:
        writer.finish(snapshot(), [RecordTally("a:")])
    assert verify(out.getvalue()).manifest.keys == 0


def test_an_archive_of_the_first_format_is_read() -> None:
    """As services of format 1 wrote it: no content, digest, expiries, engine."""
    data = build()
    manifest = json.loads(ArchiveReader(MemorySource(data)).manifest.encode())
    functions = manifest["frames"].pop()
    for name in ("form", "flags", "functions"):
        del manifest[name]
    del manifest["snapshot"]["consistency"]
    for name in ("engine", "info"):
        del manifest["snapshot"]["source"][name]
    for counts in manifest["prefixes"]:
        for name in ("first_expiry_ms", "last_expiry_ms", "digest"):
            del counts[name]
    for frame in manifest["frames"]:
        del frame["content"]
    encoded = json.dumps(manifest | {"format_version": 1}).encode()
    whole = data[: functions["offset"]] + encoded
    whole += FOOTER.pack(functions["offset"], len(encoded), blake3(encoded).digest(), END_MAGIC)
    reader = verify(whole)
    assert (reader.manifest.format_version, reader.manifest.keys) == (1, 50)
    assert reader.manifest.prefixes[0].digest is None
    assert len(list(reader.entries())) == 50
    encoded = encoded.replace(b'"keys": 25', b'"keys": 24', 1)
    whole = data[: functions["offset"]] + encoded
    with pytest.raises(ArchiveError, match="manifest counts"):
        verify(whole + FOOTER.pack(functions["offset"], len(encoded), blake3(encoded).digest(), END_MAGIC))


def test_every_truncation_is_refused() -> None:
    whole = build(keys=10, per_frame=5)
    for size in range(len(whole)):
        with pytest.raises(ArchiveError):
            verify(whole[:size])


@pytest.mark.parametrize("level", [Level.FRAMES, Level.CONTENT])
@pytest.mark.parametrize("locked", [False, True], ids=["clear", "encrypted"])
def test_every_flipped_bit_is_refused(level: Level, locked: bool) -> None:
    ring = KeyRing({"k1": KEY_1}) if locked else None
    whole = build(keys=10, per_frame=5, cipher=ring.new_cipher("bkp_1") if ring else None)
    rng = random.Random(5)
    for position in range(len(whole)):
        damaged = bytearray(whole)
        damaged[position] ^= 1 << rng.randrange(8)
        with pytest.raises(ArchiveError):
            verify(bytes(damaged), ring, level)


@pytest.mark.parametrize("extra", [b"\0", b"more" * 100])
def test_bytes_behind_the_end_are_refused(extra: bytes) -> None:
    with pytest.raises(ArchiveError):
        verify(build() + extra)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (('"format_version":2', '"format_version":3'), "format_version"),
        (('"keys":25', '"keys":24'), "manifest counts"),
        (('"keys":25', '"keys":-1'), "greater than or equal"),
        (('"prefix":"approval:"', '"prefix":"orchestrator:"'), "another prefix"),
        (('"offset":8', '"offset":9'), "does not lie"),
        (('"raw_length":3', '"raw_length":4'), "as much as"),
        (('"other_keys":3', '"other_keys":3,"surprise":1'), "surprise"),
        (('"entries":10', '"entries":11'), "entries"),
        (('"content":"records"', '"content":"functions"'), "does not lie"),
        (('"form":"records"', '"form":"stream"'), "no place"),
        (('"last_expiry_ms":1', '"last_expiry_ms":2'), "manifest counts"),
        (('"types":{"0":9,', '"types":{"0":9,"1":0,'), "manifest counts"),
        (('"digest":"', '"digest":"' + "0" * 32 + '","x":"'), "x"),
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
    last = ArchiveReader(MemorySource(bytes(data))).manifest.frames[-2]
    data[last.offset] ^= 1
    reader = ArchiveReader(MemorySource(bytes(data)))
    assert last.prefix == 1
    assert len(list(reader.entries(0))) == 25
    with pytest.raises(ArchiveError, match="damaged"):
        verify_archive(reader, Level.FRAMES, ignore)
    verify_archive(reader, Level.FOOTER, ignore)


def test_an_encrypted_archive_tells_nothing_and_opens_with_its_key() -> None:
    ring = KeyRing({"k1": KEY_1})
    data = build(cipher=ring.new_cipher("bkp_1"))
    assert data != build(cipher=ring.new_cipher("bkp_1")), "a salt for each archive"
    reader = verify(data, ring)
    assert (reader.key_id, reader.manifest.keys) == ("k1", 50)
    assert len(list(reader.entries())) == 50
    assert reader.unpacked(6) == FUNCTION
    for secret in (b"orchestrator:", b"alice", b"lib", b"7.2.4", b"digest", KEY_1, base64.b64encode(KEY_1)):
        assert secret not in data
    outside = json.loads(data[slice(*manifest_of(data))])
    assert set(outside["encrypted"]) == {"backup_id", "key_id", "salt", "manifest"}


def manifest_of(data: bytes) -> tuple[int, int]:
    offset, length, _, _ = FOOTER.unpack(data[-FOOTER.size :])
    return offset, offset + length


def test_keys_rotate_and_old_archives_still_open() -> None:
    old = build(cipher=KeyRing({"k1": KEY_1}).new_cipher("bkp_1"))
    rotated = KeyRing({"k2": KEY_2, "k1": KEY_1})
    new = build(cipher=rotated.new_cipher("bkp_1"))
    assert [verify(data, rotated).key_id for data in (old, new)] == ["k1", "k2"]
    assert verify(build(), rotated).key_id == ""


@pytest.mark.parametrize(
    ("ring", "message"),
    [
        (None, "has no keys"),
        (KeyRing({"k2": KEY_2}), "'k1', which is not among"),
        (KeyRing({"k1": KEY_2}), "is not the one"),
    ],
)
def test_without_the_key_an_archive_is_locked_and_not_damaged(ring: KeyRing | None, message: str) -> None:
    data = build(cipher=KeyRing({"k1": KEY_1}).new_cipher("bkp_1"))
    with pytest.raises(ArchiveLocked, match=message):
        verify(data, ring)


def test_frames_are_bound_to_their_place_and_archive() -> None:
    ring = KeyRing({"k1": KEY_1})
    first, second = ring.new_cipher("bkp_1"), ring.new_cipher("bkp_1")
    packed = first.encrypt(0, b"frame")
    assert first.decrypt(0, packed) == b"frame"
    renamed = ring.cipher("k1", first.salt, "bkp_2")
    for cipher, part in ((first, 1), (second, 0), (renamed, 0)):
        with pytest.raises(ArchiveError, match="encrypted"):
            cipher.decrypt(part, packed)
    assert first.encrypt(1, b"frame") != packed


def line(name: str, key: bytes) -> str:
    return f"{name} {base64.b64encode(key).decode()}\n"


def test_keys_from_a_file_and_a_command(tmp_path: Path) -> None:
    path = tmp_path / "keys"
    path.write_text("# new\n" + line("k2", KEY_2) + "\n" + line("k1", KEY_1))
    path.chmod(0o600)
    data = build(cipher=KeyRing({"k1": KEY_1}).new_cipher("bkp_1"))
    for ring in (KeyRing.from_file(path), KeyRing.from_command(f"cat {path}")):
        assert ring.current == "k2"
        assert verify(data, ring).key_id == "k1"
    path.chmod(0o644)
    with pytest.raises(BadKeys, match="chmod"):
        KeyRing.from_file(path)


@pytest.mark.parametrize(
    "text",
    ["", "k1", "k1 c2hvcnQ=", "k1 ***", line("k1", KEY_1) * 2, line("-", KEY_1), "k1 a b", line("k", KEY_1[:16])],
)
def test_keys_that_are_none_are_refused_without_being_told(text: str) -> None:
    with pytest.raises(BadKeys) as refused:
        KeyRing.parse(text, "the file")
    assert "c2hvcnQ" not in str(refused.value)
    assert base64.b64encode(KEY_1).decode() not in str(refused.value)


@pytest.mark.parametrize("command", ["false", "/does/not/exist", "sh -c 'echo secret; exit 3'", "'"])
def test_a_key_command_that_fails_is_said_without_its_output(command: str) -> None:
    with pytest.raises(BadKeys) as refused:
        KeyRing.from_command(command)
    assert "secret" not in str(refused.value)
