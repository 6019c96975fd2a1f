"""Forgetting runs that ended long ago."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from redis.asyncio import Redis

from services.orchestrator.store import keys
from services.orchestrator.store.runs import RunStore
from services.runtime.redis import Script, ScriptCall, run_scripts

_RETIRE = Script.load(Path(__file__).with_name("retire.lua"))

BATCH = 100
"""Runs looked at per shard in one pass."""


class Retirement:
    """Drops ended runs; open ones are never dropped, however old."""

    def __init__(self, redis: Redis, runs: RunStore, shards: int) -> None:
        self._redis = redis
        self._runs = runs
        self._shards = range(shards)

    async def retire(self, kept_ms: int, now_ms: int) -> int:
        """Forget up to a batch per shard of the runs that ended more than ``kept_ms`` ago; return how many."""
        retired = 0
        for shard in self._shards:
            old: Any = await self._redis.zrange(
                keys.ended(shard), "-inf", str(now_ms - kept_ms), byscore=True, offset=0, num=BATCH
            )
            run_ids = [entry.decode() for entry in old]
            if run_ids:
                retired += await self._retire(shard, run_ids, kept_ms)
        return retired

    async def _retire(self, shard: int, run_ids: list[str], kept_ms: int) -> int:
        calls = []
        for run_id, run in zip(run_ids, await self._runs.summaries(run_ids), strict=True):
            indexes = keys.run_indexes(run.header) if run is not None else []
            names = [keys.run(run_id), keys.run_events(run_id), keys.ended(shard), *indexes]
            calls.append(ScriptCall(_RETIRE, names, [run_id, kept_ms]))
        answers = await run_scripts(self._redis, calls)
        for answer in answers:
            if isinstance(answer, Exception):
                raise answer
        return sum(answers)
