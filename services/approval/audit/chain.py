"""Verifies the chain of one shard, line by line, in any number of pieces. Pure but for the signatures."""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import orjson
from cryptography.exceptions import InvalidSignature

from services.approval.audit.lines import CHECKPOINT, Checkpoint, Link, base64url, canonical
from services.approval.grants.keys import VerifyingKey

_HASH = re.compile("[0-9a-f]{64}")
# From here on a double, which is all that some languages have, is not exact.
_MAX_INTEGER = 1 << 53
_RECORD = frozenset({"event", "hash", "prev", "sequence", "shard", "time_ms"})
_CHECKPOINT = frozenset({"format", "hash", "kid", "previous", "root", "sequence", "shard", "time_ms"})

KeyOf = Callable[[str], VerifyingKey | None]


class Broken(Exception):
    """A chain is not what it should be, from this sequence on."""

    def __init__(self, reason: str, sequence: int, message: str) -> None:
        super().__init__(message)
        self.reason = reason
        self.sequence = sequence
        self.message = message


class Chain:
    """What has been seen of one shard, and whether it holds together.

    Args:
        key_of: the key that has an id; None if there is none that is trusted.
        known: hashes by sequence, from checkpoints that were kept elsewhere.

    Attributes:
        head: the last record.
        first: the sequence at which verification began.
        records, checkpoints: how many there were.
        signed: the sequence of the last checkpoint.
        unsigned_since_ms: the time of the first record after it; 0 if there is none.
        checkpoint_line: the last checkpoint as it came.
        known_met: how many of the known checkpoints the chain goes through.
    """

    def __init__(self, shard: int, key_of: KeyOf, known: Mapping[int, str] | None = None) -> None:
        self.shard = shard
        self.head = Link()
        self.first = 1
        self.records = 0
        self.checkpoints = 0
        self.signed = 0
        self.unsigned_since_ms = 0
        self.checkpoint_line = b""
        self.known_met = 0
        self._key_of = key_of
        self._known = dict(known or {})

    @property
    def known_removed(self) -> int:
        """How many of the known checkpoints are of before the start."""
        return sum(sequence < self.first - 1 for sequence in self._known)

    def take(self, line: bytes) -> None:
        """The next line. Raises Broken; what comes after is not to be believed."""
        following = self.head.sequence + 1
        try:
            value = orjson.loads(line)
        except orjson.JSONDecodeError:
            value = None
        if not isinstance(value, dict) or canonical(value) != line:
            raise Broken("NOT_A_RECORD", following, "the line is not canonical JSON of an object")
        if "checkpoint" in value:
            self._take_checkpoint(value, line)
        else:
            self._take_record(value)

    def take_all(self, lines: Iterable[bytes]) -> None:
        """The next lines. Raises Broken."""
        for line in lines:
            self.take(line)

    def _take_record(self, value: dict[str, Any]) -> None:
        following = self.head.sequence + 1
        if not _is_record(value):
            raise Broken("NOT_A_RECORD", following, "the line has not the members of a record")
        if value["shard"] != self.shard:
            raise Broken("WRONG_SHARD", following, f"the record is of shard {value['shard']}")
        if value["sequence"] != following:
            raise Broken("WRONG_SEQUENCE", following, f"{value['sequence']} comes after {self.head.sequence}")
        if value["prev"] != self.head.hash:
            raise Broken("WRONG_PREV", following, "the record was made after another one than the one before it")
        digest = value.pop("hash")
        if hashlib.sha256(canonical(value)).hexdigest() != digest:
            raise Broken("WRONG_HASH", following, "the record was changed: it has another hash")
        if value["time_ms"] < self.head.time_ms:
            raise Broken("TIME_BACKWARDS", following, "the record is older than the one before it")
        self.head = Link(following, digest, value["time_ms"])
        self.records += 1
        self.unsigned_since_ms = self.unsigned_since_ms or value["time_ms"]
        self._compare_known()

    def _take_checkpoint(self, value: dict[str, Any], line: bytes) -> None:
        checkpoint = self._verified(value)
        at = self.head.sequence
        if checkpoint.root:
            if self.records or self.checkpoints or at:
                raise Broken("CHECKPOINT_MISPLACED", at, "a root is in the middle of the chain")
            self.head = Link(checkpoint.sequence, checkpoint.hash)
            self.first = checkpoint.sequence + 1
            self._compare_known()
        elif (checkpoint.sequence, checkpoint.hash) != (at, self.head.hash):
            what = f"the checkpoint is of sequence {checkpoint.sequence}, or of another record"
            raise Broken("CHECKPOINT_MISMATCH", at, what)
        elif checkpoint.previous != self.signed or checkpoint.sequence <= self.signed:
            raise Broken("CHECKPOINT_MISSING", at, f"the checkpoint at {checkpoint.previous} should come before it")
        self.checkpoints += 1
        self.signed = checkpoint.sequence
        self.unsigned_since_ms = 0
        self.checkpoint_line = line

    def _verified(self, value: dict[str, Any]) -> Checkpoint:
        """What a checkpoint says, if it is genuine and of this shard."""
        at = self.head.sequence
        checkpoint = parse_checkpoint(value)
        if checkpoint is None:
            raise Broken("NOT_A_RECORD", at + 1, "the line has not the members of a checkpoint")
        if checkpoint.shard != self.shard:
            raise Broken("WRONG_SHARD", at, f"the checkpoint is of shard {checkpoint.shard}")
        key = self._key_of(checkpoint.kid)
        if key is None:
            raise Broken("UNKNOWN_KEY", at, f"the checkpoint is signed with a key that is not known: {checkpoint.kid}")
        try:
            key.verify(_decoded(value["signature"]), canonical(value["checkpoint"]))
        except InvalidSignature:
            raise Broken("WRONG_SIGNATURE", at, "the checkpoint is forged, or was changed") from None
        return checkpoint

    def _compare_known(self) -> None:
        wanted = self._known.get(self.head.sequence)
        if wanted is None:
            return
        if wanted != self.head.hash:
            raise Broken(
                "REWRITTEN",
                self.head.sequence,
                "a checkpoint that was kept elsewhere has another hash: it was rewritten",
            )
        self.known_met += 1

    def finish(self) -> None:
        """There are no more lines. Raises Broken if there should be."""
        last = max(self._known, default=0)
        if last > self.head.sequence:
            raise Broken(
                "TRUNCATED",
                self.head.sequence + 1,
                f"the chain ends at {self.head.sequence}; a checkpoint that was kept elsewhere is of {last}",
            )


