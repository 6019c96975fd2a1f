"""Seals what the journals have into the chains, signs checkpoints, and removes what is older than it must be kept."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import orjson
import structlog
from redis.exceptions import RedisError

from services.approval import journal
from services.approval.audit import metrics
from services.approval.audit.chain import Broken, Chain, is_event, parse_checkpoint
from services.approval.audit.lines import Checkpoint, Link, canonical, checkpoint_line, record_line
from services.approval.grants.ring import KeyRing
from services.approval.record import CLOCK
from services.approval.store import keys
from services.approval.store.audit import AuditStore, Batch, ChainHead, JournalEntry
from services.runtime.context import draining

# Of one shard in one step: some two milliseconds of work, and a script of less than one.
_BATCH = 200
# What is looked at in one step of removing; there is a checkpoint in it, for the longest way between two is shorter.
_PIECE = 2 * _BATCH
# Retention is counted in days; looking more often finds nothing.
_FORGET_EVERY_SECONDS = 60.0

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Habits:
    """How the trail is kept.

    Attributes:
        every_seconds: how often the journals are looked at.
        checkpoint_records, checkpoint_ms: a checkpoint is signed when there are so many new records, or there is a new
            record and the last checkpoint is so old.
        retention_ms: how old records get; 0 is for ever.
    """

    every_seconds: float = 1.0
    checkpoint_records: int = 1000
    checkpoint_ms: int = 60_000
    retention_ms: int = 0


class Sealer:
    """Runs in every process. Whoever comes first seals an entry, and it is sealed once."""

    def __init__(self, store: AuditStore, ring: KeyRing, habits: Habits) -> None:
        self._store = store
        self._ring = ring
        self._habits = habits
        # Where this process last saw each chain: it is never to end before that, or to have gone another way.
        self._seen: dict[int, Link] = {}
        self._one_at_a_time = asyncio.Lock()

    async def run(self) -> None:
        """Seal until the process drains."""
        clock = asyncio.get_running_loop().time
        forget_at = clock()
        # Looked at as well as being cancelled: a cancellation can be lost on Python 3.11, see `sweeper.py`.
        drain = draining()
        while not drain.is_set():
            try:
                await self.seal()
                if clock() >= forget_at:
                    await self.forget_old()
                    forget_at = clock() + _FORGET_EVERY_SECONDS
            except RedisError as error:
                log.warning("sealing_failed", error=str(error))
            if not drain.is_set():
                await asyncio.sleep(self._habits.every_seconds)

    async def sealed(self) -> dict[int, str]:
        """How far each shard's journal has been sealed, by the id of its last entry."""
        heads, _ = await self._store.heads(range(self._store.shards))
        return {shard: head.journal for shard, head in heads.items() if head.journal}

    async def seal(self, shards: Iterable[int] | None = None, *, sign: bool = False) -> int:
        """Seal what these shards' journals have (None: all); how many records this call has added.

        Args:
            sign: sign a checkpoint on the last record of each, even if it is not time.
        """
        async with self._one_at_a_time:
            return await self._seal(list(range(self._store.shards) if shards is None else shards), sign=sign)

    async def _seal(self, left: list[int], *, sign: bool) -> int:
        added = 0
        measured = whole = len(left) == self._store.shards
        while left:
            heads, now_ms = await self._store.heads(left)
            await self._compare(heads)
            batches = []
            unsealed = await self._store.unsealed(heads, _BATCH)
            if measured:
                _measure(heads, unsealed, now_ms)
                measured = False
            for shard, entries in unsealed.items():
                batch = self._batch(shard, heads[shard], entries, now_ms, sign=sign)
                if batch is not None:
                    batches.append(batch)
                await asyncio.sleep(0)
            left = []
            for batch, answer in zip(batches, await self._store.seal(batches), strict=True):
                if isinstance(answer, Exception):
                    # Such as a stream that ends after its head: nothing can be appended, and nothing is lost, for the
                    # journal keeps what is not sealed.
                    log.error("audit_chain_cannot_be_extended", shard=batch.shard, error=str(answer))
                    metrics.PROBLEMS.labels("CANNOT_BE_EXTENDED").inc()
                    whole = False
                    continue
                if answer:
                    added += len(batch.lines)
                    self._seen[batch.shard] = batch.last
                if not answer or len(batch.lines) == _BATCH:
                    left.append(batch.shard)
        metrics.SEALED.inc(added)
        if whole:
            metrics.SEALED_AT.set_to_current_time()
        return added

    def _batch(
        self, shard: int, head: ChainHead, entries: Sequence[JournalEntry], now_ms: int, *, sign: bool
    ) -> Batch | None:
        """What is to be appended to a chain; None for nothing."""
        last, lines = head.last, []
        for entry in entries:
            event, approval_id = _event(shard, entry.event)
            # Redis never gives a stream an id before its last one; a clock that is set back, or a failover, must not
            # make a chain that seems wrong.
            line, last = record_line(shard, last, max(entry.time_ms, last.time_ms), event)
            lines.append((line, approval_id))
        unsigned = last.sequence - head.checkpoint
        due = sign or unsigned >= self._habits.checkpoint_records
        due = due or now_ms - head.checkpoint_ms >= self._habits.checkpoint_ms
        journal_id = entries[-1].id if entries else head.journal
        if unsigned <= 0 or not due:
            return Batch(shard, head, lines, last, journal_id) if lines else None
        signed = self._signed(shard, last, head.checkpoint, now_ms, root=False)
        return Batch(shard, head, lines, last, journal_id, signed, now_ms)

    def _signed(self, shard: int, at: Link, previous: int, now_ms: int, *, root: bool) -> bytes:
        key = self._ring.signer()
        return checkpoint_line(Checkpoint(shard, at.sequence, at.hash, previous, root, key.kid, now_ms), key)

    async def _compare(self, heads: Mapping[int, ChainHead]) -> None:
        """See whether the chains still go through where this process saw them, and write it down if one does not."""
        moved = [
            (shard, head)
            for shard, head in heads.items()
            if (seen := self._seen.get(shard)) is not None and head.last != seen and head.root < seen.sequence
        ]
        records = await self._store.records([(shard, self._seen[shard].sequence) for shard, _ in moved])
        for (shard, head), line in zip(moved, records, strict=True):
            seen = self._seen[shard]
            if head.last.sequence <= seen.sequence or line is None or _hash_in(line) != seen.hash:
                was, now = (f"{link.sequence} ({link.hash[:16]})" for link in (seen, head.last))
                reason = f"it was at {was} and is at {now}: records were lost or rewritten"
                log.error("audit_trail_changed", shard=shard, reason=reason)
                metrics.PROBLEMS.labels("TRAIL_CHANGED").inc()
                event = journal.fact("TRAIL_CHANGED", actor=CLOCK, subject_name=f"a{shard:02x}", reason=reason)
                await self._store.note(shard, event)
        self._seen.update({shard: head.last for shard, head in heads.items() if head.last.sequence})

    async def forget_old(self) -> int:
        """Remove what is older than the retention, up to a checkpoint each; how many records went."""
        if not self._habits.retention_ms:
            return 0
        removed = 0
        heads, now_ms = await self._store.heads(range(self._store.shards))
        for shard, head in heads.items():
            root, root_line = head.root, head.root_line
            while True:
                old = await self._oldest(shard, root, root_line, now_ms - self._habits.retention_ms)
                if old is None:
                    break
                checkpoint, approval_ids = old
                at = Link(checkpoint.sequence, checkpoint.hash)
                root_line = self._signed(shard, at, checkpoint.previous, now_ms, root=True)
                await self._store.forget(shard, at.sequence, root_line, approval_ids)
                removed += at.sequence - root
                root = at.sequence
        return removed

    async def _oldest(
        self, shard: int, root: int, root_line: bytes, before_ms: int
    ) -> tuple[Checkpoint, set[str]] | None:
        """The last checkpoint signed before a time, of the first some hundreds, and which approvals the records are of.

        What does not verify is not removed: it is the evidence.
        """
        chain = Chain(shard, self._ring.find)
        after, approval_ids, found = (root, True), set[str](), None
        try:
            if root_line:
                chain.take(root_line)
            while found is None:
                piece = await self._store.read(shard, after, _PIECE)
                for stored in piece:
                    chain.take(stored.line)
                    after = (stored.sequence, stored.is_checkpoint)
                    value = orjson.loads(stored.line)
                    checkpoint = parse_checkpoint(value)
                    if checkpoint is None:
                        if value["time_ms"] > before_ms:
                            return found
                        approval_ids.add(_approval_id(shard, value["event"]))
                    elif checkpoint.time_ms > before_ms:
                        return found
                    else:
                        found = (checkpoint, approval_ids - {""})
                if len(piece) < _PIECE:
                    return found
                await asyncio.sleep(0)
        except Broken as broken:
            log.error("audit_chain_broken", shard=shard, reason=broken.reason, sequence=broken.sequence)
            return None
        return found


