"""Lists of runs. The entries are written by the commit that creates a run and removed by retention."""

from __future__ import annotations

from redis.asyncio import Redis

from services.orchestrator.store import keys
from services.orchestrator.store.listing import Entry, newest


class RunIndex:
    """Ids of runs, spread over `shards` shards."""

    def __init__(self, redis: Redis, shards: int) -> None:
        self._redis = redis
        self._shards = shards

    async def list(
        self, *, owner: str | None, project_id: str, task_id: str, limit: int, after: Entry | None
    ) -> tuple[list[Entry], bool]:
        """Return a page of ids, newest first: of a task, else of a project, else of an owner, else (None) of all."""
        if task_id:
            indexes = [keys.task_runs(task_id)]
        elif project_id:
            indexes = [keys.project_runs(project_id)]
        else:
            shards = range(self._shards)
            indexes = [keys.runs(n) if owner is None else keys.owner_runs(n, owner) for n in shards]
        return await newest(self._redis, indexes, limit, after)
