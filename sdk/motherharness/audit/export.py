"""A whole export: a first line, keys, the shards one after the other, and a manifest."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, NoReturn

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from motherharness.audit.chain import AuditBroken, Chain, ShardReport
from motherharness.audit.lines import (
    EXPORT,
    Keys,
    check_signature,
    checkpoint,
    decode,
    is_count,
    is_manifest,
    jwk,
    parse,
)

Known = Mapping[int, Mapping[int, str]]

CHECKPOINT_BEGINS = b'{"checkpoint":'


@dataclass
class ExportReport:
    """What a whole export says of itself.

    Attributes:
        time_ms: when it was made, Unix milliseconds.
        kids: ids of the keys that signed something in it.
        own_keys: whether it was verified with the keys that are in it: whoever can forge the file can put theirs there.
    """

    time_ms: int = 0
    shards: list[ShardReport] = field(default_factory=list)
    kids: list[str] = field(default_factory=list)
    own_keys: bool = False

    @property
    def records(self) -> int:
        """How many records there are in all."""
        return sum(shard.records for shard in self.shards)


def verify_export(lines: Iterable[bytes], *, keys: Keys | None = None, known: Known | None = None) -> ExportReport:
    """Verify an export to its end.

    Args:
        lines: of the file, with or without their line ends.
        keys: trusted ones, by id; None takes those that are in the file.
        known: hashes by shard and sequence, of checkpoints that were kept elsewhere (`read_checkpoints`).

    Raises:
        AuditBroken: at the first line that is wrong.
    """
    verifier = _Export(keys, known or {})
    number = 0
    for number, line in enumerate(lines, 1):
        try:
            verifier.take(line.removesuffix(b"\n"))
        except AuditBroken as broken:
            broken.line = number
            raise
    return verifier.finish()


def read_checkpoints(lines: Iterable[bytes]) -> dict[int, dict[int, str]]:
    """Return hashes by shard and sequence of the checkpoints among lines, as of an export that was kept.

    They are not verified: they are trusted for having been kept.
    """
    known: dict[int, dict[int, str]] = {}
    for line in lines:
        said = checkpoint(parse(line.removesuffix(b"\n"))) if line.startswith(CHECKPOINT_BEGINS) else None
        if said is not None:
            known.setdefault(said["shard"], {})[said["sequence"]] = said["hash"]
    return known


class _Export:
    """The file around the chains: a first line, keys, the shards one after the other, and the manifest."""

    def __init__(self, keys: Keys | None, known: Known) -> None:
        self._own_keys = keys is None
        self._keys: dict[str, Ed25519PublicKey] = dict(keys or {})
        self._known = known
        self._began = False
        self._chain: Chain | None = None
        self._chains: dict[int, Chain] = {}
        self._manifest: dict[str, Any] | None = None

    def take(self, line: bytes) -> None:
        if self._manifest is not None:
            raise AuditBroken("AFTER_THE_END", "there are lines after the manifest")
        value = parse(line)
        if not self._began:
            if value != {"export": EXPORT}:
                raise AuditBroken("NOT_AN_EXPORT", f'the first line is not {{"export":"{EXPORT}"}}')
            self._began = True
        elif "key" in value and self._chain is None:
            named = key_of(value)
            if self._own_keys:
                self._keys |= named
        elif "manifest" in value:
            self._take_manifest(value)
        else:
            self._chain_of(value).take_value(value)

    def _chain_of(self, value: dict[str, Any]) -> Chain:
        """Return the chain that a line belongs to; for what cannot be read, the one before it."""
        said = value["checkpoint"] if isinstance(value.get("checkpoint"), dict) else value
        shard, at = said.get("shard"), self._chain
        if not isinstance(shard, int) or not is_count(shard):
            if at is None:
                raise AuditBroken("NOT_A_RECORD", "the line is no key, record or checkpoint")
            return at
        if at is not None and shard == at.report.shard:
            return at
        # Shards follow each other by number: a line of an earlier one is in the midst of another's chain, and wrong.
        if at is not None and shard < at.report.shard:
            return at
        self._chain = self._chains[shard] = Chain(shard, self._keys, self._known.get(shard))
        return self._chain

    def _take_manifest(self, value: dict[str, Any]) -> None:
        said = value["manifest"]
        if value.keys() != {"manifest", "signature"} or not is_manifest(said):
            raise AuditBroken("NOT_A_RECORD", "the line has not the members of a manifest")
        check_signature(value, "manifest", self._keys, _fail_file)
        self._manifest = said

    def finish(self) -> ExportReport:
        if self._manifest is None:
            raise AuditBroken("TRUNCATED", "the file has no manifest at its end: it was cut off")
        heads = {head["shard"]: head for head in self._manifest["heads"]}
        for shard in sorted(self._known.keys() - heads.keys()):
            if self._known[shard]:
                what = f"there is no shard {shard}, of which a checkpoint was kept elsewhere"
                raise AuditBroken("TRUNCATED", what, shard=shard, sequence=1)
        for shard in sorted(self._chains.keys() | heads.keys()):
            chain = self._chains.setdefault(shard, Chain(shard, self._keys, self._known.get(shard)))
            chain.finish_signed()
            report, head = chain.report, heads.get(shard)
            found = {"first": report.first, "hash": chain.hash, "sequence": report.last, "shard": shard}
            if head != found:
                what = f"the manifest has shard {shard} otherwise: lines were left out or added"
                raise AuditBroken("MANIFEST_MISMATCH", what, shard=shard, sequence=report.last + 1)
        kids = {self._manifest["kid"]}.union(*(chain.kids for chain in self._chains.values()))
        shards = [self._chains[shard].report for shard in sorted(self._chains)]
        return ExportReport(self._manifest["time_ms"], shards, sorted(kids), self._own_keys)


def key_of(value: dict[str, Any]) -> dict[str, Ed25519PublicKey]:
    """Return the key of a line of an export, under its own name."""
    said = value["key"]
    x = decode(said.get("x")) if isinstance(said, dict) else b""
    if value.keys() != {"key"} or len(x) != 32 or said != jwk(x):
        raise AuditBroken("NOT_A_KEY", "the line is no Ed25519 key under its own thumbprint")
    return {said["kid"]: Ed25519PublicKey.from_public_bytes(x)}


def _fail_file(reason: str, message: str) -> NoReturn:
    raise AuditBroken(reason, message)
