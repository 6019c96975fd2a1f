"""The chains in Redis."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from redis.asyncio import Redis

from services.approval.audit.lines import GENESIS, Link
from services.approval.store import keys
from services.runtime.redis import Script, ScriptCall, run_scripts

_SEAL = Script.load(Path(__file__).parent / "seal.lua")
_FORGET = Script.load(Path(__file__).parent / "forget_sealed.lua")
_HEAD = ("sequence", "hash", "time_ms", "journal", "checkpoint", "checkpoint_ms", "root", "root_sequence")


@dataclass(frozen=True, slots=True)
class ChainHead:
    """Where the chain of a shard ends, and begins.

    Attributes:
        last: its last record.
        journal: the id of the journal's entry that was sealed last; empty if none was.
        checkpoint, checkpoint_ms: the sequence and the time of the last checkpoint.
        root, root_line: what was removed, by the checkpoint that is left of it.
    """

    last: Link = field(default_factory=Link)
    journal: str = ""
    checkpoint: int = 0
    checkpoint_ms: int = 0
    root: int = 0
    root_line: bytes = b""


@dataclass(frozen=True, slots=True)
class JournalEntry:
    """An entry that is to be sealed."""

    id: str
    event: bytes

    @property
    def time_ms(self) -> int:
        """When it was written."""
        return int(self.id.partition("-")[0])


@dataclass(frozen=True, slots=True)
class Batch:
    """What is to be appended to the chain of a shard; `before` is what it was made for.

    Attributes:
        lines: records, each with the approval it is about (empty: none).
        last, journal: as in ChainHead, afterwards.
        checkpoint_line: of a checkpoint on the last record, signed at `checkpoint_ms`; empty for none.
    """

    shard: int
    before: ChainHead
    lines: Sequence[tuple[bytes, str]]
    last: Link
    journal: str
    checkpoint_line: bytes = b""
    checkpoint_ms: int = 0


@dataclass(frozen=True, slots=True)
class Stored:
    """An entry of a chain's stream."""

    sequence: int
    is_checkpoint: bool
    line: bytes


