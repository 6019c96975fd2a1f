"""The one sequence of events that watchers follow.

What happens is written to its shard's journal in the same script that makes it happen. From there it is published:
given the next number of the one sequence, and appended to one stream, in a script that also remembers how far the
journal has been published. A crash between the two loses nothing: whichever process looks next publishes what is left.
Events of one shard, so of one run, keep their order.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson
import structlog
from redis.asyncio import Redis
from redis.exceptions import RedisError

from services.approval.store import keys
from services.runtime.context import draining
from services.runtime.redis import Script, ScriptCall, run_scripts

_PUBLISH = Script.load(Path(__file__).parent / "publish.lua")
_PUBLISH_KEYS = [keys.EVENTS_STREAM, keys.EVENTS_SEQUENCE, keys.EVENTS_PUBLISHED]
_BATCH = 200
# How long a watcher's wake-up may be late if the notice was lost with its connection.
_BLOCK_MS = 5_000

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Entry:
    """A published entry of the journal, and when it was written, Unix milliseconds."""

    sequence: int
    event: dict[str, Any]
    time_ms: int


class EventsLost(Exception):
    """What comes after the sequence asked for is not kept (or never was); watch from `latest`."""

    def __init__(self, latest: int) -> None:
        super().__init__(f"the events asked for are not kept; the latest is {latest}")
        self.latest = latest


class EventLog:
    """Publishes what the journals have for watchers, and reads it in order.

    `kept` is about how many events stay readable, `recheck_seconds` how often all shards are looked at.
    """

    def __init__(self, redis: Redis, blocking: Redis, *, shards: int, kept: int, recheck_seconds: float) -> None:
        self._redis = redis
        self._blocking = blocking
        self._shards = shards
        self._kept = kept
        self._recheck_seconds = recheck_seconds
        self._ready: set[int] = set()
        self._kick = asyncio.Event()
        self._news = asyncio.Event()

    def kick(self, shards: Iterable[int]) -> None:
        """Say that these shards have something to publish."""
        self._ready.update(shards)
        self._kick.set()

    async def publish(self, shards: Iterable[int]) -> int:
        """Publish what these shards' journals have beyond what was published; how many events were new."""
        published, left = 0, sorted(set(shards))
        while left:
            cursors: list[Any] = await self._redis.hmget(keys.EVENTS_PUBLISHED, [str(shard) for shard in left])
            pipeline = self._redis.pipeline(transaction=False)
            for shard, cursor in zip(left, cursors, strict=True):
                pipeline.xrange(keys.journal(shard), min=f"({cursor.decode()}" if cursor else "-", count=_BATCH)
            found = [(shard, entries) for shard, entries in zip(left, await pipeline.execute(), strict=True) if entries]
            calls = [
                ScriptCall(_PUBLISH, _PUBLISH_KEYS, [shard, self._kept, *_flat(entries)]) for shard, entries in found
            ]
            for answer in await run_scripts(self._redis, calls):
                if isinstance(answer, Exception):
                    raise answer
                published += answer
            left = [shard for shard, entries in found if len(entries) == _BATCH]
        if published:
            self._wake()
        return published

    async def published(self) -> dict[int, str]:
        """How far each shard's journal has been published, by the id of its last entry."""
        found: dict[Any, Any] = await self._redis.hgetall(keys.EVENTS_PUBLISHED)
        return {int(shard): entry_id.decode() for shard, entry_id in found.items()}

    async def run_publisher(self) -> None:
        """Publish what is kicked at once, and look at all shards now and then, for what a crash left behind."""
        clock = asyncio.get_running_loop().time
        look_at = clock()
        drain = draining()
        while not drain.is_set():
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout_at(look_at):
                    await self._kick.wait()
            self._kick.clear()
            shards: Iterable[int] = self._ready
            self._ready = set()
            if clock() >= look_at:
                shards = range(self._shards)
                look_at = clock() + self._recheck_seconds
            try:
                await self.publish(shards)
            except RedisError as error:
                log.warning("publish_failed", error=str(error))
                await asyncio.sleep(self._recheck_seconds)

    async def run_listener(self) -> None:
        """Notice events that other processes publish."""
        last: bytes | str = "$"
        drain = draining()
        while not drain.is_set():
            try:
                answer: Any = await self._blocking.xread({keys.EVENTS_STREAM: last}, block=_BLOCK_MS)
                if answer:
                    last = answer[0][1][-1][0]
                    self._wake()
            except RedisError as error:
                log.warning("listen_failed", error=str(error))
                await asyncio.sleep(1.0)

    def _wake(self) -> None:
        self._news.set()
        self._news = asyncio.Event()

    def news(self) -> asyncio.Event:
        """Set when something is published after this call. Take it before reading, so that nothing falls between."""
        return self._news

    async def read(self, after: int) -> list[Entry]:
        """The next events after a sequence, oldest first; empty if there are none yet.

        0 starts with the oldest kept. Raises EventsLost if there is a gap between `after` and what is kept.
        """
        pipeline = self._redis.pipeline(transaction=True)
        pipeline.xrange(keys.EVENTS_STREAM, min=f"{after + 1}-0", count=_BATCH)
        pipeline.get(keys.EVENTS_SEQUENCE)
        found, sequence = await pipeline.execute()
        entries = [
            Entry(int(entry_id.split(b"-")[0]), orjson.loads(fields[b"e"]), int(fields[b"t"]))
            for entry_id, fields in found
        ]
        latest = int(sequence or 0)
        following = entries[0].sequence if entries else latest + 1
        if after and following != after + 1:
            raise EventsLost(latest)
        return entries


def _flat(entries: Iterable[tuple[bytes, Mapping[bytes, bytes]]]) -> list[bytes]:
    """Ids and entries in turn; what watchers are not told is empty."""
    return [
        part for entry_id, fields in entries for part in (entry_id, fields[b"e"] if fields.get(b"p") == b"1" else b"")
    ]
