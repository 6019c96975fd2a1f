"""The catalog of backups and restores, in the service's own Redis."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import Any, Final, Generic, TypeVar

from redis.asyncio import Redis

from harness.backup.v1 import backup_pb2 as pb
from services.backup.store import keys

REQUEST_TTL_S: Final = 86_400
MAX_RESTORES: Final = 1000
_WALK: Final = 200

R = TypeVar("R", bound=pb.Backup | pb.Restore)


@dataclass(frozen=True)
class Request:
    """An idempotent request: where it is remembered, and a text that differs when its content does."""

    key: str
    fingerprint: str


def _text(value: bytes | str) -> str:
    return value if isinstance(value, str) else value.decode()


class Table(Generic[R]):
    """The records of one kind, listed newest first."""

    def __init__(self, redis: Redis, kind: str, parse: Callable[[bytes], R], id_of: Callable[[R], str]) -> None:
        self._redis = redis
        self._kind = kind
        self._parse = parse
        self._id_of = id_of

    async def put(self, item: R, request: Request | None = None) -> None:
        """Write a record with its index entries, and what its request leads to, all or nothing."""
        item_id = self._id_of(item)
        async with self._redis.pipeline(transaction=True) as pipe:
            pipe.set(keys.record(self._kind, item_id), item.SerializeToString())
            pipe.zadd(keys.index(self._kind), {item_id: 0})
            pipe.zadd(keys.index(self._kind, item.target), {item_id: 0})
            if request is not None:
                pipe.set(request.key, f"{item_id} {request.fingerprint}", ex=REQUEST_TTL_S)
            await pipe.execute()

    async def get(self, item_id: str) -> R | None:
        data: Any = await self._redis.get(keys.record(self._kind, item_id))
        return None if data is None else self._parse(data)

    async def delete(self, item: R) -> None:
        item_id = self._id_of(item)
        async with self._redis.pipeline(transaction=True) as pipe:
            pipe.delete(keys.record(self._kind, item_id))
            pipe.zrem(keys.index(self._kind), item_id)
            pipe.zrem(keys.index(self._kind, item.target), item_id)
            await pipe.execute()

    async def page(self, target: str, after: str, limit: int) -> tuple[list[R], str]:
        """At most `limit` records older than the id `after` ("" to begin), of one target or of all ("").

        Also the id to go on after; "" when there are no more.
        """
        newest = f"({after}" if after else "+"
        found = await self._redis.zrevrangebylex(keys.index(self._kind, target), newest, "-", start=0, num=limit)
        if not found:
            return [], ""
        records: list[Any] = await self._redis.mget([keys.record(self._kind, _text(name)) for name in found])
        items = [self._parse(data) for data in records if data is not None]
        return items, _text(found[-1]) if len(found) == limit else ""

    async def walk(self, target: str = "", after: str = "") -> AsyncIterator[R]:
        """All records, newest first, read in pages."""
        while True:
            items, after = await self.page(target, after, _WALK)
            for item in items:
                yield item
            if not after:
                return


class Catalog:
    """Backups, restores, and the requests that led to them. Raises redis.RedisError when Redis cannot be reached."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis
        self.backups: Table[pb.Backup] = Table(redis, "backup", pb.Backup.FromString, lambda item: item.backup_id)
        self.restores: Table[pb.Restore] = Table(redis, "restore", pb.Restore.FromString, lambda item: item.restore_id)

    async def now_ms(self) -> int:
        """Redis' clock in Unix milliseconds: the only one that decides anything."""
        seconds, microseconds = await self._redis.time()
        return int(seconds) * 1000 + int(microseconds) // 1000

    async def known(self, request: Request) -> tuple[str, bool] | None:
        """The id that a request has led to, and whether it was the same request; None if it is new."""
        stored = await self._redis.get(request.key)
        if stored is None:
            return None
        item_id, _, fingerprint = _text(stored).partition(" ")
        return item_id, fingerprint == request.fingerprint

    async def trim_restores(self) -> None:
        """Forget the restores beyond the newest MAX_RESTORES."""
        newest, _ = await self.restores.page("", "", MAX_RESTORES + _WALK)
        for item in newest[MAX_RESTORES:]:
            await self.restores.delete(item)
