"""The canonical digest as docs/backup-format.md defines it, over plain values, in plain Python, sharing nothing with
the product: sha256 and friends would be faster, but would not be the definition."""

from __future__ import annotations

import struct
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

MASK = (1 << 64) - 1
MODULUS = 1 << 128
KEY = b"harness backup 2"
FIELD, SCORED, LIST, ENTRIES, GROUP, STREAM, RECORD = 1, 2, 3, 4, 5, 6, 7
KINDS = {"string": 0, "list": 1, "set": 2, "zset": 3, "hash": 4, "stream": 5}


def siphash_1_3_128(data: bytes, key: bytes) -> int:
    """As in the reference implementation of SipHash, with one compression and three finalisation rounds."""
    k0, k1 = struct.unpack("<QQ", key)
    v: list[int] = [
        k0 ^ 0x736F6D6570736575,
        k1 ^ 0x646F72616E646F6D ^ 0xEE,
        k0 ^ 0x6C7967656E657261,
        k1 ^ 0x7465646279746573,
    ]

    def rol(x: int, n: int) -> int:
        return (x << n | x >> (64 - n)) & MASK

    def rounds(count: int) -> None:
        for _ in range(count):
            v[0] = (v[0] + v[1]) & MASK
            v[1] = rol(v[1], 13) ^ v[0]
            v[0] = rol(v[0], 32)
            v[2] = (v[2] + v[3]) & MASK
            v[3] = rol(v[3], 16) ^ v[2]
            v[0] = (v[0] + v[3]) & MASK
            v[3] = rol(v[3], 21) ^ v[0]
            v[2] = (v[2] + v[1]) & MASK
            v[1] = rol(v[1], 17) ^ v[2]
            v[2] = rol(v[2], 32)

    padded = data + b"\0" * (7 - len(data) % 8) + bytes([len(data) % 256])
    for place in range(0, len(padded), 8):
        word = int.from_bytes(padded[place : place + 8], "little")
        v[3] ^= word
        rounds(1)
        v[0] ^= word
    v[2] ^= 0xEE
    rounds(3)
    low = v[0] ^ v[1] ^ v[2] ^ v[3]
    v[1] ^= 0xDD
    rounds(3)
    return low | (v[0] ^ v[1] ^ v[2] ^ v[3]) << 64


def b(data: bytes) -> int:
    return siphash_1_3_128(data, KEY)


def w(domain: int, *items: int | bytes) -> int:
    """Over 64-bit words; a `bytes` item stands for the two words of its B."""
    k0, k1 = struct.unpack("<QQ", KEY)
    words = b"".join(
        b(item).to_bytes(16, "little") if isinstance(item, bytes) else struct.pack("<Q", item & MASK) for item in items
    )
    return siphash_1_3_128(words, struct.pack("<QQ", k0, k1 ^ domain))


def halves(hashed: int) -> tuple[int, int]:
    return hashed & MASK, hashed >> 64


def string(value: bytes) -> int:
    return b(value)


def list_of(items: Iterable[bytes]) -> int:
    return w(LIST, *items)


def set_of(members: Iterable[bytes]) -> int:
    return sum(b(member) for member in members) % MODULUS


def hash_of(fields: Mapping[bytes, bytes], expiries: Mapping[bytes, int] | None = None) -> int:
    at = expiries or {}
    return sum(w(FIELD, name, value, at.get(name, 0)) for name, value in fields.items()) % MODULUS


def zset_of(members: Mapping[bytes, float]) -> int:
    def bits(score: float) -> int:
        (word,) = struct.unpack("<Q", struct.pack("<d", score if score else 0.0))
        return int(word)

    return sum(w(SCORED, member, bits(score)) for member, score in members.items()) % MODULUS


Id = tuple[int, int]


@dataclass
class Group:
    """One consumer group: pending entries are (id, delivery time, count), consumers (name, seen time, ids)."""

    name: bytes
    last: Id
    pending: list[tuple[Id, int, int]] = field(default_factory=list)
    consumers: list[tuple[bytes, int, list[Id]]] = field(default_factory=list)


def stream_of(entries: Iterable[tuple[Id, list[tuple[bytes, bytes]]]], last: Id, groups: Iterable[Group]) -> int:
    flat: list[int | bytes] = []
    for name, pairs in entries:
        flat += [*name, len(pairs), *(part for pair in pairs for part in pair)]
    hashed = []
    for group in groups:
        words: list[int | bytes] = [group.name, *group.last, len(group.pending)]
        for name, time, count in group.pending:
            words += [*name, time, count]
        words.append(len(group.consumers))
        for consumer, seen, owned in group.consumers:
            words += [consumer, seen, len(owned), *(part for name in owned for part in name)]
        hashed.append(w(GROUP, *words))
    every = [half for each in hashed for half in halves(each)]
    return w(STREAM, *halves(w(ENTRIES, *flat)), *last, len(hashed), *every)


def record(key: bytes, kind: str, value: int, expire_ms: int | None = None) -> int:
    return w(RECORD, key, KINDS[kind], -1 if expire_ms is None else expire_ms, *halves(value))


def total(records: Iterable[int]) -> str:
    """The digest of a prefix, as the manifest has it."""
    return (sum(records) % MODULUS).to_bytes(16, "little").hex()
