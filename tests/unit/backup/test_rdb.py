"""The RDB reader: encodings that are rare in tests against a server, cuts at every byte, and what it must refuse."""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.backup.rdb import (
    Batch,
    Entry,
    RdbCopy,
    RdbError,
    RdbSorter,
    RdbUnsupported,
    RdbWriter,
    dump_payload,
    library_name,
    record_entries,
)
from services.backup.rdb.format import KNOWN_TYPES, lzf_decompress, read_string, type_name
from services.backup.rdb.payload import crc64
from tests.unit.backup.packs import intset, listpack, stream_node, text, ziplist

ID = struct.pack(">QQ", 5, 1)
WHEN = struct.pack("<q", 1_700_000_000_000)
PENDING = b"\x01" + ID + WHEN + b"\x02"
NODE = text(ID) + text(stream_node([(0, 0, [(b"f", b"v")], False)], [b"f"]))
VALUES: dict[int, bytes] = {
    0: text(b"value"),
    1: b"\x02" + text(b"a") + text(b"b"),
    2: b"\x01" + text(b"m"),
    4: b"\x01" + text(b"f") + text(b"v"),
    5: b"\x01" + text(b"m") + struct.pack("<d", 1.5),
    10: text(ziplist([b"a", 7])),
    11: text(intset([1, 2], 2)),
    12: text(ziplist([b"m", 3])),
    13: text(ziplist([b"f", b"v"])),
    14: b"\x02" + text(ziplist([b"a"])) + text(ziplist([b"b"])),
    15: b"\x01" + NODE + b"\x01\x05\x00" + b"\x01" + text(b"g") + b"\x05\x00" + PENDING
    + b"\x01" + text(b"c") + WHEN + b"\x01" + ID,
    16: text(listpack([b"f", b"v"])),
    17: text(listpack([b"m", b"1.5"])),
    18: b"\x01\x02" + text(listpack([b"a"])),
    19: b"\x01" + NODE + b"\x01" * 8 + b"\x01" + text(b"g") + b"\x05\x00\x01" + PENDING
    + b"\x01" + text(b"c") + WHEN + b"\x01" + ID,
    20: text(listpack([b"a", 1])),
    21: b"\x01" + NODE + b"\x01" * 8 + b"\x01" + text(b"g") + b"\x05\x00"
    + b"\x81" + b"\xff" * 8 + PENDING + b"\x01" + text(b"c") + WHEN + WHEN + b"\x01" + ID,
    24: WHEN + b"\x02\x00" + text(b"f") + text(b"v") + b"\x01" + text(b"g") + text(b"w"),
    25: WHEN + text(listpack([b"f", b"v", 0])),
}  # fmt: skip


def stream(body: bytes, version: bytes = b"0011", *, crc: bool = True) -> bytes:
    data = b"REDIS" + version + body + b"\xff"
    return data + struct.pack("<Q", crc64(data) if crc else 0)


CODE = b"#!lua name=lib"


def every_type() -> bytes:
    aux = b"\xfa" + text(b"redis-ver") + text(b"7.4.0") + b"\xfa" + text(b"ctime") + b"\xc2\x01\x02\x03\x04"
    module = (
        b"\xf7\x81" + b"\x00" * 8 + b"\x02\x01" + b"\x01\x05\x02\x07\x03ffff\x04dddddddd\x05" + text(b"s") + b"\x00"
    )
    keys = b"".join(
        (b"\xfc" + WHEN if kind % 2 else b"") + b"\xf8\x05\xf9\x07" + bytes([kind]) + text(b"k:%d" % kind) + value
        for kind, value in VALUES.items()
    )
    return stream(
        aux + module + b"\xf5" + text(CODE) + b"\xfe\x02\xfb\x40\x90\x03\xf4\x01\x02\x03"
        + b"\xfd" + struct.pack("<i", 1_700_000_000) + b"\x00" + text(b"k:seconds") + text(b"v") + keys
    )  # fmt: skip


def reader(data: bytes, step: int) -> Callable[[int], bytes]:
    pieces: Iterator[bytes] = (data[i : i + step] for i in range(0, len(data), step))
    return lambda _: next(pieces, b"")


def read(data: bytes, step: int = 1 << 12, frame_bytes: int = 1 << 12) -> tuple[list[Entry], RdbSorter]:
    entries: list[Entry] = []

    def emit(batch: Batch) -> None:
        found = list(record_entries(bytes(batch.buffer[: batch.size]), 2))
        assert len(found) == batch.entries
        entries.extend(found)

    rdb = RdbSorter(reader(data, step), ["k:"], emit, database=2, frame_bytes=frame_bytes, read_bytes=1 << 12)
    rdb.run()
    return entries, rdb