def _measure(heads: Mapping[int, ChainHead], unsealed: Mapping[int, Sequence[JournalEntry]], now_ms: int) -> None:
    """Tell Prometheus what was found before anything is sealed of it."""
    oldest = min((entries[0].time_ms for entries in unsealed.values() if entries), default=now_ms)
    metrics.UNSEALED.set(sum(map(len, unsealed.values())))
    metrics.LAG.set(max(0, now_ms - oldest) / 1000)
    metrics.CHECKPOINT.set(max((head.checkpoint_ms for head in heads.values()), default=0) / 1000)


def _event(shard: int, raw: bytes) -> tuple[bytes, str]:
    """An entry of the journal as canonical JSON, and which approval it is about.

    What is no event is kept as text: an entry that nobody could seal would stop its shard for ever.
    """
    try:
        event = orjson.loads(raw)
    except orjson.JSONDecodeError:
        event = None
    if not is_event(event):
        event = {"reason": raw.decode(errors="replace"), "type": "AUDIT_EVENT_TYPE_UNSPECIFIED"}
    return canonical(event), _approval_id(shard, event)


def _approval_id(shard: int, event: Mapping[str, object]) -> str:
    """The approval that an event is about, if it is one of this shard; else empty."""
    approval_id = event.get("approval_id", "")
    return approval_id if isinstance(approval_id, str) and keys.shard_named(approval_id) == shard else ""


def _hash_in(line: bytes) -> str:
    """The hash that a record's line has; empty if it is none."""
    try:
        value = orjson.loads(line)
    except orjson.JSONDecodeError:
        return ""
    return str(value.get("hash", "")) if isinstance(value, dict) else ""
