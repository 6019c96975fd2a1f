"""Saved policies in Redis."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from redis.asyncio import Redis

from services.approval.store import keys
from services.runtime.redis import Script

_SAVE = Script.load(Path(__file__).parent / "save_policy.lua")


@dataclass(frozen=True, slots=True)
class SavedPolicy:
    """A policy as somebody saved it; `body` is the serialized message, without what this class has."""

    body: bytes
    version: int
    updated_by: str
    updated_ms: int


class PolicyChanged(Exception):
    """Somebody else saved the policy first; `version` is theirs."""

    def __init__(self, version: int) -> None:
        super().__init__(f"the policy is at version {version}")
        self.version = version


class PolicyStore:
    """One policy an environment; read anew for every call, so that a change holds everywhere at once."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis

    async def load(self, environments: Sequence[str]) -> list[SavedPolicy | None]:
        """The saved policies, None where the shipped default holds, in one round trip."""
        pipeline = self._redis.pipeline(transaction=False)
        for environment in environments:
            pipeline.hgetall(keys.policy(environment))
        return [
            SavedPolicy(
                body=fields[b"body"],
                version=int(fields[b"version"]),
                updated_by=fields[b"updated_by"].decode(),
                updated_ms=int(fields[b"updated_ms"]),
            )
            if fields
            else None
            for fields in await pipeline.execute()
        ]

    async def save(self, environment: str, body: bytes, by: str, seen_version: int | None) -> SavedPolicy:
        """Replace a policy.

        Raises PolicyChanged if `seen_version` is given and no longer the version (0: not saved yet).
        """
        seen = "" if seen_version is None else seen_version
        done, version, *rest = await _SAVE(self._redis, [keys.policy(environment)], [seen, body, by])
        if not done:
            raise PolicyChanged(version)
        return SavedPolicy(body, version, by, rest[0])
