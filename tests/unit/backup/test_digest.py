"""The canonical digest: the same for the same value in every encoding, and another for anything else."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.backup.rdb import RdbError, RecordTally
from tests.unit.backup import reference as ref
from tests.unit.backup.packs import intset, length, listpack, squeezed, stream_node, text, ziplist


def digest(*records: bytes) -> str:
    tally = RecordTally("k:")
    tally.add_records(b"".join(records))
    return tally.digest


def rec(kind: int, value: bytes, key: bytes = b"k:1") -> bytes:
    return bytes([kind]) + text(key) + value


def expected(kind: str, value: int, key: bytes = b"k:1", expire_ms: int | None = None) -> str:
    return ref.total([ref.record(key, kind, value, expire_ms)])


def numeric(item: bytes | int) -> bytes:
    return item if isinstance(item, bytes) else b"%d" % item


def seconds(at: float) -> bytes:
    return struct.pack("<d", at)


ITEMS: list[bytes | int] = [b"", b"a", b"x" * 63, b"x" * 64, b"y" * 300, b"z" * 5000]
ITEMS += [0, 1, 12, 13, 127, 128, -1, -128, -129, 4095, -4096, 4096, 32767, -32768, 40_000, 2**23, -(2**23) - 1]
ITEMS += [2**31, -(2**31) - 1, 2**53 + 1, 2**63 - 1, -(2**63)]
PAIRS = {b"a": 1.5, b"b": -2.0, b"c": 1e300, b"d": float("inf"), b"e": float("-inf"), b"f": 0.1, b"g": 0.0}


def score(value: float) -> bytes | int:
    return int(value) if value == -2.0 else repr(value).encode()


@pytest.mark.parametrize("value", [b"", b"v", b"x" * 7, b"x" * 8, b"x" * 255, b"x" * 70_000])
def test_strings(value: bytes) -> None:
    assert digest(rec(0, text(value))) == expected("string", ref.string(value)) == digest(rec(0, squeezed(value)))


@pytest.mark.parametrize("encoded", [b"\xc0\x85", b"\xc1\x85\xff", b"\xc2\x85\xff\xff\xff", text(b"-123")])
def test_numbers_are_their_text(encoded: bytes) -> None:
    assert digest(rec(0, encoded)) == expected("string", ref.string(b"-123"))


def test_lists_in_every_encoding() -> None:
    want = expected("list", ref.list_of([numeric(item) for item in ITEMS]))
    half = len(ITEMS) // 2
    assert digest(rec(1, length(len(ITEMS)) + b"".join(text(numeric(item)) for item in ITEMS))) == want
    assert digest(rec(10, text(ziplist(ITEMS)))) == want
    assert digest(rec(14, b"\x02" + text(ziplist(ITEMS[:half])) + squeezed(ziplist(ITEMS[half:])))) == want
    plain = b"\x01" + text(numeric(ITEMS[0]))
    assert digest(rec(18, b"\x02" + plain + b"\x02" + text(listpack(ITEMS[1:])))) == want
    turned = [ITEMS[1], ITEMS[0], *ITEMS[2:]]
    assert digest(rec(10, text(ziplist(turned)))) != want


def test_sets_in_every_encoding_and_order() -> None:
    numbers = [-3, 5, 40_000, 2**40, -(2**63)]
    names = [b"%d" % number for number in numbers]
    want = expected("set", ref.set_of(names))
    assert digest(rec(11, text(intset(sorted(numbers))))) == want
    assert digest(rec(20, text(listpack(list(reversed(numbers)))))) == want
    for order in (names, names[::-1]):
        assert digest(rec(2, length(len(order)) + b"".join(map(text, order)))) == want
    assert digest(rec(11, text(intset([1, 2], width=2)))) == expected("set", ref.set_of([b"1", b"2"]))
    assert digest(rec(11, text(intset([1, -2], width=4)))) == expected("set", ref.set_of([b"1", b"-2"]))


def test_hashes_in_every_encoding_and_order() -> None:
    fields = {numeric(item): numeric(other) for item, other in zip(ITEMS, reversed(ITEMS), strict=True)}
    want = expected("hash", ref.hash_of(fields))
    flat = [part for pair in zip(ITEMS, reversed(ITEMS), strict=True) for part in pair]
    turned = [part for pair in reversed(fields.items()) for part in pair]
    assert digest(rec(4, length(len(fields)) + b"".join(text(numeric(part)) for part in flat))) == want
    assert digest(rec(4, length(len(fields)) + b"".join(map(text, turned)))) == want
    assert digest(rec(13, text(ziplist(flat)))) == digest(rec(16, squeezed(listpack(flat)))) == want
    late = {name: 1_800_000_000_000 + i for i, name in enumerate(fields) if i % 2}
    ttls = expected("hash", ref.hash_of(fields, late))
    first = struct.pack("<q", min(late.values()))
    rows = b"".join(
        length(late[name] - min(late.values()) + 1 if name in late else 0) + text(name) + text(value)
        for name, value in fields.items()
    )
    assert digest(rec(24, first + length(len(fields)) + rows)) == ttls != want
    triples = [part for name, value in fields.items() for part in (name, value, late.get(name, 0))]
    assert digest(rec(25, first + text(listpack(triples)))) == ttls


def test_sorted_sets_in_every_encoding() -> None:
    want = expected("zset", ref.zset_of(PAIRS))
    flat: list[bytes | int] = [part for name, value in PAIRS.items() for part in (name, score(value))]
    binary = b"".join(text(name) + seconds(value) for name, value in PAIRS.items())
    assert digest(rec(5, length(len(PAIRS)) + binary)) == want
    assert digest(rec(12, text(ziplist(flat)))) == digest(rec(17, text(listpack(flat)))) == want
    assert digest(rec(5, b"\x01" + text(b"m") + seconds(-0.0))) == digest(rec(17, text(listpack([b"m", 0]))))


def stream_records() -> dict[int, bytes]:
    """One stream, as each generation writes it."""
    ident = struct.pack(">QQ", 1000, 5)
    node = stream_node(
        [
            (0, 0, [(b"f", b"v"), (b"n", b"1")], False),
            (1, 2, [(b"f", b"w"), (b"n", b"2")], True),
            (7, -3, [(b"other", b"x")], False),
            (7, 0, [(b"f", b"v"), (b"n", b"3")], False),
        ],
        [b"f", b"n"],
    )
    owned = struct.pack(">QQ", 1000, 5)
    when, seen = struct.pack("<q", 1_700_000_000_000), struct.pack("<q", 1_700_000_000_111)
    pending = b"\x01" + owned + when + b"\x02"
    records = {}
    for kind, generation in ((15, 1), (19, 2), (21, 3)):
        active = b"\1\2\3\4\5\6\7\x08" if generation == 3 else b""
        group = text(b"g") + length(1000) + b"\x05" + (b"\x01" if generation > 1 else b"") + pending
        group += b"\x01" + text(b"alice") + seen + active + b"\x01" + owned
        meta = b"\x03" + length(2000) + b"\x09" + (length(1000) + b"\x05\x00\x00\x04" if generation > 1 else b"")
        records[kind] = rec(kind, b"\x01" + text(ident) + text(node) + meta + b"\x01" + group)
    return records


def test_streams_of_every_generation() -> None:
    group = ref.Group(
        b"g", (1000, 5), [((1000, 5), 1_700_000_000_000, 2)], [(b"alice", 1_700_000_000_111, [(1000, 5)])]
    )
    entries = [
        ((1000, 5), [(b"f", b"v"), (b"n", b"1")]),
        ((1007, 2), [(b"other", b"x")]),
        ((1007, 5), [(b"f", b"v"), (b"n", b"3")]),
    ]
    want = expected("stream", ref.stream_of(entries, (2000, 9), [group]))
    assert {kind: digest(record) for kind, record in stream_records().items()} == dict.fromkeys((15, 19, 21), want)
    group.pending[0] = ((1000, 5), 1_700_000_000_000, 3)
    assert expected("stream", ref.stream_of(entries, (2000, 9), [group])) != want


def test_expiry_key_and_kind_belong_to_it() -> None:
    plain = rec(0, text(b"v"))
    late = b"\xfc" + struct.pack("<q", 1_700_000_000_000) + plain
    value = ref.string(b"v")
    assert digest(late) == expected("string", value, expire_ms=1_700_000_000_000)
    assert len({digest(plain), digest(late), digest(rec(0, text(b"v"), b"k:2")), digest(rec(0, text(b"w")))}) == 4
    assert digest(rec(2, b"\x00")) != digest(rec(4, b"\x00"))


def test_records_sum_up_in_any_order_and_grouping() -> None:
    records = [rec(0, text(b"%d" % i), b"k:%d" % i) for i in range(20)]
    whole = digest(*records)
    assert whole == digest(*reversed(records))
    parts = RecordTally("k:")
    for record in records:
        one = RecordTally("k:")
        one.add_records(record)
        parts.merge(one)
    assert (parts.digest, parts.keys, parts.types) == (whole, 20, {0: 20})


@given(st.lists(st.one_of(st.binary(max_size=200), st.integers(-(2**63), 2**63 - 1)), max_size=30))
def test_packed_lists_of_anything(items: list[bytes | int]) -> None:
    want = expected("list", ref.list_of([numeric(item) for item in items]))
    assert digest(rec(10, text(ziplist(items)))) == digest(rec(18, b"\x01\x02" + text(listpack(items)))) == want


@given(st.sampled_from([10, 11, 12, 13, 14, 15, 16, 17, 18, 20, 21, 25]), st.binary(max_size=120))
def test_hostile_values_never_do_worse_than_an_error(kind: int, data: bytes) -> None:
    head = {14: b"\x01", 18: b"\x01\x02", 25: b"\0" * 8, 15: b"\x01" + text(b"\0" * 16), 21: b"\x01" + text(b"\0" * 16)}
    try:
        digest(rec(kind, head.get(kind, b"") + text(data) + b"\0" * 20))
    except RdbError:
        return


@pytest.mark.parametrize("kind", [15, 19, 21])
def test_a_stream_damaged_anywhere_is_never_worse_than_an_error(kind: int) -> None:
    whole = stream_records()[kind]
    for position in range(len(whole)):
        for flip in (0x01, 0x80, 0xFF):
            damaged = bytearray(whole)
            damaged[position] ^= flip
            try:
                digest(bytes(damaged))
            except RdbError:
                continue
