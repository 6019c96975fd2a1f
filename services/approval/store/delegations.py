"""Delegations in Redis."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import orjson
from redis.asyncio import Redis

from services.approval.store import keys
from services.runtime.redis import Script

_HERE = Path(__file__).parent
_CREATE = Script.load(_HERE / "delegate.lua")
_REVOKE = Script.load(_HERE / "revoke.lua")


@dataclasses.dataclass(frozen=True, slots=True)
class Delegation:
    """That `delegate` may vote with the authority of `delegator`, who is in `groups`, until a time (Unix ms)."""

    id: str
    delegator: str
    delegate: str
    groups: tuple[str, ...]
    reason: str
    created_ms: int
    until_ms: int


class DelegationStore:
    """Keeps delegations until their time is over; Redis itself removes them."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis

    async def now_ms(self) -> int:
        """The time that decides: the server's."""
        seconds, micros = await self._redis.time()
        return int(seconds) * 1000 + int(micros) // 1000

    async def create(self, delegation: Delegation, request_id: str, event: bytes) -> Delegation:
        """Store a delegation, once for a request_id of its delegator: the one that is there now."""
        touched = [
            keys.delegation_request(delegation.delegator, request_id),
            keys.delegation(delegation.id),
            keys.journal(keys.DELEGATIONS_SHARD),
            *_indexes(delegation),
        ]
        body = orjson.dumps(dataclasses.asdict(delegation))
        args: list[str | bytes | int] = [delegation.id, body, delegation.until_ms, event, keys.delegation("")]
        stored: Any = await _CREATE(self._redis, touched, args)
        return _decode(stored) if stored else delegation

    async def get(self, delegation_id: str) -> Delegation | None:
        """One that holds; None if there is none."""
        body: Any = await self._redis.get(keys.delegation(delegation_id))
        return _decode(body) if body else None

    async def given_to(self, subject: str, limit: int) -> list[Delegation]:
        """Those that somebody holds, the last to end first."""
        ids: list[Any] = await self._redis.zrange(keys.delegated("to", subject), 0, limit - 1, desc=True)
        return await self._load(ids)

    async def page(self, of: str | None, start: int, limit: int) -> list[Delegation]:
        """Those that somebody gave or holds, or everybody's; the first to end first."""
        if of is None:
            ids: list[Any] = await self._redis.zrange(keys.delegated("all", ""), start, start + limit - 1)
        else:
            ids = await self._redis.zrange(keys.delegated("of", of), start, start + limit - 1)
        return await self._load(ids)

    async def _load(self, ids: list[Any]) -> list[Delegation]:
        bodies: list[Any] = await self._redis.mget([keys.delegation(name.decode()) for name in ids]) if ids else []
        return [_decode(body) for body in bodies if body]

    async def revoke(self, delegation: Delegation, event: bytes) -> None:
        """End a delegation now."""
        touched = [keys.delegation(delegation.id), keys.journal(keys.DELEGATIONS_SHARD), *_indexes(delegation)]
        await _REVOKE(self._redis, touched, [delegation.id, event])


def _indexes(delegation: Delegation) -> list[str]:
    return [
        keys.delegated("to", delegation.delegate),
        keys.delegated("of", delegation.delegate),
        keys.delegated("of", delegation.delegator),
        keys.delegated("all", ""),
    ]


def _decode(body: bytes) -> Delegation:
    fields = orjson.loads(body)
    fields["groups"] = tuple(fields["groups"])
    return Delegation(**fields)
