"""Pages of ids over the shards' indexes, newest first.

An index is one sorted set a shard, scored by creation time. A page merges the heads of all of them, so it reads at most
page size + 2 entries a shard, however much is stored. The order is by time and, within a millisecond, by the uuid of
the id, descending: total, so a page token stays right while entries are added before it or removed anywhere.
"""

from __future__ import annotations

import heapq
from collections.abc import Sequence
from typing import Any, NamedTuple

from redis.asyncio import Redis

_UUID_CHARS = 32


class Entry(NamedTuple):
    """One indexed id and its creation time. A page token is the last entry seen."""

    created_ms: int
    id: str

    @property
    def order(self) -> tuple[int, str]:
        """What entries are sorted by. Without the shard in the id: of two shards, neither is newer."""
        return self.created_ms, self.id[-_UUID_CHARS:]


async def newest(
    redis: Redis, indexes: Sequence[str], limit: int, after: Entry | None = None
) -> tuple[list[Entry], bool]:
    """Return up to `limit` entries that come after `after`, and whether there are more."""
    found: list[Entry] = []
    offsets = dict.fromkeys(indexes, 0)
    while offsets:
        # One for "is there more", one for `after` itself.
        count = limit + 2
        batches = await _heads(redis, offsets, count, after)
        again: dict[str, int] = {}
        for index, batch in batches.items():
            fresh = [entry for entry in batch if after is None or entry.order < after.order]
            found.extend(fresh)
            # Entries as old as `after` but already shown can fill a whole batch: look behind them.
            if len(batch) == count and len(fresh) <= limit:
                again[index] = offsets[index] + len(batch)
        offsets = again
    merged = heapq.nlargest(limit + 1, found, key=lambda entry: entry.order)
    return merged[:limit], len(merged) > limit


async def _heads(redis: Redis, offsets: dict[str, int], count: int, after: Entry | None) -> dict[str, list[Entry]]:
    highest: int | str = "+inf" if after is None else after.created_ms
    async with redis.pipeline(transaction=False) as pipe:
        for index, offset in offsets.items():
            pipe.zrevrangebyscore(index, highest, "-inf", start=offset, num=count, withscores=True)
        replies: list[list[tuple[bytes, Any]]] = await pipe.execute()
    return {
        index: [Entry(int(float(score)), member.decode()) for member, score in rows]
        for index, rows in zip(offsets, replies, strict=True)
    }
