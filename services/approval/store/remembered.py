"""Remembered decisions in Redis: in the shard of their project, or, without one, of their run."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import orjson
from redis.asyncio import Redis

from services.approval.quorum import Seat
from services.approval.remembered import PROJECT, RUN, Remembered, name_of
from services.approval.store import keys
from services.runtime.redis import Script

_HERE = Path(__file__).parent
_REMEMBER = Script.load(_HERE / "remember.lua")
_FORGET = Script.load(_HERE / "forget_decision.lua")


@dataclasses.dataclass(frozen=True, slots=True)
class Circumstances:
    """Who would do what, where: what remembered decisions are looked up by."""

    project_id: str
    run_id: str
    digest: str
    agent: str
    environment: str


class RememberedStore:
    """Keeps decisions until their time is over; Redis itself removes them."""

    def __init__(self, redis: Redis, shards: int) -> None:
        self._redis = redis
        self._shards = shards

    def _shard(self, project_id: str, run_id: str) -> int:
        return keys.shard_for(project_id, run_id, self._shards)

    async def put(self, remembered: Remembered, event: bytes) -> bool:
        """Remember a decision; False if that was done before, or its time is over."""
        shard = self._shard(remembered.project_id, remembered.run_id)
        touched = [
            keys.remembered(shard, remembered.name),
            keys.remembered_in(shard, remembered.project_id or remembered.run_id),
            keys.journal(shard),
        ]
        body = orjson.dumps(dataclasses.asdict(remembered))
        return bool(await _REMEMBER(self._redis, touched, [body, remembered.name, remembered.until_ms, event]))

    async def find(self, wanted: Sequence[Circumstances]) -> list[list[Remembered]]:
        """What is remembered for each of several circumstances, in one round trip."""
        pipeline = self._redis.pipeline(transaction=False)
        for one in wanted:
            shard = self._shard(one.project_id, one.run_id)
            same = {"digest": one.digest, "agent": one.agent, "environment": one.environment}
            for scope, within in ((RUN, one.run_id), (PROJECT, one.project_id)):
                pipeline.get(keys.remembered(shard, name_of(scope, within, **same)) if within else keys.nothing(shard))
        bodies = await pipeline.execute() if wanted else []
        return [[_decode(body) for body in pair if body] for pair in zip(bodies[::2], bodies[1::2], strict=True)]

    async def page(self, project_id: str, start: int, limit: int) -> list[Remembered]:
        """A part of what is remembered of a project, the first to end first."""
        shard = self._shard(project_id, "")
        index = keys.remembered_in(shard, project_id)
        names: list[Any] = await self._redis.zrange(index, start, start + limit - 1)
        bodies: list[Any] = await self._redis.mget([keys.remembered(shard, name.decode()) for name in names] or [index])
        return [_decode(body) for body in bodies if body] if names else []

    async def get(self, remembered_id: str) -> Remembered | None:
        """One by its id; None if it is no more."""
        place = _place(remembered_id, self._shards)
        body: Any = await self._redis.get(keys.remembered(*place)) if place else None
        return _decode(body) if body else None

    async def forget(self, remembered: Remembered, event: bytes) -> bool:
        """Forget a decision; False if it was forgotten before."""
        shard = self._shard(remembered.project_id, remembered.run_id)
        touched = [
            keys.remembered(shard, remembered.name),
            keys.remembered_in(shard, remembered.project_id or remembered.run_id),
            keys.journal(shard),
        ]
        return bool(await _FORGET(self._redis, touched, [remembered.name, event]))

    def id_of(self, remembered: Remembered) -> str:
        """The id that clients name it by."""
        return f"rem_{self._shard(remembered.project_id, remembered.run_id):02x}{remembered.name}"


_NAME_CHARS = 64


def _place(remembered_id: str, shards: int) -> tuple[int, str] | None:
    """Shard and name in an id; None for what is no id of ours."""
    text = remembered_id.removeprefix("rem_")
    is_hex = all(char in "0123456789abcdef" for char in text)
    if not (remembered_id.startswith("rem_") and len(text) == 2 + _NAME_CHARS and is_hex):
        return None
    shard = int(text[:2], 16)
    return (shard, text[2:]) if shard < shards else None


def _decode(body: bytes) -> Remembered:
    fields = orjson.loads(body)
    fields["voters"] = tuple(fields["voters"])
    fields["quorum"] = tuple(Seat(**seat) for seat in fields["quorum"])
    return Remembered(**fields)
