"""What is to be done by the clock: timers, and calls owed to the approval service."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from redis.asyncio import Redis

from services.orchestrator.engine.decide import Timer
from services.orchestrator.store import keys
from services.orchestrator.store.runs import timer_member
from services.runtime.redis import Script, ScriptCall, run_scripts

_DUE = Script.load(Path(__file__).with_name("due.lua"))

HIDDEN_MS = 5_000
"""How long a process that took something has to do it before another may."""

BATCH = 200
"""Taken per shard in one look."""


class ReadyStep(NamedTuple):
    """An entry of an agent's queue."""

    run_id: str
    step_id: str
    agent: str


class Schedule:
    """The timers and outboxes of all shards."""

    def __init__(self, redis: Redis, shards: int) -> None:
        self._redis = redis
        self._shards = range(shards)

    async def due_timers(self) -> list[tuple[str, Timer]]:
        """Take the timers whose time has come, as (run id, timer). One round trip for all shards."""
        rows = await self._take([keys.timers(shard) for shard in self._shards], after_ms=0)
        due = []
        for row in rows:
            kind, run_id, step_id, attempt = row.split("|")
            due.append((run_id, Timer(kind, step_id, int(attempt))))
        return due

    async def due_calls(self, after_ms: int) -> list[tuple[str, str]]:
        """Take the calls owed for longer than ``after_ms``, as (run id, step id); no step id: withdraw the run's."""
        rows = await self._take([keys.outbox(shard) for shard in self._shards], after_ms=after_ms)
        return [(run_id, step_id) for run_id, _, step_id in (row.partition("|") for row in rows)]

    async def _take(self, names: Sequence[str], after_ms: int) -> list[str]:
        calls = [ScriptCall(_DUE, [name], [BATCH, HIDDEN_MS, after_ms]) for name in names]
        found: list[str] = []
        for answer in await run_scripts(self._redis, calls):
            if isinstance(answer, Exception):
                raise answer
            found.extend(member.decode() for member in answer)
        return found

    async def drop_timers(self, timers: Sequence[tuple[str, Timer]]) -> None:
        """Forget timers that came too late to mean anything."""
        pipe = self._redis.pipeline(transaction=False)
        for run_id, timer in timers:
            pipe.zrem(keys.timers(keys.shard_of(run_id)), timer_member(run_id, timer))
        await pipe.execute()

    async def postpone(self, run_id: str, timer: Timer, at_ms: int) -> None:
        """Move a timer that still exists."""
        await self._redis.zadd(keys.timers(keys.shard_of(run_id)), {timer_member(run_id, timer): at_ms}, xx=True)

    async def extend_leases(self, leases: Sequence[tuple[str, str, int]], until_ms: int) -> list[bool]:
        """Extend leases named by (run id, step id, attempt), in one round trip; False where it is no longer held."""
        pipe = self._redis.pipeline(transaction=False)
        for run_id, step_id, attempt in leases:
            key = keys.timers(keys.shard_of(run_id))
            member = timer_member(run_id, Timer("lease", step_id, attempt))
            pipe.zadd(key, {member: until_ms}, xx=True, gt=True)
            pipe.zscore(key, member)
        scores: list[Any] = (await pipe.execute())[1::2]
        return [score is not None for score in scores]

    async def call_done(self, run_id: str, step_id: str) -> None:
        """Forget a call that is no longer owed."""
        await self._redis.zrem(keys.outbox(keys.shard_of(run_id)), f"{run_id}|{step_id}")

    async def ready(self, agents: Sequence[str], limit: int) -> list[ReadyStep]:
        """Return up to ``limit`` ready steps per queue, best first; nothing is taken yet."""
        pipe = self._redis.pipeline(transaction=False)
        for agent in agents:
            for shard in self._shards:
                pipe.zrange(keys.queue(shard, agent), 0, limit - 1, withscores=True)
        rows: list[list[tuple[bytes, float]]] = await pipe.execute()
        found = []
        for at, row in enumerate(rows):
            agent = agents[at // len(self._shards)]
            for member, score in row:
                run_id, _, step_id = member.decode().partition("|")
                found.append((score, ReadyStep(run_id, step_id, agent)))
        found.sort()
        return [entry for _, entry in found]

    async def forget_ready(self, entry: ReadyStep) -> None:
        """Remove an entry whose run is gone, so that it does not stand before others for ever."""
        queue = keys.queue(keys.shard_of(entry.run_id), entry.agent)
        await self._redis.zrem(queue, f"{entry.run_id}|{entry.step_id}")
