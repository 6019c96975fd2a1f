"""The journals: what happened, shard by shard, for those who read it at their own pace."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Protocol

from redis.asyncio import Redis

from services.approval.store import keys


class Reader(Protocol):
    """Somebody who reads journals, and knows how far."""

    def __call__(self) -> Awaitable[Mapping[int, str]]:
        """The id of the last entry read, by shard; nothing for a shard that was never read."""
        ...


class Journal:
    """Appends what no script of an approval does, and removes what everybody has read.

    Args:
        readers: all who read the journals; an entry goes when each of them has read it.
    """

    def __init__(
        self, redis: Redis, shards: int, readers: Sequence[Callable[[], Awaitable[Mapping[int, str]]]]
    ) -> None:
        self._redis = redis
        self._shards = shards
        self._readers = readers

    async def append(self, shard: int, event: bytes) -> None:
        """Add an entry that watchers are not told of."""
        await self._redis.xadd(keys.journal(shard), {"e": event, "p": 0})

    async def trim(self) -> None:
        """Remove what every reader has read."""
        read = [await reader() for reader in self._readers]
        pipeline = self._redis.pipeline(transaction=False)
        for shard in range(self._shards):
            last = [cursors.get(shard) for cursors in read]
            if all(last):
                # What is at the least cursor itself was read too, but MINID keeps it: one entry a shard stays.
                pipeline.xtrim(
                    keys.journal(shard), minid=min((name for name in last if name), key=_order), approximate=True
                )
        await pipeline.execute()


def _order(entry_id: str) -> tuple[int, int]:
    milliseconds, _, number = entry_id.partition("-")
    return int(milliseconds), int(number)
