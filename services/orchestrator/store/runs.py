"""Loading runs, and committing what the engine decided: the only writer of a run's state."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from redis.asyncio import Redis

from services.orchestrator.engine.decide import Decision, Timer
from services.orchestrator.engine.model import Event, Run, RunStatus
from services.orchestrator.store import codec, keys
from services.runtime.redis import Script, ScriptCall, run_scripts

_COMMIT = Script.load(Path(__file__).with_name("commit.lua"))
_STEP_PREFIX = b"s:"


@dataclass(frozen=True, slots=True)
class Committed:
    """What the store said. ``status`` is that of commit.lua; ``detail`` a version or a run id."""

    status: str
    detail: str
    now_ms: int


@dataclass(frozen=True, slots=True)
class Creation:
    """What only the first commit of a run needs. ``request_key`` is empty when the caller gave no request id."""

    request_key: str = ""
    fingerprint: str = ""
    ttl_s: int = keys.REQUEST_TTL_SECONDS


class RunStore:
    """Runs in Redis."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis

    async def load_many(self, run_ids: Sequence[str]) -> list[Run | None]:
        """Return runs as stored, None where there is none. One round trip; each at most a plan's size."""
        pipe = self._redis.pipeline(transaction=False)
        for run_id in run_ids:
            pipe.hgetall(keys.run(run_id))
        return [_parse(row) for row in await pipe.execute()]

    async def load(self, run_id: str) -> Run | None:
        """Return one run as stored, or None."""
        return (await self.load_many([run_id]))[0]

    async def summaries(self, run_ids: Sequence[str]) -> list[Run | None]:
        """Return runs without their plan and steps. One round trip."""
        pipe = self._redis.pipeline(transaction=False)
        for run_id in run_ids:
            pipe.hmget(keys.run(run_id), ["v", "brief", "core"])
        rows = [dict(zip((b"v", b"header", b"core"), row, strict=True)) for row in await pipe.execute()]
        return [_parse(row) if row[b"v"] else None for row in rows]

    async def events(self, run_id: str, after: int, limit: int) -> list[Event]:
        """Return up to ``limit`` events that follow sequence ``after``, oldest first."""
        rows: Any = await self._redis.xrange(keys.run_events(run_id), min=f"{after + 1}-0", count=limit)
        return [codec.load_event(int(entry.split(b"-")[0]), data[b"e"]) for entry, data in rows]

    async def create(self, decision: Decision, creation: Creation) -> Committed:
        """Store a new run with its indexes, unless its task has one that has not ended."""
        return (await self._execute([_arguments(decision, creation)]))[0]

    async def commit(self, decisions: Sequence[Decision]) -> list[Committed]:
        """Commit decisions about different runs in one pipeline; each is all or nothing for itself."""
        return await self._execute([_arguments(decision, None) for decision in decisions])

    async def _execute(self, calls: list[tuple[list[str], list[Any]]]) -> list[Committed]:
        rows = await run_scripts(self._redis, [ScriptCall(_COMMIT, names, args) for names, args in calls])
        for row in rows:
            if isinstance(row, Exception):
                raise row
        return [Committed(row[0].decode(), _text(row[1]), int(row[2])) for row in rows]


def _text(value: Any) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)


def _parse(row: dict[bytes, bytes]) -> Run | None:
    if not row:
        return None
    header = codec.load_header(row[b"header"])
    run = Run.new(header)
    run.core = codec.load_core(row[b"core"])
    run.version = int(row[b"v"])
    for name, value in row.items():
        if name.startswith(_STEP_PREFIX):
            run.steps[name[2:].decode()] = codec.load_step(value)
    return run


def timer_member(run_id: str, timer: Timer) -> str:
    """Return how a timer is named in the shard's zset."""
    return f"{timer.kind}|{run_id}|{timer.step_id}|{timer.attempt}"


def _task_status(decision: Decision) -> str:
    old, new = decision.draft.run.core.status, decision.draft.core
    if new.status is old:
        return ""
    if new.status is RunStatus.TERMINATED:
        return {"completed": "completed", "user_cancelled": "cancelled"}.get(new.reason, "failed")
    return "approval_needed" if new.status is RunStatus.WAITING_APPROVAL else "executing"


def _counted(width: int, rows: Sequence[Any]) -> list[Any]:
    flat = [item for row in rows for item in row] if width > 1 else list(rows)
    return [len(rows), *flat]


def _arguments(decision: Decision, creation: Creation | None) -> tuple[list[str], list[Any]]:
    """Return KEYS and ARGV of commit.lua."""
    draft, effects = decision.draft, decision.effects
    header = draft.run.header
    run_id, shard = header.run_id, keys.shard_of(header.run_id)
    queues: dict[str, int] = {}

    def queue(agent: str) -> int:
        return queues.setdefault(agent, len(queues) + 1)

    changed: list[tuple[str, bytes]] = [("core", codec.dump_core(draft.core))]
    changed += [(f"s:{name}", codec.dump_step(step)) for name, step in draft.changed.items()]
    if creation is not None:
        changed.append(("header", codec.dump_header(header)))
        changed.append(("brief", codec.dump_brief(header)))
    outbox_add = [f"{run_id}|{step}" for step in effects.outbox_add]
    if effects.withdraw:
        outbox_add.append(f"{run_id}|")
    ended = draft.core.status is RunStatus.TERMINATED
    args: list[Any] = [
        0 if creation is not None else draft.run.version,
        run_id,
        keys.run_channel(run_id),
        keys.WAKE_CHANNEL,
        _task_status(decision),
        "1" if ended else "",
        draft.events[0].sequence if draft.events else 0,
        *_counted(2, changed),
        *_counted(1, [codec.dump_event(event) for event in draft.events]),
        *_counted(3, [(queue(agent), f"{run_id}|{step}", score) for agent, step, score in effects.queue_add]),
        *_counted(2, [(queue(agent), f"{run_id}|{step}") for agent, step in effects.queue_remove]),
        *_counted(2, [(timer_member(run_id, timer), at) for timer, at in effects.timers_set.items()]),
        *_counted(1, [timer_member(run_id, timer) for timer in effects.timers_clear]),
        *_counted(1, outbox_add),
        *_counted(1, [f"{run_id}|{step}" for step in effects.outbox_remove]),
    ]
    names = [
        keys.run(run_id),
        keys.run_events(run_id),
        keys.timers(shard),
        keys.outbox(shard),
        keys.ended(shard),
        keys.task(header.task_id),
        *(keys.queue(shard, agent) for agent in queues),
    ]
    if creation is not None:
        args += [len(queues), creation.fingerprint if creation.request_key else "", creation.ttl_s]
        names += [creation.request_key] if creation.request_key else []
        names += keys.run_indexes(header)
    return names, args