def test_every_type_known_is_tested() -> None:
    assert set(VALUES) == KNOWN_TYPES


@pytest.mark.parametrize("step", [1, 2, 3, 7, 64, 1 << 12])
@pytest.mark.parametrize("frame_bytes", [1, 50, 1 << 12])
def test_every_type_in_pieces_of_any_size(step: int, frame_bytes: int) -> None:
    entries, rdb = read(every_type(), step, frame_bytes)
    assert [(e.kind, e.value, e.db) for e in entries[1:]] == [(kind, value, 2) for kind, value in VALUES.items()]
    assert [e.expire_ms for e in entries[1:]] == [1_700_000_000_000 if kind % 2 else None for kind in VALUES]
    assert entries[0].expire_ms == 1_700_000_000_000
    assert rdb.aux == {"redis-ver": "7.4.0", "ctime": str(0x04030201)}
    assert (rdb.version, rdb.crc_checked, rdb.has_module_data, rdb.other_keys) == (11, True, True, 0)
    assert rdb.functions == [(CODE, b"\xf5" + text(CODE))]
    assert rdb.bytes_read == len(every_type())
    records = b"".join(e.record for e in entries)
    assert list(record_entries(records, 2)) == entries
    (tally,) = rdb.tallies
    assert (tally.keys, tally.bytes) == (len(entries), len(records))
    assert tally.types == dict.fromkeys(VALUES, 1) | {0: 2}
    assert (tally.first_expiry, tally.last_expiry) == (1_700_000_000_000, 1_700_000_000_000)


def test_more_records_than_one_look_gives() -> None:
    records = b"".join(b"\x00" + text(b"k:%d" % i) + text(b"v") for i in range(5000))
    assert [e.key for e in record_entries(records)] == [b"k:%d" % i for i in range(5000)]


def test_keys_are_placed_by_database_prefix_and_staging() -> None:
    def key(name: bytes) -> bytes:
        return b"\x00" + text(name) + text(b"v")

    body = b"".join(
        (
            b"\xfe\x00",
            key(b"k:other database"),
            b"\xfe\x02",
            key(b"k:1"),
            key(b"k"),
            key(b"k:~r:1"),
            key(b"l:1"),
            key(b"x"),
        )
    )
    got: dict[int, list[bytes]] = {0: [], 1: []}
    staged: list[bytes] = []
    rdb = RdbSorter(
        reader(stream(body), 64),
        ["k:", "l:"],
        lambda batch: got[batch.prefix].extend(e.key for e in record_entries(bytes(batch.buffer[: batch.size]))),
        database=2,
        staging="~r:",
        on_staged=staged.append,
    )
    rdb.run()
    assert got == {0: [b"k:1"], 1: [b"l:1"]}
    assert staged == [b"k:~r:1"]
    assert rdb.other_keys == 3


def test_what_a_callback_raises_comes_out() -> None:
    def refuse(key: bytes) -> None:
        raise LookupError(key)

    body = b"\x00" + text(b"k:~r:1") + text(b"v")
    rdb = RdbSorter(reader(stream(body), 64), ["k:"], lambda batch: None, staging="~r:", on_staged=refuse)
    with pytest.raises(LookupError):
        rdb.run()


@pytest.mark.parametrize("step", [1, 5, 1 << 20])
def test_a_copy_is_the_stream(step: int) -> None:
    whole = every_type()
    pieces: list[bytearray] = []
    copy = RdbCopy(reader(whole, step), pieces.append, piece_bytes=100)
    copy.run()
    assert b"".join(pieces) == whole
    assert (copy.version, copy.crc_checked, copy.bytes_read) == (11, True, len(whole))
    for damaged in (whole[:-1], whole[:5], b"", whole[:20] + b"?" + whole[21:], b"X" + whole[1:]):
        with pytest.raises(RdbError):
            RdbCopy(reader(damaged, step), lambda piece: None).run()


def test_what_is_written_is_read() -> None:
    entries, _ = read(every_type())
    parts: list[bytes] = []
    writer = RdbWriter(parts.append, 11)
    writer.select(2)
    for entry in entries:
        writer.add(entry.record)
    writer.finish()
    assert read(b"".join(parts))[0] == entries
    far: list[bytes] = []
    RdbWriter(far.append, 11).select(300)
    assert far[-1] == b"\xfe\x80\x00\x00\x01\x2c"


