"""Deliveries in Redis, from the journal's entry to the receiver's answer or the dead letters.

What is in a shard's journal becomes deliveries in the same slot, in the step that remembers how far the journal was
read. From there each is leased by whoever sends it: if that process dies, the lease runs out and another sends it
again, under the same id.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson
from redis.asyncio import Redis

from services.approval.notifications.model import MAX_IDS, Delivery, Outcome
from services.approval.store import keys
from services.runtime.ids import is_id, shard_of
from services.runtime.redis import Script, ScriptCall, Value, run_scripts

_HERE = Path(__file__).parent
_FAN_OUT = Script.load(_HERE / "fan_out.lua")
_CLAIM = Script.load(_HERE / "claim.lua")
_FINISH = Script.load(_HERE / "finish.lua")
_REDELIVER = Script.load(_HERE / "redeliver.lua")
_DROP = Script.load(_HERE / "drop_deliveries.lua")

MAX_WAITING = 10_000
"""Deliveries of one webhook and shard that wait; beyond, they are dead letters at once."""
_DROPPED_AT_ONCE = 500


@dataclass(frozen=True, slots=True)
class Part:
    """Entries of one shard's journal that were not made deliveries yet. `seen` is how far it was read ("": never)."""

    shard: int
    seen: str
    entries: tuple[tuple[str, bytes], ...]
    """Id, and the entry if watchers are told of it, else empty."""


@dataclass(frozen=True, slots=True)
class Draft:
    """A delivery to be made, of one event. `gather` is what it has in common with those it may become one with."""

    id: str
    webhook_id: str
    event: str
    at_ms: int
    facts: bytes
    approval_id: str
    gather: str = ""


@dataclass(frozen=True, slots=True)
class Leased:
    """A delivery that this process, and no other, may send now."""

    delivery: Delivery
    lease: str


