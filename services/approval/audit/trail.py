"""Reads the trail: what happened, whether it is whole, and all of it to take away."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import orjson

from services.approval.audit import metrics
from services.approval.audit.chain import Broken, Chain, is_event, parse_checkpoint
from services.approval.audit.lines import GENESIS, Head, export_line, key_line, manifest_line
from services.approval.audit.sealer import Habits, Sealer
from services.approval.grants.ring import KeyRing
from services.approval.store import keys
from services.approval.store.audit import AuditStore, ChainHead

# Records that one page looks at, at most: a filter that few records meet must not hold a call for long.
_LOOKED_AT = 2000
_READ_BACK = 200
# Some five milliseconds of verifying, between two of which others have their turn.
_PIECE = 400
# Well below the 4 MiB that a gRPC client takes by default: a record can have a comment of some kilobytes in it.
_PART_BYTES = 256 * 1024
_UNSEALED_COUNTED = 1000
# How long a record may be without a checkpoint before that is a problem, beside three times what is usual.
_UNSIGNED_MS = 60_000


@dataclass(frozen=True, slots=True)
class Query:
    """What a list is to hold: everything that is set holds for each of its records. Times are Unix milliseconds."""

    approval_id: str = ""
    actor: str = ""
    type: str = ""
    project_id: str = ""
    run_id: str = ""
    start_ms: int = 0
    end_ms: int = 0

    def matches(self, event: Mapping[str, Any]) -> bool:
        """Whether a record's event is one of them, but for its time."""
        wanted = {
            "approval_id": self.approval_id,
            "actor": self.actor,
            "type": self.type,
            "project_id": self.project_id,
            "run_id": self.run_id,
        }
        return all(event.get(name) == value for name, value in wanted.items() if value)


@dataclass(frozen=True, slots=True)
class Position:
    """A record among those of all shards, in the order in which they are listed: by time, shard and sequence."""

    time_ms: int
    shard: int
    sequence: int

    def __str__(self) -> str:
        return f"{self.time_ms}.{self.shard}.{self.sequence}"

    @classmethod
    def parse(cls, text: str) -> Position:
        """Read what `str` wrote. Raises ValueError."""
        time_ms, shard, sequence = (int(part) for part in text.split("."))
        return cls(time_ms, shard, sequence)


@dataclass(frozen=True, slots=True)
class Found:
    """A record that was listed."""

    position: Position
    event: dict[str, Any]
    hash: str


@dataclass(slots=True)
class Report:
    """How far the verification of a shard is, or what it has found. As `VerifyAuditResponse`."""

    shard: int
    done: bool = False
    first: int = 1
    last: int = 0
    records: int = 0
    checkpoints: int = 0
    signed: int = 0
    unsealed: int = 0
    known_met: int = 0
    known_removed: int = 0
    problem: Broken | None = None
    checkpoint_line: bytes = b""

    def look_at(self, chain: Chain) -> None:
        """Take over what a chain has found so far."""
        self.first, self.last, self.records = chain.first, chain.head.sequence, chain.records
        self.checkpoints, self.signed, self.checkpoint_line = chain.checkpoints, chain.signed, chain.checkpoint_line
        self.known_met, self.known_removed = chain.known_met, chain.known_removed


@dataclass(slots=True)
class _Source:
    """What is left to list of one shard: records that were read, and from where on to read more (0: nothing).

    `time_ms` is that of the record that was read last, for one that cannot be read.
    """

    sequence: int
    time_ms: int
    read: deque[Found] = field(default_factory=deque)

    def add(self, shard: int, sequence: int, line: bytes | None) -> None:
        """Add a record that was read."""
        value = _parsed(line)
        self.time_ms = value.get("time_ms", self.time_ms)
        event = value.get("event") or {"reason": "the record cannot be read; VerifyAudit says what is wrong"}
        self.read.append(Found(Position(self.time_ms, shard, sequence), event, value.get("hash", "")))


