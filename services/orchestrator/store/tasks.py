"""Tasks in Redis. What a task says never changes; its status and its runs are written by the commits of runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import orjson
from redis.asyncio import Redis

from services.orchestrator.engine.model import Spec
from services.orchestrator.plan import Risk
from services.orchestrator.store import codec, keys, projects, requests
from services.orchestrator.store.listing import Entry, newest
from services.runtime.errors import NotFound
from services.runtime.redis import Script

_CREATE = Script.load(Path(__file__).with_name("create_task.lua"))
_SUMMARY = ("data", "status", "last_run", "active_run", "created_ms", "updated_ms")


@dataclass(frozen=True, slots=True)
class Task:
    """A task as stored. `environment` is the one its steps were assessed for."""

    id: str
    project_id: str
    owner: str
    query: str
    environment: str
    status: str = "planning"
    last_run: str = ""
    active_run: str = ""
    created_ms: int = 0
    updated_ms: int = 0
    specs: tuple[Spec, ...] = ()
    risks: Mapping[str, Risk] = field(default_factory=dict)


def not_found(task_id: str) -> NotFound:
    """The error for a task that is not there, or not there for the caller."""
    return NotFound("TASK_NOT_FOUND", f"task {task_id} does not exist; list tasks with ListTasks", task_id=task_id)


class TaskStore:
    """Tasks; each lives in the shard of its project."""

    def __init__(self, redis: Redis, shards: int) -> None:
        self._redis = redis
        self._shards = shards

    def request_key(self, project_id: str, owner: str, request_id: str) -> str:
        """Return the key that remembers what a request id made in a project's shard."""
        return keys.request(keys.shard_of(project_id), "task", owner, request_id)

    async def made_by(self, request_key: str, fingerprint: str) -> str | None:
        """Return what the same request made before, if anything. Raises AlreadyExists if it was another request."""
        return await requests.earlier(self._redis, request_key, fingerprint)

    async def create(self, task: Task, *, request_id: str = "", fingerprint: str = "") -> str:
        """Store a new task and return its id, or the id that the same request made before.

        Raises NotFound or FailedPrecondition for a project that is gone or archived, AlreadyExists for a reused
        request id.
        """
        shard = keys.shard_of(task.id)
        names = [
            keys.project(task.project_id),
            keys.task(task.id),
            keys.tasks(shard),
            keys.owner_tasks(shard, task.owner),
            keys.project_tasks(task.project_id),
        ]
        if request_id:
            names.append(self.request_key(task.project_id, task.owner, request_id))
        data = orjson.dumps({name: getattr(task, name) for name in ("project_id", "owner", "query", "environment")})
        plan = orjson.dumps({"specs": task.specs, "risks": dict(task.risks)})
        status, value = await _CREATE(
            self._redis, keys=names, args=[task.id, fingerprint, keys.REQUEST_TTL_SECONDS, data, plan]
        )
        if status == b"OK":
            return task.id
        if status == b"REPEATED":
            first: str = value.decode()
            return first
        if status == b"REUSED":
            requests.refuse(value.decode())
        raise projects.archived(task.project_id) if status == b"ARCHIVED" else projects.not_found(task.project_id)

    async def load(self, task_id: str) -> Task | None:
        """Return a task with its plan, or None."""
        if keys.shard_in(keys.TASK_ID, task_id) is None:
            return None
        row: list[Any] = await self._redis.hmget(keys.task(task_id), [*_SUMMARY, "plan"])
        return _task(task_id, row, orjson.loads(row[-1])) if row[0] is not None else None

    async def summaries(self, task_ids: Sequence[str]) -> list[Task | None]:
        """Return tasks without their plans, None where there is none, in one round trip."""
        async with self._redis.pipeline(transaction=False) as pipe:
            for task_id in task_ids:
                pipe.hmget(keys.task(task_id), list(_SUMMARY))
            rows: list[list[Any]] = await pipe.execute()
        return [
            _task(task_id, row, {}) if row[0] is not None else None for task_id, row in zip(task_ids, rows, strict=True)
        ]

    async def list(
        self, *, owner: str | None, project_id: str, limit: int, after: Entry | None
    ) -> tuple[list[Entry], bool]:
        """Return a page of ids, newest first: of a project, else of an owner, else (None) of all."""
        if project_id:
            indexes = [keys.project_tasks(project_id)]
        else:
            shards = range(self._shards)
            indexes = [keys.tasks(n) if owner is None else keys.owner_tasks(n, owner) for n in shards]
        return await newest(self._redis, indexes, limit, after)


def _task(task_id: str, row: Sequence[Any], plan: Mapping[str, Any]) -> Task:
    data = orjson.loads(row[0])
    risks = {
        step: Risk(risk["level"], risk["score"], tuple(risk["factors"])) for step, risk in plan.get("risks", {}).items()
    }
    return Task(
        id=task_id,
        project_id=data["project_id"],
        owner=data["owner"],
        query=data["query"],
        environment=data["environment"],
        status=row[1].decode(),
        last_run=row[2].decode(),
        active_run=row[3].decode(),
        created_ms=int(row[4]),
        updated_ms=int(row[5]),
        specs=tuple(codec.load_spec(spec) for spec in plan.get("specs", ())),
        risks=risks,
    )
