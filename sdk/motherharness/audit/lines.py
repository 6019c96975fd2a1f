"""The lines of the trail: canonical JSON, the members of each kind, and signatures."""

import base64
import binascii
import hashlib
import json
import re
from collections.abc import Callable, Mapping
from typing import Any, NoReturn

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

GENESIS = "0" * 64
EXPORT = "harness.audit.export/1"
CHECKPOINT = "harness.audit.checkpoint/1"
MANIFEST = "harness.audit.manifest/1"

RECORD_MEMBERS = {"event", "hash", "prev", "sequence", "shard", "time_ms"}
CHECKPOINT_MEMBERS = {"format", "hash", "kid", "previous", "root", "sequence", "shard", "time_ms"}
HEAD_MEMBERS = {"first", "hash", "sequence", "shard"}
# From here on a double, which is all that some languages have, is not exact.
MAX_INTEGER = 2**53
HASH = re.compile("[0-9a-f]{64}")

Keys = Mapping[str, Ed25519PublicKey]


def canonical(value: object) -> bytes:
    """Return the one way to write a JSON value (RFC 8785, for what the trail has): sorted, no white space, UTF-8."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode()


def parse(line: bytes) -> dict[str, Any]:
    """Return the object that a line is; empty unless it is written in the one way."""
    try:
        value = json.loads(line.decode(), parse_float=_refuse, parse_constant=_refuse)
        same = isinstance(value, dict) and canonical(value) == line
    except (ValueError, RecursionError):
        return {}
    return value if same else {}


def _refuse(text: str) -> NoReturn:
    raise ValueError(f"{text} is not an integer")


def is_count(value: object) -> bool:
    """Whether a JSON value is an integer from 0 on that is exact everywhere."""
    return type(value) is int and 0 <= value < MAX_INTEGER


def is_record(value: dict[str, Any]) -> bool:
    """Whether a line has the form of a record."""
    return (
        value.keys() == RECORD_MEMBERS
        and _is_event(value["event"])
        and all(is_count(value[name]) for name in ("sequence", "shard", "time_ms"))
        and all(_is_hash(value[name]) for name in ("hash", "prev"))
    )


def _is_event(value: object) -> bool:
    """Whether a JSON value is a flat object of strings, integers and lists of strings."""
    return (
        isinstance(value, dict)
        and "".join(value).isascii()
        and all(
            isinstance(part, str)
            or (type(part) is int and abs(part) < MAX_INTEGER)
            or (isinstance(part, list) and all(isinstance(each, str) for each in part))
            for part in value.values()
        )
    )


def _is_hash(value: object) -> bool:
    return isinstance(value, str) and HASH.fullmatch(value) is not None


def checkpoint(value: dict[str, Any]) -> dict[str, Any] | None:
    """Return what a line says that has the form of a checkpoint; None if it has not."""
    said = value.get("checkpoint")
    if value.keys() != {"checkpoint", "signature"} or not isinstance(said, dict) or said.keys() != CHECKPOINT_MEMBERS:
        return None
    counts = all(is_count(said[name]) for name in ("previous", "sequence", "shard", "time_ms"))
    texts = isinstance(said["kid"], str) and isinstance(value["signature"], str) and _is_hash(said["hash"])
    return said if counts and texts and isinstance(said["root"], bool) and said["format"] == CHECKPOINT else None


def is_manifest(said: object) -> bool:
    """Whether a JSON value has the form of what a manifest says."""
    return (
        isinstance(said, dict)
        and said.keys() == {"format", "heads", "kid", "time_ms"}
        and said["format"] == MANIFEST
        and isinstance(said["kid"], str)
        and is_count(said["time_ms"])
        and isinstance(said["heads"], list)
        and all(isinstance(head, dict) and head.keys() == HEAD_MEMBERS for head in said["heads"])
        and all(is_count(head[name]) for head in said["heads"] for name in ("first", "sequence", "shard"))
    )


def check_signature(value: dict[str, Any], kind: str, keys: Keys, fail: Callable[[str, str], NoReturn]) -> None:
    """Verify the signature of a checkpoint or a manifest; calls `fail` with a reason and a message if it is wrong."""
    said, signature = value[kind], value["signature"]
    key = keys.get(said["kid"])
    if key is None:
        fail("UNKNOWN_KEY", f"the {kind} is signed with a key that is not known: {said['kid']}")
    try:
        key.verify(decode(signature), canonical(said))
    except InvalidSignature:
        fail("WRONG_SIGNATURE", f"the {kind} is forged, or was changed")


def decode(text: object) -> bytes:
    """Return the bytes of base64url without padding; none for any but their one spelling."""
    if not isinstance(text, str):
        return b""
    try:
        data = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
    except (binascii.Error, ValueError):
        return b""
    return data if encode(data) == text else b""


def encode(data: bytes) -> str:
    """Return base64url without padding."""
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def jwk(x: bytes) -> dict[str, str]:
    """Return a public key as a JSON Web Key, named by its RFC 7638 thumbprint."""
    members = {"crv": "Ed25519", "kty": "OKP", "x": encode(x)}
    return {**members, "kid": encode(hashlib.sha256(canonical(members)).digest())}