class Trail:
    """The chains of all shards as one."""

    def __init__(self, store: AuditStore, sealer: Sealer, ring: KeyRing, habits: Habits) -> None:
        self._store = store
        self._sealer = sealer
        self._ring = ring
        self._unsigned_ms = 3 * habits.checkpoint_ms + _UNSIGNED_MS

    async def find(self, query: Query, after: Position | None, size: int) -> tuple[list[Found], Position | None]:
        """Records, newest first, from after a position; and the position to go on from, None at the end.

        There can be fewer than `size`, and more of them later.
        """
        shards = list(range(self._store.shards))
        if query.approval_id:
            shards = [shard for shard in shards if shard == keys.shard_named(query.approval_id)]
        if query.run_id:
            shards = [shard for shard in shards if shard == keys.shard_for(query.run_id, "", self._store.shards)]
        await self._sealer.seal(shards)
        sources = await self._sources(shards, query, after)
        found: list[Found] = []
        looked_at, last = 0, after
        while len(found) < size and looked_at < _LOOKED_AT:
            while any(source.sequence and not source.read for source in sources.values()):
                await self._fill(sources, query, min(size + 1, _READ_BACK))
            ready = [source.read for source in sources.values() if source.read]
            if not ready:
                return found, None
            record = max(ready, key=lambda read: _order(read[0].position)).popleft()
            looked_at += 1
            last = record.position
            if record.position.time_ms < query.start_ms:
                return found, None
            if query.matches(record.event):
                found.append(record)
        return found, last

    async def _fill(self, sources: Mapping[int, _Source], query: Query, limit: int) -> None:
        """Read on where nothing that was read is left."""
        empty = {shard: source.sequence for shard, source in sources.items() if source.sequence and not source.read}
        if query.approval_id:
            ((shard, sequence),) = empty.items()
            sequences = await self._store.sequences_of(shard, query.approval_id, sequence, limit)
            lines = await self._store.records([(shard, each) for each in sequences])
            for each, line in zip(sequences, lines, strict=True):
                sources[shard].add(shard, each, line)
            sources[shard].sequence = sequences[-1] - 1 if len(sequences) == limit else 0
            return
        for shard, entries in (await self._store.read_back(empty, limit)).items():
            for entry in entries:
                if not entry.is_checkpoint:
                    sources[shard].add(shard, entry.sequence, entry.line)
            # A checkpoint may have been among them: fewer records than the limit are no end.
            sources[shard].sequence = entries[-1].sequence - 1 if len(entries) == limit else 0

    async def _sources(self, shards: Sequence[int], query: Query, after: Position | None) -> dict[int, _Source]:
        """Each shard from its first record on that is to be looked at."""
        heads, _ = await self._store.heads(shards)
        ends = {shard: head.last.sequence for shard, head in heads.items()}
        before_ms = {shard: query.end_ms for shard in shards if query.end_ms}
        if after is not None:
            # In the order of the list a shard with a lower number comes later among records of one time.
            before_ms = {shard: after.time_ms + int(shard < after.shard) for shard in shards if shard != after.shard}
            ends[after.shard] = min(ends.get(after.shard, 0), after.sequence - 1)
        bounds = {shard: (heads[shard].root, ends[shard]) for shard in before_ms}
        ends |= await self._before(bounds, before_ms)
        return {shard: _Source(end, heads[shard].last.time_ms) for shard, end in ends.items() if end}

    async def _before(self, bounds: Mapping[int, tuple[int, int]], before_ms: Mapping[int, int]) -> dict[int, int]:
        """The last sequences with a time before one, by bisection of all shards at once."""
        low = {shard: first for shard, (first, _) in bounds.items()}
        high = {shard: last for shard, (_, last) in bounds.items()}
        while left := [shard for shard in bounds if low[shard] < high[shard]]:
            middle = {shard: (low[shard] + high[shard] + 1) // 2 for shard in left}
            for shard, line in zip(left, await self._store.records(list(middle.items())), strict=True):
                # What is missing was removed, and so was what is older.
                if _parsed(line).get("time_ms", 0) < before_ms[shard]:
                    low[shard] = middle[shard]
                else:
                    high[shard] = middle[shard] - 1
        return low

    async def verify(self, known: Mapping[int, Mapping[int, str]]) -> AsyncIterator[Report]:
        """Walk every chain; a report now and then, and one that is done for every shard.

        Args:
            known: hashes by shard and sequence, of checkpoints that were kept elsewhere.
        """
        await self._sealer.seal()
        for shard in range(self._store.shards):
            async for report in self._verify(shard, known.get(shard, {})):
                yield report
        for shard in sorted(set(known) - set(range(self._store.shards))):
            broken = Broken("TRUNCATED", 1, f"there is no shard {shard}, of which a checkpoint was kept elsewhere")
            yield Report(shard, done=True, problem=broken)

    async def _verify(self, shard: int, known: Mapping[int, str]) -> AsyncIterator[Report]:
        while True:
            head, _ = await self._head(shard)
            chain, report = Chain(shard, self._ring.find, known), Report(shard)
            try:
                async for piece in self._pieces(shard, head):
                    chain.take_all(piece)
                    report.look_at(chain)
                    yield report
                await self._compare_end(shard, chain)
                chain.finish()
            except Broken as broken:
                now, _ = await self._head(shard)
                if now.root != head.root:
                    # The retention has removed what was being read.
                    continue
                report.problem = broken
                metrics.PROBLEMS.labels(broken.reason).inc()
            report.look_at(chain)
            now, _ = await self._head(shard)
            report.unsealed = len((await self._store.unsealed({shard: now}, _UNSEALED_COUNTED))[shard])
            report.done = True
            yield report
            return

    async def _pieces(self, shard: int, head: ChainHead) -> AsyncIterator[list[bytes]]:
        """The lines of a chain from its root on, some at a time."""
        if head.root_line:
            yield [head.root_line]
        after = (head.root, True)
        while piece := await self._store.read(shard, after, _PIECE):
            last = piece[-1]
            after = (last.sequence, last.is_checkpoint)
            yield [stored.line for stored in piece]
            await asyncio.sleep(0)

    async def _compare_end(self, shard: int, chain: Chain) -> None:
        """Raises Broken if a chain that was read to its end does not end where it should, or is not signed for long."""
        head, now_ms = await self._head(shard)
        at = chain.head.sequence
        if head.last.sequence < at:
            raise Broken("AFTER_THE_END", head.last.sequence + 1, f"the chain ends at {head.last.sequence}")
        if head.last.sequence == at and head.last.hash != chain.head.hash:
            raise Broken("REWRITTEN", at, "the end of the chain is noted with another hash")
        if head.last.sequence > at:
            # What was sealed while this was read is there: the end is noted together with the records.
            more = await self._store.read(shard, (at, True), 1)
            if not more or more[0].sequence != at + 1:
                raise Broken(
                    "TRUNCATED", at + 1, f"the chain has ended at {at} before, and now at {head.last.sequence}"
                )
        if head.checkpoint > chain.signed and not await self._store.has_checkpoint(shard, head.checkpoint):
            raise Broken("CHECKPOINT_MISSING", at, f"the checkpoint at {head.checkpoint} is missing")
        if chain.unsigned_since_ms and now_ms - chain.unsigned_since_ms > self._unsigned_ms:
            raise Broken("UNSIGNED", chain.signed + 1, "no checkpoint was signed for long")

    async def _head(self, shard: int) -> tuple[ChainHead, int]:
        heads, now_ms = await self._store.heads([shard])
        return heads[shard], now_ms

    async def export(self) -> AsyncIterator[bytes]:
        """All lines of an export, some at a time, each with its line end."""
        await self._sealer.seal(sign=True)
        yield _joined([export_line(), *(key_line(key) for key, _ in self._ring.published())])
        ends: list[Head] = []
        for shard in range(self._store.shards):
            head, _ = await self._head(shard)
            # Up to a checkpoint, if there is one: what comes after it is for the next export.
            last = head.checkpoint or head.last.sequence
            root = parse_checkpoint(_parsed(head.root_line))
            end = Head(shard, head.root + 1, head.root, root.hash if root else GENESIS)
            async for lines in self._pieces(shard, head):
                kept = []
                for line in lines:
                    value = _parsed(line)
                    if value.get("sequence", 0) > last:
                        break
                    if "event" in value:
                        end = Head(shard, head.root + 1, value["sequence"], value["hash"])
                    kept.append(line)
                for part in _parts(kept):
                    yield part
                if len(kept) < len(lines):
                    break
            ends.append(end)
        _, now_ms = await self._store.heads([0])
        yield _joined([manifest_line(ends, now_ms, self._ring.signer())])


def known_checkpoints(lines: Sequence[str]) -> dict[int, dict[int, str]]:
    """Hashes by shard and sequence. Raises ValueError with the number of a line that is no checkpoint, from 0."""
    known: dict[int, dict[int, str]] = {}
    for number, line in enumerate(lines):
        try:
            checkpoint = parse_checkpoint(orjson.loads(line))
        except orjson.JSONDecodeError:
            checkpoint = None
        if checkpoint is None:
            raise ValueError(number)
        known.setdefault(checkpoint.shard, {})[checkpoint.sequence] = checkpoint.hash
    return known


def _order(position: Position) -> tuple[int, int, int]:
    return position.time_ms, position.shard, position.sequence


def _parsed(line: bytes | None) -> dict[str, Any]:
    """A record, or {"checkpoint": ...}; empty for a line that somebody has damaged: whoever reads goes on."""
    try:
        value = orjson.loads(line or b"")
    except orjson.JSONDecodeError:
        return {}
    if not isinstance(value, dict):
        return {}
    whole = is_event(value.get("event")) and isinstance(value.get("hash"), str)
    whole = whole and all(type(value.get(name)) is int for name in ("sequence", "time_ms"))
    return value if whole or "checkpoint" in value else {}


def _parts(lines: Sequence[bytes]) -> Iterator[bytes]:
    """Lines put together, each part small enough for a message unless it is one line."""
    part: list[bytes] = []
    size = 0
    for line in lines:
        if part and size + len(line) > _PART_BYTES:
            yield _joined(part)
            part, size = [], 0
        part.append(line)
        size += len(line) + 1
    if part:
        yield _joined(part)


def _joined(lines: Sequence[bytes]) -> bytes:
    return b"".join(line + b"\n" for line in lines)