class DeliveryStore:
    """All deliveries, split over the shards that their approvals are in."""

    def __init__(self, redis: Redis, shards: int) -> None:
        self._redis = redis
        self.shards = shards

    async def read(self) -> dict[int, str]:
        """How far each shard's journal was read, by the id of its last entry."""
        pipeline = self._redis.pipeline(transaction=False)
        for shard in range(self.shards):
            pipeline.get(keys.notified(shard))
        found = await pipeline.execute()
        return {shard: name.decode() for shard, name in enumerate(found) if name}

    async def unread(self, limit: int) -> list[Part]:
        """What the journals have beyond what was read, at most `limit` a shard."""
        seen = await self.read()
        pipeline = self._redis.pipeline(transaction=False)
        for shard in range(self.shards):
            pipeline.xrange(keys.journal(shard), min=f"({seen[shard]}" if shard in seen else "-", count=limit)
        found = await pipeline.execute()
        return [
            Part(
                shard,
                seen.get(shard, ""),
                tuple((name.decode(), fields[b"e"] if fields.get(b"p") == b"1" else b"") for name, fields in entries),
            )
            for shard, entries in enumerate(found)
            if entries
        ]

    async def fan_out(self, part: Part, drafts: Sequence[Draft], gather_ms: int) -> int:
        """Make deliveries and read on, in one step; how many, -1 if somebody else has read on."""
        args: list[Value] = [part.seen, part.entries[-1][0], keys.prefix(part.shard), MAX_WAITING, MAX_IDS]
        for draft in drafts:
            delay = gather_ms if draft.gather else 0
            args += [draft.id, draft.webhook_id, draft.event, draft.at_ms, draft.facts, draft.approval_id, delay]
            args.append(draft.gather)
        touched = [keys.notified(part.shard), keys.gathering(part.shard), keys.dead_by_time(part.shard)]
        return int(await _FAN_OUT(self._redis, touched, args))

    async def due(self, webhook_id: str) -> dict[int, int]:
        """How many deliveries of a webhook can be sent now, by shard."""
        seconds, micros = await self._redis.time()
        now_ms = int(seconds) * 1000 + int(micros) // 1000
        pipeline = self._redis.pipeline(transaction=False)
        for shard in range(self.shards):
            pipeline.zcount(keys.deliveries(shard, webhook_id), "-inf", now_ms)
        return {shard: count for shard, count in enumerate(await pipeline.execute()) if count}

    async def claim(self, webhook_id: str, shard: int, limit: int, *, lease: str, lease_ms: int) -> list[Leased]:
        """Take what can be sent now, for as long as a lease."""
        touched = [keys.deliveries(shard, webhook_id), keys.gathering(shard)]
        rows = await _CLAIM(self._redis, touched, [keys.prefix(shard), limit, lease_ms, lease])
        return [Leased(_decode(dict(zip(row[::2], row[1::2], strict=True))), lease) for row in rows]

    async def finish(self, leased: Leased, what: str, outcome: Outcome, again_ms: int = 0) -> bool:
        """Note what came of it: "delivered", "again" (in `again_ms`) or "dead". False if the lease was over."""
        delivery = leased.delivery
        args: list[Value] = [
            delivery.id,
            leased.lease,
            what,
            again_ms,
            outcome.status,
            outcome.error,
            delivery.webhook_id,
        ]
        return bool(await _FINISH(self._redis, _touched(delivery.webhook_id, delivery.id), args))

    async def dead(self, webhook_id: str, after: str, limit: int) -> list[Delivery]:
        """Dead letters of a webhook, newest first, after the id `after` (empty: from the newest)."""
        pipeline = self._redis.pipeline(transaction=False)
        for shard in range(self.shards):
            # Ids of one shard sort by age behind what they have in common.
            start = f"(dlv_{shard:02x}{_age(after)}" if after else "+"
            pipeline.zrevrangebylex(keys.dead(shard, webhook_id), start, "-", start=0, num=limit)
        names = sorted((name.decode() for part in await pipeline.execute() for name in part), key=_age, reverse=True)
        pipeline = self._redis.pipeline(transaction=False)
        for name in names[:limit]:
            pipeline.hgetall(keys.delivery(shard_of(name), name))
        return [_decode(fields) for fields in await pipeline.execute() if fields]

    async def redeliver(self, webhook_id: str, delivery_id: str) -> bool:
        """Let a dead letter be delivered again; False if it is none."""
        if not is_id(delivery_id, "dlv") or not self._is_ours(delivery_id):
            return False
        return bool(await _REDELIVER(self._redis, _touched(webhook_id, delivery_id), [delivery_id, webhook_id]))

    def _is_ours(self, delivery_id: str) -> bool:
        try:
            return shard_of(delivery_id) < self.shards
        except ValueError:
            return False

    async def count_dead(self) -> int:
        """How many dead letters there are."""
        pipeline = self._redis.pipeline(transaction=False)
        for shard in range(self.shards):
            pipeline.zcard(keys.dead_by_time(shard))
        return int(sum(await pipeline.execute()))

    async def forget_dead(self, before_ms: int, most: int) -> int:
        """Remove dead letters that died before a time, and the oldest beyond `most` a shard; how many."""
        removed = 0
        for shard in range(self.shards):
            index = keys.dead_by_time(shard)
            found: list[Any] = await self._redis.zrangebyscore(index, "-inf", before_ms, start=0, num=_DROPPED_AT_ONCE)
            excess = int(await self._redis.zcard(index)) - most
            if excess > 0:
                found += await self._redis.zrange(index, 0, min(excess, _DROPPED_AT_ONCE) - 1)
            by_webhook: dict[str, set[str]] = {}
            for name in found:
                webhook_id, _, delivery_id = name.decode().partition(" ")
                by_webhook.setdefault(webhook_id, set()).add(delivery_id)
            for webhook_id, ids in by_webhook.items():
                removed += await self._drop(shard, webhook_id, sorted(ids))
        return removed

    async def drop_all(self, webhook_id: str) -> int:
        """Remove what waits for a webhook and its dead letters, some hundreds a shard; how many."""
        dropped = 0
        for shard in range(self.shards):
            for index in (keys.deliveries(shard, webhook_id), keys.dead(shard, webhook_id)):
                found: list[Any] = await self._redis.zrange(index, 0, _DROPPED_AT_ONCE - 1)
                if found:
                    dropped += await self._drop(shard, webhook_id, [name.decode() for name in found])
        return dropped

    async def _drop(self, shard: int, webhook_id: str, ids: Sequence[str]) -> int:
        touched = [
            keys.deliveries(shard, webhook_id),
            keys.dead(shard, webhook_id),
            keys.dead_by_time(shard),
            keys.gathering(shard),
        ]
        (answer,) = await run_scripts(self._redis, [ScriptCall(_DROP, touched, [keys.prefix(shard), webhook_id, *ids])])
        if isinstance(answer, Exception):
            raise answer
        return int(answer)


def _age(delivery_id: str) -> str:
    """What is left of an id without its prefix and shard: it sorts by age."""
    return delivery_id[6:]


def _touched(webhook_id: str, delivery_id: str) -> list[str]:
    shard = shard_of(delivery_id)
    return [
        keys.deliveries(shard, webhook_id),
        keys.delivery(shard, delivery_id),
        keys.dead(shard, webhook_id),
        keys.dead_by_time(shard),
    ]


def _decode(fields: Mapping[bytes, bytes]) -> Delivery:
    def number(name: bytes) -> int:
        return int(fields.get(name, b"0"))

    return Delivery(
        id=fields[b"id"].decode(),
        webhook_id=fields[b"webhook_id"].decode(),
        event=fields[b"event"].decode(),
        at_ms=number(b"at_ms"),
        facts=orjson.loads(fields[b"facts"]),
        approval_ids=tuple(fields.get(b"approval_ids", b"").decode().split()),
        count=number(b"count"),
        attempts=number(b"attempts"),
        last_status=number(b"last_status"),
        last_error=fields.get(b"last_error", b"").decode(),
        dead_ms=number(b"dead_ms"),
    )
