"""The lines of the trail: records, checkpoints and the manifest of an export, as canonical JSON. Pure.

Canonical JSON is RFC 8785, of which only this much is needed: members sorted, no white space, UTF-8, integers.
`motherharness.audit` has the same again for those who verify an export without the service; a test holds both together.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import orjson

from services.approval.grants.keys import SigningKey, VerifyingKey

GENESIS = "0" * 64
"""What stands for the hash before the first record."""

EXPORT = "harness.audit.export/1"
CHECKPOINT = "harness.audit.checkpoint/1"
MANIFEST = "harness.audit.manifest/1"


@dataclass(frozen=True, slots=True)
class Link:
    """Where a chain is: its last record. Sequence 0 is the beginning."""

    sequence: int = 0
    hash: str = GENESIS
    time_ms: int = 0


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """What a checkpoint says: the chain of this shard went through this record.

    Attributes:
        kid: the key it is signed with.
        previous: the sequence of the checkpoint before it; 0 if there is none.
        root: whether everything up to it was removed, by the retention.
        time_ms: when it was signed, Unix milliseconds.
    """

    shard: int
    sequence: int
    hash: str
    previous: int
    root: bool
    kid: str
    time_ms: int


@dataclass(frozen=True, slots=True)
class Head:
    """Where a shard's chain begins and ends in an export."""

    shard: int
    first: int
    sequence: int
    hash: str


def canonical(value: Any) -> bytes:
    """The one way to write a JSON value."""
    return orjson.dumps(value, option=orjson.OPT_SORT_KEYS)


def record_line(shard: int, before: Link, time_ms: int, event: bytes) -> tuple[bytes, Link]:
    """The next record of a chain, and where the chain is then.

    Args:
        event: canonical JSON of an object.
        time_ms: when it happened.
    """
    # Put together by hand: "event" < "hash" < "prev" < "sequence" < "shard" < "time_ms".
    sequence = before.sequence + 1
    rest = b'"prev":"%b","sequence":%d,"shard":%d,"time_ms":%d}' % (before.hash.encode(), sequence, shard, time_ms)
    digest = hashlib.sha256(b'{"event":%b,%b' % (event, rest)).hexdigest()
    return b'{"event":%b,"hash":"%b",%b' % (event, digest.encode(), rest), Link(sequence, digest, time_ms)


def checkpoint_line(checkpoint: Checkpoint, key: SigningKey) -> bytes:
    """A checkpoint, signed. Its kid must be the key's."""
    said = {
        "format": CHECKPOINT,
        "hash": checkpoint.hash,
        "kid": checkpoint.kid,
        "previous": checkpoint.previous,
        "root": checkpoint.root,
        "sequence": checkpoint.sequence,
        "shard": checkpoint.shard,
        "time_ms": checkpoint.time_ms,
    }
    return _signed("checkpoint", said, key)


def manifest_line(heads: Sequence[Head], time_ms: int, key: SigningKey) -> bytes:
    """What an export has, signed."""
    listed = [
        {"first": head.first, "hash": head.hash, "sequence": head.sequence, "shard": head.shard} for head in heads
    ]
    return _signed("manifest", {"format": MANIFEST, "heads": listed, "kid": key.kid, "time_ms": time_ms}, key)


def export_line() -> bytes:
    """The first line of an export."""
    return canonical({"export": EXPORT})


def key_line(key: VerifyingKey) -> bytes:
    """A public key as a JSON Web Key."""
    return canonical({"key": {"crv": "Ed25519", "kid": key.kid, "kty": "OKP", "x": key.x}})


def _signed(kind: str, said: dict[str, Any], key: SigningKey) -> bytes:
    return canonical({kind: said, "signature": base64url(key.sign(canonical(said)))})


def base64url(data: bytes) -> str:
    """base64url without padding."""
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()