def parse_checkpoint(value: Any) -> Checkpoint | None:
    """What a line says that has the form of a checkpoint; None if it has not. Its signature is not looked at."""
    if not isinstance(value, dict) or value.keys() != {"checkpoint", "signature"}:
        return None
    said = value["checkpoint"]
    if not isinstance(said, dict) or said.keys() != _CHECKPOINT or said["format"] != CHECKPOINT:
        return None
    counts = all(_is_count(said[name]) for name in ("previous", "sequence", "shard", "time_ms"))
    texts = isinstance(said["kid"], str) and isinstance(value["signature"], str) and _is_hash(said["hash"])
    if not counts or not texts or not isinstance(said["root"], bool):
        return None
    return Checkpoint(**{name: said[name] for name in _CHECKPOINT - {"format"}})


def _decoded(text: str) -> bytes:
    """The bytes of base64url in its one spelling; no signature for any other."""
    try:
        data = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
    except ValueError:
        return b""
    return data if base64url(data) == text else b""


def _is_count(value: object) -> bool:
    return type(value) is int and 0 <= value < _MAX_INTEGER


def _is_hash(value: object) -> bool:
    return isinstance(value, str) and _HASH.fullmatch(value) is not None


def _is_record(value: dict[str, Any]) -> bool:
    return (
        value.keys() == _RECORD
        and is_event(value["event"])
        and all(_is_count(value[name]) for name in ("sequence", "shard", "time_ms"))
        and all(_is_hash(value[name]) for name in ("hash", "prev"))
    )


def is_event(value: object) -> bool:
    """Whether a JSON value is a flat object of strings, integers and lists of strings: all languages write it alike."""
    if not isinstance(value, dict) or not "".join(value).isascii():
        return False
    # A loop, and not `all`: it is half of what verifying a record costs.
    for part in value.values():
        kind = type(part)
        if kind is int:
            if abs(part) >= _MAX_INTEGER:
                return False
        elif kind is list:
            if not all(isinstance(each, str) for each in part):
                return False
        elif kind is not str:
            return False
    return True