def test_names_of_libraries() -> None:
    assert library_name(b"#!lua name=mylib\nredis.register_function('f', f)") == "mylib"
    assert library_name(b"#!lua\nname=no") == ""


def test_cut_anywhere_is_an_error() -> None:
    whole = every_type()
    for end in range(len(whole)):
        with pytest.raises(RdbError):
            read(whole[:end])


def test_any_flipped_bit_is_an_error() -> None:
    whole = every_type()
    for position in range(len(whole)):
        for bit in range(8):
            damaged = bytearray(whole)
            damaged[position] ^= 1 << bit
            with pytest.raises(RdbError):
                read(bytes(damaged))


def test_records_cut_anywhere_are_an_error() -> None:
    entries, _ = read(every_type())
    whole = b"".join(entry.record for entry in entries)
    ends = {0}
    for entry in entries:
        ends.add(max(ends) + len(entry.record))
    for end in set(range(len(whole))) - ends:
        with pytest.raises(RdbError):
            list(record_entries(whole[:end]))


def test_what_follows_the_end_is_an_error() -> None:
    with pytest.raises(RdbError, match="goes on"):
        read(stream(b"") + b"\n")


def test_a_server_without_checksum_is_noted() -> None:
    _, rdb = read(stream(b"\x00" + text(b"k") + text(b"v"), crc=False))
    assert not rdb.crc_checked


@pytest.mark.parametrize(
    ("body", "version", "message"),
    [
        (b"", b"0013", "RDB version 13"),
        (b"", b"0081", "RDB version 81"),
        (b"", b"0005", "RDB version 5"),
        (b"\x07" + text(b"k"), b"0011", "value type 7"),
        (b"\x16" + text(b"k"), b"0011", "value type 22"),
        (b"\xf3", b"0011", "opcode 0xf3"),
    ],
)
def test_what_is_not_known_is_said_and_not_guessed(body: bytes, version: bytes, message: str) -> None:
    with pytest.raises(RdbUnsupported, match=message):
        read(stream(body, version))


def test_a_length_beyond_reason_is_a_damaged_stream() -> None:
    for size, message in ((b"\xff" * 8, "beyond reason"), (b"\x00\x00\x00\x01" + b"\xff" * 4, "larger than")):
        data = b"REDIS0011\x00\x01k\x81" + size + b"\xff" * 3_000_000
        rdb = RdbSorter(reader(data, 1 << 18), ["k:"], lambda batch: None, max_entry_bytes=1 << 20)
        with pytest.raises(RdbError, match=message):
            rdb.run()


def test_an_unknown_type_has_no_name() -> None:
    assert type_name(21) == "stream"
    with pytest.raises(RdbUnsupported):
        type_name(99)


@pytest.mark.parametrize(
    ("encoded", "value"),
    [
        (b"\xc0\xff", b"-1"),
        (b"\xc1\x00\x80", b"-32768"),
        (b"\xc2\xff\xff\xff\x7f", b"2147483647"),
        (text(b"x" * 63), b"x" * 63),
        (text(b"x" * 64), b"x" * 64),
        (text(b"x" * 16384), b"x" * 16384),
        (b"\x81" + struct.pack(">Q", 3) + b"abc", b"abc"),
        # "ab" as it is, then a copy of 19 bytes from two back.
        (b"\xc3\x06\x15" + b"\x01ab" + b"\xe0\x0a\x01", b"ab" + b"ab" * 9 + b"a"),
    ],
)
def test_string_encodings(encoded: bytes, value: bytes) -> None:
    assert read_string(encoded, 0) == value
    (entry,) = record_entries(b"\x00" + encoded + b"\x00")
    assert entry.key == value


@given(st.binary(max_size=64), st.integers(0, 100))
def test_lzf_never_does_worse_than_an_error(data: bytes, size: int) -> None:
    try:
        assert len(lzf_decompress(data, size)) == size
    except RdbError:
        return


@given(st.binary(max_size=200))
def test_hostile_records_never_do_worse_than_an_error(data: bytes) -> None:
    try:
        assert b"".join(entry.record for entry in record_entries(data)) == data
    except RdbError:
        return


def test_the_payload_of_restore() -> None:
    # DUMP of the string "10" by Redis 6.2, from the documentation of the command's format.
    payload = dump_payload(0, b"\xc0\x0a", 9)
    assert payload[:3] == b"\x00\xc0\x0a"
    assert payload[3:5] == b"\x09\x00"
    assert payload[5:] == struct.pack("<Q", crc64(payload[:5]))
    assert crc64(b"123456789") == 0xE9C6D914C4B8D9CA