class AuditStore:
    """Reads and extends the chains of all shards."""

    def __init__(self, redis: Redis, shards: int) -> None:
        self._redis = redis
        self.shards = shards

    async def heads(self, shards: Iterable[int]) -> tuple[dict[int, ChainHead], int]:
        """Where chains end, and the time, ms, in one round trip."""
        wanted = list(shards)
        pipeline = self._redis.pipeline(transaction=False)
        pipeline.time()
        for shard in wanted:
            pipeline.hmget(keys.audit_head(shard), _HEAD)
        (seconds, micros), *rows = await pipeline.execute()
        now_ms = int(seconds) * 1000 + int(micros) // 1000
        return {shard: _head(row) for shard, row in zip(wanted, rows, strict=True)}, now_ms

    async def unsealed(self, heads: Mapping[int, ChainHead], limit: int) -> dict[int, list[JournalEntry]]:
        """What the journals have beyond what was sealed, at most `limit` entries a shard."""
        pipeline = self._redis.pipeline(transaction=False)
        for shard, head in heads.items():
            pipeline.xrange(keys.journal(shard), min=f"({head.journal}" if head.journal else "-", count=limit)
        return {
            shard: [JournalEntry(entry_id.decode(), fields[b"e"]) for entry_id, fields in entries]
            for shard, entries in zip(heads, await pipeline.execute(), strict=True)
        }

    async def seal(self, batches: Sequence[Batch]) -> list[bool | Exception]:
        """Append, each shard by itself; False where somebody else came first."""
        answers = await run_scripts(self._redis, [_seal_call(batch) for batch in batches])
        return [answer if isinstance(answer, Exception) else answer == 1 for answer in answers]

    async def note(self, shard: int, event: bytes) -> None:
        """Write what was found about a chain to the journal of its shard; watchers are not told."""
        await self._redis.xadd(keys.journal(shard), {"e": event, "p": 0})

    async def forget(self, shard: int, root: int, root_line: bytes, approval_ids: Iterable[str]) -> None:
        """Remove all up to a checkpoint; `approval_ids` are those that the records are about."""
        touched = [keys.audit(shard), keys.audit_head(shard)]
        touched += [keys.audit_of(shard, approval_id) for approval_id in approval_ids]
        await _FORGET(self._redis, touched, [root, root_line])

    async def read(self, shard: int, after: tuple[int, bool], limit: int) -> list[Stored]:
        """Records and checkpoints as they follow each other.

        Args:
            after: the last sequence read, and whether its checkpoint was; (0, True) is the beginning.
        """
        sequence, with_checkpoint = after
        start = f"({sequence}-{int(with_checkpoint)}"
        found: Any = await self._redis.xrange(keys.audit(shard), min=start, count=limit)
        return [_stored(entry_id, fields) for entry_id, fields in found]

    async def read_back(self, positions: Mapping[int, int], limit: int) -> dict[int, list[Stored]]:
        """Records from a sequence of each shard on, backwards, at most `limit` entries a shard, in one round trip."""
        pipeline = self._redis.pipeline(transaction=False)
        for shard, sequence in positions.items():
            pipeline.xrevrange(keys.audit(shard), max=f"{sequence}-0", count=limit)
        return {
            shard: [_stored(entry_id, fields) for entry_id, fields in found]
            for shard, found in zip(positions, await pipeline.execute(), strict=True)
        }

    async def records(self, wanted: Sequence[tuple[int, int]]) -> list[bytes | None]:
        """Records by shard and sequence; None where there is none."""
        pipeline = self._redis.pipeline(transaction=False)
        for shard, sequence in wanted:
            pipeline.xrange(keys.audit(shard), min=f"{sequence}-0", max=f"{sequence}-0")
        return [found[0][1].get(b"l") if found else None for found in await pipeline.execute()]

    async def has_checkpoint(self, shard: int, sequence: int) -> bool:
        """Whether there is a checkpoint on a record."""
        return bool(await self._redis.xrange(keys.audit(shard), min=f"{sequence}-1", max=f"{sequence}-1"))

    async def sequences_of(self, shard: int, approval_id: str, last: int, limit: int) -> list[int]:
        """The sequences of an approval's records from `last` on, backwards."""
        found: Any = await self._redis.zrevrangebyscore(
            keys.audit_of(shard, approval_id), last, "-inf", start=0, num=limit
        )
        return [int(sequence) for sequence in found]


def _head(row: Sequence[bytes | None]) -> ChainHead:
    found = dict(zip(_HEAD, row, strict=True))

    def number(name: str) -> int:
        return int(found[name] or 0)

    return ChainHead(
        Link(number("sequence"), (found["hash"] or GENESIS.encode()).decode(), number("time_ms")),
        (found["journal"] or b"").decode(),
        number("checkpoint"),
        number("checkpoint_ms"),
        number("root_sequence"),
        found["root"] or b"",
    )


def _stored(entry_id: bytes, fields: Mapping[bytes, bytes]) -> Stored:
    sequence, _, kind = entry_id.partition(b"-")
    return Stored(int(sequence), kind == b"1", fields.get(b"l", b""))


def _seal_call(batch: Batch) -> ScriptCall:
    touched = [keys.audit(batch.shard), keys.audit_head(batch.shard)]
    places: dict[str, int] = {"": 0}
    parts: list[bytes | int] = []
    for line, approval_id in batch.lines:
        if approval_id not in places:
            touched.append(keys.audit_of(batch.shard, approval_id))
            places[approval_id] = len(touched)
        parts += (line, places[approval_id])
    checkpoint = batch.last.sequence if batch.checkpoint_line else ""
    return ScriptCall(
        _SEAL,
        touched,
        [
            batch.before.last.sequence,
            batch.before.checkpoint,
            batch.last.sequence,
            batch.last.hash,
            batch.last.time_ms,
            batch.journal,
            checkpoint,
            batch.checkpoint_ms,
            batch.checkpoint_line,
            *parts,
        ],
    )
